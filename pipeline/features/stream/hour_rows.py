"""Rows of the wide table for one hour, of many symbols at once, from the minutes of that hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US, MINUTE_US
from alphaqcm.pipeline.features.columns import schema
from alphaqcm.pipeline.features.factors.hour.hour_statistics import hour_statistics
from alphaqcm.pipeline.features.factors.hour.momentum import (
    US_OPEN_US,
    us_open_ends,
    us_open_return,
)
from alphaqcm.pipeline.features.factors.minutes import Minutes, logs
from alphaqcm.pipeline.features.factors.orderflow import MINUTE_PRICES, flow_series
from alphaqcm.pipeline.features.factors.rolling import RowWindows, row_flags
from alphaqcm.pipeline.features.factors.segments import Floats, Ints, floats, nullable
from alphaqcm.pipeline.features.stream.live_columns import LIVE_OWN
from alphaqcm.pipeline.features.stream.symbol_state import HourBar, RowLook, SymbolState
from alphaqcm.pipeline.reading.aggtrades.model import FLOW_SUMS

BAR_FIELDS: Final = ("open", "high", "low", "close", "volume")
FLOW_FIELDS: Final = (*FLOW_SUMS, *MINUTE_PRICES)
MINUTES: Final = 60


def _nothing(width: int) -> Floats:
    return np.full((MINUTES, width), np.nan)


@dataclass(slots=True)
class OpenHour:
    """The minutes of one hour of one symbol, by their place in it; NaN where there is none."""

    bars: Floats = field(default_factory=lambda: _nothing(len(BAR_FIELDS)))
    flow: Floats = field(default_factory=lambda: _nothing(len(FLOW_FIELDS)))

    def usable(self) -> npt.NDArray[np.bool_]:
        """Minutes whose five values are finite; shape (60,)."""
        return np.asarray(np.isfinite(self.bars).all(axis=1))


@dataclass(slots=True)
class SymbolHour:
    """One symbol's part of an hour, and what it needs of before."""

    symbol: str  # the table's name
    state: SymbolState
    hour: OpenHour
    before: OpenHour | None  # the hour before, where it had minutes


def own_rows(hour_us: int, parts: Sequence[SymbolHour]) -> pl.DataFrame:
    """`LIVE_OWN` of the hour, one row a symbol with a usable minute, in the order of `parts`.

    The states are moved on by their new row. Equal, bit for bit, to the table's own columns.
    """
    usable = [part.hour.usable() for part in parts]
    there = [number for number, rows in enumerate(usable) if rows.any()]
    parts, usable = [parts[number] for number in there], [usable[number] for number in there]
    if not parts:
        return pl.DataFrame(schema=schema(LIVE_OWN))
    statistics = hour_statistics(_minutes(hour_us, parts, usable), _us_open(hour_us, parts, usable))
    bars = [
        HourBar(hour_us, *values)
        for values in zip(
            *(
                floats(statistics[name]).tolist()
                for name in ("high", "low", "close", "volume", "vwap", "rv_std_sqrt60")
            ),
            strict=True,
        )
    ]
    looks = [part.state.push(bar) for part, bar in zip(parts, bars, strict=True)]
    columns = _row_columns(statistics, looks)
    names = pl.Series("symbol", [part.symbol for part in parts], dtype=pl.String)
    end = pl.col("datetime") + pl.duration(hours=1)
    rows = statistics.with_columns(names, *columns, *_flow_columns(hour_us, parts)).with_columns(
        end.alias("bar_end_time"), (end + pl.duration(milliseconds=1)).alias("feature_time")
    )
    return rows.select(pl.col(name).cast(dtype) for name, dtype in schema(LIVE_OWN).items())


def _minutes(
    hour_us: int, parts: Sequence[SymbolHour], usable: Sequence[npt.NDArray[np.bool_]]
) -> Minutes:
    """The usable minutes of all symbols, one symbol after the other."""
    values = np.concatenate(
        [part.hour.bars[rows] for part, rows in zip(parts, usable, strict=True)]
    )
    minute = np.concatenate([np.flatnonzero(rows) for rows in usable]).astype(np.int64)
    opens, highs, lows, closes, volumes = (np.ascontiguousarray(column) for column in values.T)
    return Minutes(
        time=hour_us + minute * MINUTE_US,
        minute=minute,
        open=opens,
        high=highs,
        low=lows,
        close=closes,
        volume=volumes,
        log_close=logs(closes),
        starts=_starts([int(rows.sum()) for rows in usable]),
        hours=np.full(len(parts), hour_us, np.int64),
    )


def _starts(counts: Sequence[int]) -> Ints:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def _us_open(
    hour_us: int, parts: Sequence[SymbolHour], usable: Sequence[npt.NDArray[np.bool_]]
) -> Floats:
    """`seg_us_open_60m_logret`: it begins half an hour before the hour that it ends in."""
    out = np.full(len(parts), np.nan)
    day = hour_us // DAY_US
    (end,) = us_open_ends(day, day).tolist()
    if end // HOUR_US != hour_us // HOUR_US:
        return out
    last, first = end % HOUR_US // MINUTE_US, (end - US_OPEN_US) % HOUR_US // MINUTE_US
    found = [
        number
        for number, (part, rows) in enumerate(zip(parts, usable, strict=True))
        if rows[last] and part.before is not None and part.before.usable()[first]
    ]
    if found:
        closes = np.array([parts[number].hour.bars[last, 3] for number in found])
        opens = np.array([parts[number].before.bars[first, 0] for number in found])  # type: ignore[union-attr]
        out[found] = us_open_return(closes, opens)
    return out


def _row_columns(statistics: pl.DataFrame, looks: Sequence[RowLook]) -> list[pl.Series]:
    """The columns that look at the rows before."""
    look = {name: np.array([getattr(one, name) for one in looks]) for name in RowLook._fields}
    volume = floats(statistics["volume"])
    windows = RowWindows(
        close=floats(statistics["close"]),
        close_before=look["close_before"],
        close_day=look["close_day"],
        close_week=look["close_week"],
        volume=volume,
        volume_day=look["volume_day"],
        realized=floats(statistics["rv_std_sqrt60"]),
        realized_day=look["realized_day"],
        realized_week=look["realized_week"],
        true_range=look["true_range"],
    )
    values = {
        **windows.columns(),
        "vwap": look["vwap"],
        "gap_seconds": look["gap_seconds"],
        "row_span_168h": look["row_span_us"] / HOUR_US,
        "hours_since_trade": look["since_trade_us"] / HOUR_US,
        "volume_clean_pit": np.minimum(volume, look["quantile"]),
    }
    flags = row_flags(
        resumed=look["resumed"],
        cooling=look["cooling"],
        spike=windows.spike(),
        volume_spike=look["volume_spike"],
        mature=look["mature"],
        minutes_kept=floats(statistics["n_minutes_kept"]),
        volume=volume,
    )
    return [
        *(nullable(name, array) for name, array in values.items()),
        *(pl.Series(name, array) for name, array in flags.items()),
    ]


def _flow_columns(hour_us: int, parts: Sequence[SymbolHour]) -> list[pl.Series]:
    """Order flow of each symbol, null where it had no trade."""
    present = [~np.isnan(part.hour.flow[:, 0]) for part in parts]
    traded = [number for number, rows in enumerate(present) if rows.any()]
    minute = np.concatenate([np.flatnonzero(rows) for rows in present]).astype(np.int64)
    values = np.concatenate(
        [part.hour.flow[rows] for part, rows in zip(parts, present, strict=True)]
    )
    columns = {
        name: np.ascontiguousarray(values[:, place]) for place, name in enumerate(FLOW_FIELDS)
    }
    starts = _starts([int(present[number].sum()) for number in traded])
    place: list[int | None] = [None] * len(parts)
    for row, number in enumerate(traded):
        place[number] = row
    index = pl.Series(place, dtype=pl.UInt32)
    return [
        series.gather(index).alias(f"at_{series.name}")
        for series in flow_series(columns, hour_us + minute * MINUTE_US, starts)
    ]
