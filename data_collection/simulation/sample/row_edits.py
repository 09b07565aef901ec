"""Plants what is wrong with rows, day by day, in the tables of some files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from alphaqcm.data_collection.simulation.sample.defects import (
    Altered,
    DuplicateRows,
    InterleavedIds,
    MissingDay,
    MissingRows,
    RowTrap,
    ShiftedTimes,
    SwappedColumns,
    UnsortedRows,
)
from alphaqcm.data_collection.simulation.sample.market_events import to_us
from alphaqcm.data_collection.simulation.sample.price_process import DAY_US, rng
from alphaqcm.data_collection.simulation.sample.table import Ints, Table, concat
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import spec_of
from alphaqcm.pipeline.domain.time import epoch_us


def edited(
    rows: Table, days: Sequence[date], file: ArchiveFile, traps: Sequence[RowTrap], seed: int
) -> tuple[Table, set[RowTrap]]:
    """The rows of `days` as `file` has them, and the traps that changed any."""
    mine = [trap for trap in traps if trap.where.picks(file)]
    if not mine:
        return rows, set()
    parts: list[Table] = []
    used: set[RowTrap] = set()
    for day in days:
        start = epoch_us(day)
        part = rows.between(start, start + DAY_US)
        for trap in mine:
            if len(part) and trap.where.day in (None, day):
                # the partition is no part of the name: both files get the same rows
                name = f"{file.series} {type(trap).__name__}"
                changed = _planted(trap, part, file, rng(seed, name, day))
                if changed is not part:
                    used.add(trap)
                part = changed
        parts.append(part)
    return concat(parts), used


def _planted(trap: RowTrap, rows: Table, file: ArchiveFile, random: np.random.Generator) -> Table:
    """The rows of one day with one trap in them; `rows` itself where it does not concern them."""
    match trap:
        case MissingDay():
            return rows.take(np.arange(0))
        case MissingRows(start=start, end=end):
            hit = _span(rows, to_us(start), to_us(end))
            return rows.take(np.setdiff1d(np.arange(len(rows)), hit)) if len(hit) else rows
        case DuplicateRows(count=count):
            again = random.choice(len(rows), min(count, len(rows)), replace=False)
            return rows.take(np.sort(np.concatenate([np.arange(len(rows)), again])))
        case UnsortedRows():
            return rows.take(random.permutation(len(rows)))
        case InterleavedIds(offset=offset):
            return _interleaved(rows, offset)
        case Altered(columns=columns, start=start, end=end, factor=factor):
            hit = _span(rows, to_us(start), to_us(end))
            for name in columns if len(hit) else ():
                values = rows.cells[name].values.copy()
                values[hit] = np.rint(values[hit] * factor).astype(np.int64)
                rows = rows.with_values(name, values)
            return rows
        case SwappedColumns(start=start, end=end, columns=(left, right)):
            hit = _span(rows, to_us(start), to_us(end))
            if not len(hit):
                return rows
            one, other = rows.cells[left].values.copy(), rows.cells[right].values.copy()
            one[hit], other[hit] = other[hit].copy(), one[hit].copy()
            return rows.with_values(left, one).with_values(right, other)
        case ShiftedTimes(at=at, milliseconds=milliseconds, count=count):
            hit = _span(rows, to_us(at), epoch_us(file.period.end))[:count]
            if not len(hit):
                return rows
            name = spec_of(file.series.type).time_column
            values = rows.cells[name].values.copy()
            values[hit] += milliseconds * 1000
            return rows.with_values(name, values)


def _span(rows: Table, start: int, end: int) -> Ints:
    """Positions of the rows of [start, end), whatever their order."""
    return np.flatnonzero((rows.at >= start) & (rows.at < end)).astype(np.int64)


def _interleaved(rows: Table, offset: int) -> Table:
    """Every other moment's rows in a second id stream; rows of one moment stay in one stream."""
    moment = np.cumsum(np.diff(rows.at // 1000, prepend=rows.at[0] // 1000) > 0)
    second = moment % 2 == 1
    ids = rows.cells["agg_trade_id"].values.copy()
    base = int(ids[0])
    ids[~second] = base + np.arange(int((~second).sum()))
    ids[second] = base + offset + np.arange(int(second.sum()))
    return Table(
        rows.at, {**rows.cells, "agg_trade_id": replace(rows.cells["agg_trade_id"], values=ids)}
    )
