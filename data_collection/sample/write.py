"""Writes a sample: every symbol's blocks into the monthly and daily files that hold them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import get_args

from data_collection.errors import UsageError
from data_collection.sample.edits import edited
from data_collection.sample.files import Writer
from data_collection.sample.simulate import Block, Kind, blocks
from data_collection.sample.spec import SampleSpec
from data_collection.sample.table import Table
from data_collection.sample.traps import (
    Delisted,
    Event,
    FileTrap,
    Flaw,
    Frozen,
    FundingChange,
    IdGap,
    Jump,
    Listed,
    Outage,
    Relisted,
    RepeatedIds,
    RowTrap,
    Trap,
    ZeroQuantity,
)
from pipeline.keys import ArchiveFile, Period, Series, Symbol, epoch_us
from pipeline.layers import clean_temps
from pipeline.registry import DataType, Market


@dataclass(frozen=True, slots=True)
class Written:
    """What a sample came to."""

    files: tuple[ArchiveFile, ...]  # in the order they were written
    bytes: int  # of their ZIPs
    rows: int  # rows of all types, as simulated


def write_sample(dest: Path, spec: SampleSpec) -> Written:
    """Write the archive that `spec` describes below `dest`, in the archive's own tree.

    Files that stand there with the same bytes are left alone, other files of `dest` are too.
    Raises `UsageError` when a trap concerns no file of the sample, `LayerError` on a full disk.
    """
    dest.mkdir(parents=True, exist_ok=True)
    clean_temps(dest)
    _check_events(spec)
    job = _Job(dest, spec)
    for symbol in spec.symbols:
        job.symbol(symbol)
    if spec.today <= spec.last:
        return job.written  # a trap may concern what is not published yet
    idle = [
        trap
        for trap in spec.traps
        if not isinstance(trap, get_args(Event)) and trap not in job.used
    ]
    if idle:
        raise _idle(idle[0])
    return job.written


def _check_events(spec: SampleSpec) -> None:
    """Raise `UsageError` for an event that no simulated symbol or day can show."""
    for trap in spec.traps:
        match trap:
            case ZeroQuantity(symbol=symbol, day=day):
                first = last = day
            case RepeatedIds(symbol=symbol, day=day):
                first = last = day
                if day == spec.first:  # there is no day before
                    raise _idle(trap)
            case (
                Outage(symbol=symbol, start=start, end=end)
                | Frozen(symbol=symbol, start=start, end=end)
            ):
                first, last = start.date(), end.date()
            case Listed(symbol=symbol, at=at) | Delisted(symbol=symbol, at=at):
                first, last = at.date(), spec.last  # may lie before the sample
            case (
                Relisted(symbol=symbol, at=at)
                | Jump(symbol=symbol, at=at)
                | FundingChange(symbol=symbol, at=at)
                | IdGap(symbol=symbol, at=at)
            ):
                first = last = at.date()
            case _:
                continue
        if symbol not in ("", *spec.symbols) or first > spec.last or last < spec.first:
            raise _idle(trap)


def _idle(trap: Trap) -> UsageError:
    return UsageError(
        f"sample: {type(trap).__name__}",
        expected="a trap that concerns the sample's symbols, types and days",
        found=", ".join(f"{field.name}={getattr(trap, field.name)}" for field in fields(trap)),
        next_step="correct the trap, or widen the sample",
    )


class _Job:
    """The writers at work and what they came to."""

    def __init__(self, dest: Path, spec: SampleSpec) -> None:
        self._dest, self._spec = dest, spec
        self._row_traps = [trap for trap in spec.traps if isinstance(trap, get_args(RowTrap))]
        self._file_traps = [trap for trap in spec.traps if isinstance(trap, FileTrap)]
        self._months: dict[Kind, Writer] = {}
        self._pairs: set[str] = set()
        self.files: list[ArchiveFile] = []
        self.bytes = self.rows = 0
        self.used: set[Trap] = set()

    @property
    def written(self) -> Written:
        """What it came to so far."""
        return Written(tuple(self.files), self.bytes, self.rows)

    def symbol(self, symbol: str) -> None:
        """Write all files of one symbol."""
        month: date | None = None
        pair = Symbol(self._spec.market, symbol).pair
        skip_index = self._spec.market is Market.CM and pair in self._pairs
        self._pairs.add(pair)
        for block in blocks(self._spec, symbol):
            if month != block.days[0].replace(day=1):
                self._close_months()
                month = block.days[0].replace(day=1)
            for kind, rows in block.tables.items():
                if kind[0] is DataType.INDEX and skip_index:
                    continue  # index files are kept by pair: another contract has written them
                self.rows += len(rows)
                self._block(self._series(symbol, kind), kind, block, rows)
        self._close_months()

    def _series(self, symbol: str, kind: Kind) -> Series:
        data_type, interval = kind
        market = self._spec.market
        if data_type is DataType.INDEX and market is Market.CM:
            symbol = Symbol(market, symbol).pair
        return Series(market, data_type, symbol, interval)

    def _block(self, series: Series, kind: Kind, block: Block, rows: Table) -> None:
        month = Period.month(block.days[0])
        if self._spec.has_month(series.type, month):
            writer = self._months.get(kind)
            if writer is None:
                writer = self._months[kind] = self._writer(series.file(month))
            self._add(writer, rows, block.days)
        for day in block.days:
            if self._spec.has_day(series.type, day):
                writer = self._writer(series.file(Period.day(day)))
                start = epoch_us(day)
                end = writer.file.period.end_us
                self._add(writer, rows.between(start, end), (day,))
                self._close(writer)

    def _writer(self, file: ArchiveFile) -> Writer:
        flaws = set[Flaw]()
        for trap in self._file_traps:
            if trap.where.picks(file):
                flaws.add(trap.flaw)
                self.used.add(trap)
        return Writer(file, frozenset(flaws), self._spec.compression)

    def _add(self, writer: Writer, rows: Table, days: tuple[date, ...]) -> None:
        rows, used = edited(rows, days, writer.file, self._row_traps, self._spec.seed)
        self.used |= used
        writer.add(rows)

    def _close_months(self) -> None:
        for writer in self._months.values():
            self._close(writer)
        self._months.clear()

    def _close(self, writer: Writer) -> None:
        size = writer.close(self._dest)
        if size:
            self.files.append(writer.file)
            self.bytes += size
