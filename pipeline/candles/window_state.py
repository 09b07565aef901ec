"""Windows folded online, part by part: bit for bit what `fold.fold_windows` gives in batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alphaqcm.pipeline.candles.fold import Fold, Holes
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.errors import TableError

Value = float | int | None


@dataclass(frozen=True, slots=True)
class Window:
    """One finished window."""

    start_us: int  # microseconds since the epoch, UTC
    parts: int  # parts that it is made of, 1..k
    values: dict[str, Value]


class WindowState:
    """The open window of one symbol at one offset.

    `folds` names the columns in the order in which `push` gets their values. A window is handed
    back once: when its last part is pushed, when a part of a later window is, or when `close` says
    that its time is over; a strict one only with all its parts.
    """

    __slots__ = ("_folds", "_grid", "_held", "_names", "_next_us", "_parts", "_start", "_strict")

    def __init__(
        self, grid: WindowGrid, folds: Mapping[str, Fold], holes: Holes | str = Holes.STRICT
    ) -> None:
        self._grid = grid
        self._names = tuple(folds)
        self._folds = tuple(folds.values())
        self._strict = Holes(holes) is Holes.STRICT
        self._next_us: int | None = None  # earliest part that may come
        self._start = 0
        self._parts = 0
        self._held: list[Value] = []

    def push(self, begin_us: int, values: Sequence[Value]) -> list[Window]:
        """Add the part that begins at `begin_us`; the windows that this finishes, oldest first.

        None stands for a missing value. Raises `TableError` for a part before the last one, the
        same part again, one beside the grid, and one of a window that was closed.
        """
        self._check(begin_us, values)
        start = self._grid.floor_us(begin_us)
        done = self._finish() if self._parts and start != self._start else []
        if not self._parts:
            self._start = start
            self._held = list(values)
        else:
            for number, (fold, value) in enumerate(zip(self._folds, values, strict=True)):
                self._held[number] = _fold(fold, self._held[number], value)
        self._parts += 1
        self._next_us = begin_us + self._grid.part_us
        if self._next_us == start + self._grid.window_us:
            done += self._finish()
        return done

    def close(self, until_us: int) -> list[Window]:
        """The open window, where it ends at or before `until_us`; parts of it can come no more."""
        end = self._start + self._grid.window_us
        if not self._parts or end > until_us:
            return []
        self._next_us = end
        return self._finish()

    def _check(self, begin_us: int, values: Sequence[Value]) -> None:
        if len(values) != len(self._names):
            raise TableError(
                "a candle to fold",
                expected=f"{len(self._names)} values: " + ", ".join(self._names),
                found=str(len(values)),
            )
        if (begin_us - self._grid.origin_us) % self._grid.part_us:
            raise TableError(
                f"a candle that begins at {begin_us} us",
                expected=f"a begin on the grid of {self._grid.part_us} us",
            )
        if self._next_us is not None and begin_us < self._next_us:
            raise TableError(
                f"a candle that begins at {begin_us} us",
                expected=f"one at {self._next_us} us or later: parts come in order of time, once",
            )

    def _finish(self) -> list[Window]:
        parts, self._parts = self._parts, 0
        if self._strict and parts < self._grid.k:
            return []
        values = {
            name: _told(fold, value)
            for name, fold, value in zip(self._names, self._folds, self._held, strict=True)
        }
        return [Window(self._start, parts, values)]


def _fold(fold: Fold, held: Value, value: Value) -> Value:
    if fold is Fold.FIRST:
        return held
    if fold is Fold.LAST:
        return value
    if fold is Fold.LAST_KNOWN:
        return held if value is None else value
    if held is None or value is None:
        return None
    if fold is Fold.SUM:
        return held + value
    if fold is Fold.MAX:
        return value if value > held else held
    return value if value < held else held


def _told(fold: Fold, value: Value) -> Value:
    """An extreme of 0.0 and -0.0 is 0.0, as in batch."""
    if fold in (Fold.MAX, Fold.MIN) and isinstance(value, float):
        return value + 0.0
    return value
