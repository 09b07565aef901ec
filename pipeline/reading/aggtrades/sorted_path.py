"""Rows in any order to the same minutes: sorted by every field, equal ones counted once.

Rows are gathered into runs, each sorted by time and, where one run does not hold them all, put on
disk. Then the minutes are taken in stretches: the rows of a stretch are read from every run, sorted
by all their fields, freed of equal ones and added. Sums so follow (time, id) order, as on the fast
path, and two orders of the same rows give the same bytes. Memory: one run and one stretch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.pipeline.domain.time import MINUTE_US
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.reading.aggtrades.compiled import buffers as k
from alphaqcm.pipeline.reading.aggtrades.compiled.kernels import gather
from alphaqcm.pipeline.reading.aggtrades.compiled.line_parser import Row
from alphaqcm.pipeline.reading.aggtrades.minutes import (
    Columns,
    MinuteTable,
    Stretch,
    Sums,
    Workspace,
    new_columns,
    put_row,
)
from alphaqcm.pipeline.reading.aggtrades.model import Amounts, IdRanges, join_ranges, ranges_of
from alphaqcm.pipeline.reading.aggtrades.stream import Bytes

RUN_ROWS = 2_000_000
"""Rows kept in memory before they are sorted and put on disk."""

STRETCH_ROWS = 1_000_000
"""Rows sorted by all fields at a time; more only where one minute has more."""

_ROW = np.dtype(
    [
        ("time", np.int64),
        ("id", np.int64),
        ("first", np.int64),
        ("last", np.int64),
        ("price", np.float64),
        ("quantity", np.float64),
        ("flags", np.uint8),
    ]
)
_FIELDS = list(_ROW.names or ())

Rows = np.ndarray[tuple[int], np.dtype[np.void]]


class RowSink:
    """A `Sink` that keeps rows, inside their period, in runs sorted by time.

    `folder` is where runs go that do not fit into memory (None: the system's temp
    folder). Close it.
    """

    def __init__(self, period: Stretch, folder: Path | None, run_rows: int = RUN_ROWS) -> None:
        self.rows = 0
        self.outside = 0
        self.out_of_order = 0
        self._period = period
        self._folder = folder
        self._edges = np.arange(period.start_us, period.end_us + 1, MINUTE_US)
        self._space = Workspace()
        self._state = np.zeros(k.STATE_SIZE, np.int64)
        self._run = new_columns(max(run_rows, k.BLOCK))
        self._last = (k.BEFORE, k.BEFORE)  # time and id of the row before the run
        self._file: IO[bytes] | None = None
        self._runs: list[_Run] = []

    def take(self, text: Bytes, start: int, end: int, width: int) -> tuple[int, int]:
        """Keep the rows of `text[start:end]`."""
        space, state = self._space, self._state
        state[k.S_POSITION] = start
        while True:
            status, rows = gather(
                text,
                end,
                width,
                space.marks,
                space.words,
                space.ints,
                space.floats,
                space.flags,
                state,
                self._run,
            )
            self.rows += int(rows)
            if status != k.FULL:
                return status, int(state[k.S_POSITION])
            self._end_run(keep=False)

    def take_row(self, row: Row) -> None:
        """Keep one row."""
        if self._state[k.S_RUN_ROWS] == len(self._run[2]):
            self._end_run(keep=False)
        put_row(self._run, int(self._state[k.S_RUN_ROWS]), row)
        self._state[k.S_RUN_ROWS] += 1
        self.rows += 1

    def take_columns(self, columns: Columns, count: int) -> None:
        """Keep the first `count` rows of `columns`; the run needs room for them."""
        at, room, size = int(self._state[k.S_RUN_ROWS]), len(self._run[2]), len(columns[2])
        ints, floats, flags = self._run
        ints.reshape(-1, room)[:, at : at + count] = columns[0].reshape(-1, size)[:, :count]
        floats.reshape(-1, room)[:, at : at + count] = columns[1].reshape(-1, size)[:, :count]
        flags[at : at + count] = columns[2][:count]
        self._state[k.S_RUN_ROWS] += count
        self.rows += count

    def stretches(self, rows: int = STRETCH_ROWS) -> Iterator[Rows]:
        """All rows kept, time after time, about `rows` at once and never a minute in two parts."""
        self._end_run(keep=not self._runs)
        starts = [run.starts for run in self._runs]
        total = np.sum(starts, axis=0)
        first = 0
        while first < len(total) - 1:
            last = int(np.searchsorted(total, total[first] + rows, side="right")) - 1
            last = max(last, first + 1)
            if total[last] > total[first]:
                yield np.concatenate([run.read(first, last) for run in self._runs])
            first = last

    def close(self) -> None:
        """Forget the runs."""
        self._runs.clear()
        if self._file is not None:
            self._file.close()

    def _end_run(self, *, keep: bool) -> None:
        """Sort the run by time and put it away: in memory with `keep`, else on disk."""
        size = int(self._state[k.S_RUN_ROWS])
        if size == 0:
            return
        self._state[k.S_RUN_ROWS] = 0
        ints, floats = (array.reshape(-1, len(self._run[2])) for array in self._run[:2])
        ints, floats, flags = ints[:, :size], floats[:, :size], self._run[2][:size]
        times, ids = ints[k.C_TIME], ints[k.C_ID]
        before = np.concatenate(([self._last[0]], times[:-1]))
        ids_before = np.concatenate(([self._last[1]], ids[:-1]))
        falls = (times < before) | ((times == before) & (ids < ids_before))
        self.out_of_order += int(falls.sum())
        self._last = (int(times[-1]), int(ids[-1]))
        inside = np.flatnonzero((times >= self._period.start_us) & (times < self._period.end_us))
        self.outside += size - len(inside)
        order = inside[np.argsort(times[inside], kind="stable")]
        run = np.empty(len(order), _ROW)
        run["time"], run["id"] = times[order], ids[order]
        run["first"], run["last"] = ints[k.C_FIRST][order], ints[k.C_LAST][order]
        run["price"], run["quantity"] = floats[k.C_PRICE][order], floats[k.C_QUANTITY][order]
        run["flags"] = flags[order]
        starts = np.searchsorted(run["time"], self._edges)
        if keep:
            self._runs.append(_Run(starts, run, None, 0))
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            offset = self._file.seek(0, 2)
            self._file.write(cast(bytes, run.view(np.uint8)))
            self._file.flush()  # it is read through its descriptor
        except OSError as error:
            raise layer_error(self._folder or Path(tempfile.gettempdir()), error) from error
        self._runs.append(_Run(starts, None, self._file, offset))


class _Run:
    """Rows sorted by time; `starts[m]` is the first row of the period's minute m."""

    def __init__(
        self,
        starts: npt.NDArray[np.int64],
        rows: Rows | None,
        file: IO[bytes] | None,
        offset: int,
    ) -> None:
        self.starts = starts
        self._rows = rows
        self._file = file
        self._offset = offset

    def read(self, first: int, last: int) -> Rows:
        """Rows of the minutes first..last, last excluded."""
        start, stop = int(self.starts[first]), int(self.starts[last])
        if self._rows is not None or self._file is None:
            return self._rows[start:stop] if self._rows is not None else np.empty(0, _ROW)
        self._file.seek(self._offset + start * _ROW.itemsize)
        return np.fromfile(self._file, _ROW, stop - start)


def sum_sorted(
    sink: RowSink, period: Stretch, amounts: Amounts, stretch_rows: int = STRETCH_ROWS
) -> tuple[Sums, IdRanges, int]:
    """The minutes of the rows in `sink`, their ids, and how many rows were doubled."""
    table = MinuteTable(period, amounts, strict=False)
    ranges: list[IdRanges] = []
    duplicates = 0
    for rows in sink.stretches(stretch_rows):
        frame = pl.DataFrame({name: rows[name] for name in _FIELDS}).sort(_FIELDS)
        fields = {name: frame[name].to_numpy() for name in _FIELDS}
        fresh = np.ones(len(rows), bool)
        fresh[1:] = np.any([values[1:] != values[:-1] for values in fields.values()], axis=0)
        duplicates += int((~fresh).sum())
        ids = fields["id"][fresh]
        ints = [ids, *(fields[name][fresh] for name in ("first", "last", "time"))]
        floats = [fields[name][fresh] for name in ("price", "quantity")]
        flags = fields["flags"][fresh]
        table.add((np.concatenate(ints), np.concatenate(floats), flags), len(flags))
        ranges.append(ranges_of(ids))
    every = np.concatenate(ranges) if ranges else np.empty((0, 2), np.int64)
    return table.sums(), join_ranges(every), duplicates
