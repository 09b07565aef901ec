"""Writes a sample: every symbol's blocks into the monthly and daily files that hold them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import get_args

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.sample.defects import (
    Delisted,
    Event,
    FileTrap,
    Flaw,
    Frozen,
    Listed,
    Outage,
    RepeatedIds,
    RowTrap,
    Trap,
    ZeroQuantity,
)
from alphaqcm.data_collection.simulation.sample.files import Writer
from alphaqcm.data_collection.simulation.sample.market_events import to_us
from alphaqcm.data_collection.simulation.sample.price_process import DAY_US
from alphaqcm.data_collection.simulation.sample.row_edits import edited
from alphaqcm.data_collection.simulation.sample.simulate import Block, Kind, blocks
from alphaqcm.data_collection.simulation.sample.spec import SampleSpec
from alphaqcm.data_collection.simulation.sample.table import Table
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.domain.time import MINUTE_US, epoch_us
from alphaqcm.pipeline.storage.atomic_write import clean_temps


@dataclass(frozen=True, slots=True)
class Written:
    """What a sample came to."""

    files: tuple[ArchiveFile, ...]  # in the order they were written
    bytes: int  # of their ZIPs
    rows: int  # rows of all types, as simulated


def _silent(_days: int) -> None:
    """Nobody listens."""


def write_sample(dest: Path, spec: SampleSpec, told: Callable[[int], object] = _silent) -> Written:
    """Write the archive that `spec` describes below `dest`, in the archive's own tree.

    Files that stand there with the same bytes are left alone, other files of `dest` are too.
    `told` hears how many days of a symbol were written just now.
    Raises `UsageError` when a trap concerns no file of the sample, `LayerError` on a full disk.
    """
    _check_events(spec)
    clean_temps(dest)
    job = _Job(dest, spec, told)
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
    first, end = epoch_us(spec.first), epoch_us(spec.last) + DAY_US
    for trap in spec.traps:
        if not isinstance(trap, get_args(Event)):
            continue
        match trap:
            case ZeroQuantity(day=day):
                begins = ends = epoch_us(day)
            case RepeatedIds(day=day):
                begins, ends = epoch_us(day), epoch_us(day) - DAY_US  # it needs a day before
            case Outage(start=start, end=stop) | Frozen(start=start, end=stop):
                begins, ends = to_us(start), to_us(stop)
            case Listed(at=at) | Delisted(at=at):
                begins, ends = to_us(at), end  # it may lie before the sample
            case _:
                begins = ends = to_us(trap.at)
        whole = begins % MINUTE_US == 0 == ends % MINUTE_US
        known = trap.symbol in ("", *spec.symbols)
        if not whole or not known or begins >= end or ends < first:
            raise _idle(trap)


def _idle(trap: Trap) -> UsageError:
    return UsageError(
        f"sample: {type(trap).__name__}",
        expected="a trap that concerns the sample's symbols, types and days, at a whole minute",
        found=", ".join(f"{field.name}={getattr(trap, field.name)}" for field in fields(trap)),
        next_step="correct the trap, or widen the sample",
    )


class _Job:
    """The writers at work and what they came to."""

    def __init__(self, dest: Path, spec: SampleSpec, told: Callable[[int], object]) -> None:
        self._dest, self._spec, self._told = dest, spec, told
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
            self._told(len(block.days))
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
