"""The newest candles of one symbol in memory: open times, values and sources, in order of time."""

from __future__ import annotations

import numpy as np

from alphaqcm.data_collection.live.events import BarSource
from alphaqcm.data_collection.live.files.tables import VALUES, Numbers, Times

Row = tuple[float, ...]
"""The nine numbers of a candle in the order of `VALUES`."""
Sources = np.ndarray[tuple[int], np.dtype[np.uint8]]


class Series:
    """At most `keep` candles; appending is cheap, a change in place is possible."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self._size = 0
        self._open_ms: Times = np.empty(64, dtype=np.int64)
        self._values: Numbers = np.empty((64, len(VALUES)))
        self._sources = np.empty(64, dtype=np.uint8)

    def __len__(self) -> int:
        return self._size

    @property
    def first_ms(self) -> int:
        """Open time of the oldest candle; raises IndexError without one."""
        return int(self._open_ms[: self._size][0])

    @property
    def last_ms(self) -> int:
        """Open time of the newest candle; raises IndexError without one."""
        return int(self._open_ms[: self._size][-1])

    def append(self, open_ms: int, values: Row, source: BarSource) -> None:
        """Add the newest candle."""
        if self._size == len(self._open_ms):
            self._make_room()
        self._open_ms[self._size] = open_ms
        self._values[self._size] = values
        self._sources[self._size] = source
        self._size += 1

    def extend(self, open_ms: Times, values: Numbers, sources: Sources) -> None:
        """Add many, all newer than those that are there."""
        joined = np.concatenate([self.times(), open_ms])[-self.keep :]
        rows = np.concatenate([self.rows(), values])[-self.keep :]
        kinds = np.concatenate([self._sources[: self._size], sources])[-self.keep :]
        self._size = len(joined)
        self._open_ms, self._values, self._sources = joined, rows, kinds

    def index(self, open_ms: int) -> int | None:
        """Where a candle is, None where it is not."""
        at = int(np.searchsorted(self._open_ms[: self._size], open_ms))
        return at if at < self._size and self._open_ms[at] == open_ms else None

    def at(self, index: int) -> tuple[Row, BarSource]:
        """A candle's values and source."""
        return tuple(self._values[index].tolist()), BarSource(int(self._sources[index]))

    def replace(self, index: int, values: Row, source: BarSource) -> None:
        """Change a candle."""
        self._values[index] = values
        self._sources[index] = source

    def times(self) -> Times:
        """Open times of the newest `keep` candles, a copy."""
        return self._open_ms[max(0, self._size - self.keep) : self._size].copy()

    def rows(self) -> Numbers:
        """Values of the newest `keep` candles, a copy."""
        return self._values[max(0, self._size - self.keep) : self._size].copy()

    def _make_room(self) -> None:
        """Drop what is beyond `keep`, or double."""
        start = max(0, self._size - self.keep)
        kept = slice(start, self._size)
        room = max(64, 2 * (self._size - start))
        for name in ("_open_ms", "_values", "_sources"):
            old = getattr(self, name)
            new = np.empty((room, *old.shape[1:]), dtype=old.dtype)
            new[: self._size - start] = old[kept]
            setattr(self, name, new)
        self._size -= start
