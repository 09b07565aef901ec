"""Two sets of candles held against each other, key by key and cell by cell.

A full outer join: what is missing on either side is told, never skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.pipeline.candles.schema import PRICES, QUANTITIES
from alphaqcm.pipeline.errors import TableError

KEY: Final = ("symbol", "candle_begin_time")
COLUMNS: Final = (*PRICES, *QUANTITIES)
EXACT: Final = (*PRICES, "trade_num")
"""Columns that have to be equal; the others are sums, whose last bits depend on their order."""

_FAR: Final = np.iinfo(np.int64).max


@dataclass(slots=True)
class ColumnDifference:
    """How far two columns lie apart."""

    unequal: int = 0  # cells
    max_relative: float = 0.0  # |ours / reference - 1|; infinite where one side is no number or 0
    max_ulp: int = 0  # representable doubles from one to the other

    def add(self, other: ColumnDifference) -> None:
        """Take in what another part of the rows gave."""
        self.unequal += other.unequal
        self.max_relative = max(self.max_relative, other.max_relative)
        self.max_ulp = max(self.max_ulp, other.max_ulp)


Keys = list[tuple[str, str]]
"""(symbol, begin in ISO 8601)."""


@dataclass(slots=True)
class Comparison:
    """What a comparison found."""

    rows: int = 0  # keys on both sides
    missing_ours: Keys = field(default_factory=list)
    missing_reference: Keys = field(default_factory=list)
    doubled: Keys = field(default_factory=list)  # on either side
    columns: dict[str, ColumnDifference] = field(
        default_factory=lambda: {name: ColumnDifference() for name in COLUMNS}
    )

    def add(self, other: Comparison) -> None:
        """Take in the comparison of other keys."""
        self.rows += other.rows
        self.missing_ours += other.missing_ours
        self.missing_reference += other.missing_reference
        self.doubled += other.doubled
        for name, difference in other.columns.items():
            self.columns[name].add(difference)

    def is_equal(self, max_ulp: int) -> bool:
        """No key missing or twice, prices and counts equal, sums within `max_ulp`."""
        return (
            not (self.missing_ours or self.missing_reference or self.doubled)
            and all(self.columns[name].unequal == 0 for name in EXACT)
            and all(found.max_ulp <= max_ulp for found in self.columns.values())
        )


def default_max_ulp(parts: int) -> int:
    """How far two sums of so many parts may lie apart for the order of adding alone."""
    return max(4, -(-parts // 2))


def compare_candles(ours: pl.DataFrame, reference: pl.DataFrame) -> Comparison:
    """Hold two frames with symbol, candle_begin_time and the candle columns against each other.

    Raises `TableError` for a frame that lacks a column.
    """
    found = Comparison()
    sides = []
    for name, frame in (("ours", ours), ("the reference", reference)):
        sides.append(_side(name, frame))
        keys = sides[-1].select(KEY)
        found.doubled += _texts(keys.filter(keys.is_duplicated()).unique(maintain_order=True))
        sides[-1] = sides[-1].unique(list(KEY), keep="first", maintain_order=True)
    left, right = sides
    found.missing_reference = _texts(left.join(right, on=KEY, how="anti"))
    found.missing_ours = _texts(right.join(left, on=KEY, how="anti"))
    both = left.join(right, on=KEY, how="inner", suffix="_reference")
    found.rows = both.height
    found.columns = {name: _difference(both[name], both[f"{name}_reference"]) for name in COLUMNS}
    return found


def ulp_distance(
    left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """How many representable doubles lie between; the largest number where one is no number."""
    ordered = [_ordered(values) for values in (left, right)]
    with np.errstate(over="ignore"):
        distance = np.abs(ordered[0] - ordered[1])
    both = np.isnan(left) & np.isnan(right)
    one = np.isnan(left) ^ np.isnan(right)
    apart = one | (distance < 0) | ((ordered[0] < 0) != (ordered[1] < 0)) & (distance > 2**62)
    return np.where(both, 0, np.where(apart, _FAR, distance))


def _ordered(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Doubles as integers in the same order; 0.0 and -0.0 are the same."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    return np.where(bits < 0, -(bits & np.int64(_FAR)), bits)


def _difference(ours: pl.Series, reference: pl.Series) -> ColumnDifference:
    if not len(ours):
        return ColumnDifference()
    left, right = (side.cast(pl.Float64).to_numpy() for side in (ours, reference))
    distance = ulp_distance(left, right)
    unequal = distance != 0
    if not unequal.any():
        return ColumnDifference()
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(left[unequal] / right[unequal] - 1)
    return ColumnDifference(
        int(unequal.sum()),
        float(np.where(np.isnan(relative), np.inf, relative).max()),
        int(distance.max()),
    )


def _side(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    lacking = [one for one in (*KEY, *COLUMNS) if one not in frame.columns]
    if lacking:
        raise TableError(
            f"candles of {name}",
            expected="columns " + ", ".join((*KEY, *COLUMNS)),
            found="without " + ", ".join(lacking),
        )
    time = frame.schema["candle_begin_time"]
    if not isinstance(time, pl.Datetime):
        raise TableError(f"candle_begin_time of {name}", expected="instants (UTC)", found=str(time))
    begin = pl.col("candle_begin_time")
    instant = begin.dt.convert_time_zone("UTC") if time.time_zone else begin
    if not time.time_zone:
        instant = begin.dt.replace_time_zone("UTC")
    return frame.select(pl.col("symbol").cast(pl.String), instant.dt.cast_time_unit("us"), *COLUMNS)


def _texts(keys: pl.DataFrame) -> Keys:
    rows: Sequence[tuple[Any, ...]] = keys.select(KEY).sort(KEY).rows()
    return [(symbol, f"{begin:%Y-%m-%dT%H:%M:%SZ}") for symbol, begin in rows]
