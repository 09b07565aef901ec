"""A symbol's factors over windows of its bars: one bar in, at a window's end one row out.

The windows are those of the shared fold: a row of live bars is the row that the archive's bars
give, to the bit. A window that lacks a bar has no row, as in candles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from alphaqcm.pipeline.candles.fold import CANDLE_FOLDS, Fold, Ints, fold_windows, folds_for
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.candles.window_state import Window
from alphaqcm.pipeline.candles.window_state import WindowState as WindowFold
from alphaqcm.pipeline.errors import TableError
from alphaqcm.pipeline.features.stream.factor import Factor, FactorKind, FactorState, Floats

__all__ = ["Bar", "FactorRow", "Snapshot", "WindowState", "batch_rows"]


class Bar(Protocol):
    """A closed bar: its begin, and the columns that factors ask for as attributes."""

    @property
    def open_time_us(self) -> int:
        """Its begin, microseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class FactorRow:
    """The factors at the end of a window; None where a factor has no value."""

    start_us: int  # of the window
    values: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A recursive factor after the windows up to `until_us`, the end of the last of them."""

    factor: str
    until_us: int
    bars: int
    state: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; floats keep their bits."""
        return {
            "factor": self.factor,
            "until_us": self.until_us,
            "bars": self.bars,
            "state": list(self.state),
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Snapshot:
        """Read `to_dict` back; raises KeyError."""
        state = tuple(float(value) for value in told["state"])
        return cls(str(told["factor"]), int(told["until_us"]), int(told["bars"]), state)


class WindowState:
    """The factors of one symbol between two bars.

    A recursive factor needs the `snapshots` of a state that saw the whole history; without one it
    is refused (`TableError`) unless `force` says that values of a short memory will do.
    """

    def __init__(
        self,
        grid: WindowGrid,
        factors: Sequence[Factor],
        snapshots: Mapping[str, Snapshot] | None = None,
        *,
        folds: Mapping[str, Fold] = CANDLE_FOLDS,
        force: bool = False,
    ) -> None:
        self._grid = grid
        self._factors = tuple(factors)
        self._names = _inputs(factors)
        self._fold = WindowFold(grid, folds_for(self._names, folds))
        self._known = dict(snapshots or {})
        self._force = force
        self._states = [self._begin(one) for one in factors]
        self._until_us = 0

    def push(self, bar: Bar) -> FactorRow | None:
        """Add a bar; the row of the window that it ends.

        Raises `TableError` for a bar out of order, twice or beside the grid.
        """
        values = [getattr(bar, name) for name in self._names]
        return self._row(self._fold.push(bar.open_time_us, values))

    def _row(self, windows: Sequence[Window]) -> FactorRow | None:
        if not windows:
            return None
        (window,) = windows  # with all its bars: no other can end at this one
        return FactorRow(window.start_us, self._step(window.start_us, window.values))

    def push_all(
        self, begins_us: Sequence[int] | Ints, columns: Mapping[str, Any]
    ) -> list[FactorRow]:
        """Add many bars, such as those of a file: `columns` hold their values by name."""
        arrays = [np.asarray(columns[name], np.float64).tolist() for name in self._names]
        rows = (
            self._row(self._fold.push(int(begin), values))
            for begin, *values in zip(np.asarray(begins_us).tolist(), *arrays, strict=True)
        )
        return [row for row in rows if row is not None]

    def warm(self, starts_us: Sequence[int] | Ints, columns: Mapping[str, Floats]) -> None:
        """Take the windows of a history, in order of time: finite factors then know theirs.

        A recursive one that goes on from a snapshot takes what comes after that.
        """
        arrays = [columns[name].tolist() for name in self._names]
        for row, start_us in enumerate(starts_us):
            self._step(
                int(start_us), {name: a[row] for name, a in zip(self._names, arrays, strict=True)}
            )

    def snapshots(self) -> dict[str, Snapshot]:
        """The state of each recursive factor, to go on from later."""
        return {
            one.name: Snapshot(one.name, self._until_us, state.bars, state.state)
            for one, state in zip(self._factors, self._states, strict=True)
            if one.kind is FactorKind.RECURSIVE
        }

    def _begin(self, one: Factor) -> FactorState:
        if one.kind is FactorKind.FINITE:
            return one.start()
        known = self._known.get(one.name)
        if known is not None:
            return FactorState(one, known.state, known.bars)
        if self._force:
            return one.start()
        raise TableError(
            f"factor {one.name}, which remembers all bars",
            expected="the snapshot of a state that has seen the whole history",
            found="none",
            next_step="make one with `warm` over the archive's bars, or pass force=True",
        )

    def _step(self, start_us: int, values: Mapping[str, Any]) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for one, state in zip(self._factors, self._states, strict=True):
            seen_us = self._seen_us(one)
            if start_us < seen_us:  # the snapshot has it already
                found[one.name] = None
                continue
            if seen_us and not self._until_us and start_us > seen_us and not self._force:
                raise TableError(
                    f"factor {one.name}, which remembers all bars",
                    expected=f"the window at {seen_us} us, where its snapshot ends",
                    found=f"one at {start_us} us",
                    next_step="give the windows between to `warm`, or pass force=True where the "
                    "exchange has none",
                )
            found[one.name] = state.push([_number(values[name]) for name in one.inputs])
        self._until_us = start_us + self._grid.window_us
        return found

    def _seen_us(self, one: Factor) -> int:
        """Up to where a factor's snapshot has seen the windows; 0 without one."""
        known = self._known.get(one.name)
        return known.until_us if known and one.kind is FactorKind.RECURSIVE else 0


def batch_rows(
    grid: WindowGrid,
    factors: Sequence[Factor],
    begins_us: Sequence[int] | Ints,
    columns: Mapping[str, Floats],
    *,
    folds: Mapping[str, Fold] = CANDLE_FOLDS,
) -> list[FactorRow]:
    """The rows of a whole history of bars: what pushing them one by one gives."""
    names = _inputs(factors)
    position = (np.asarray(begins_us, np.int64) - grid.origin_us) // grid.part_us
    folded = fold_windows(
        {name: columns[name] for name in names}, grid.k, position=position, folds=folds
    )
    values = {one.name: one.batch(folded.columns) for one in factors}
    return [
        FactorRow(
            grid.start_us(int(window)),
            {
                name: None if np.isnan(array[row]) else float(array[row])
                for name, array in values.items()
            },
        )
        for row, window in enumerate(folded.window)
    ]


def _inputs(factors: Sequence[Factor]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for one in factors for name in one.inputs))


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
