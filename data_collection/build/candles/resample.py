"""Hours (or other intervals) at every offset from the candle store, for all its symbols.

    candles/{trade type}_{interval}_resample/{0m,5m,…}/{SYMBOL}.parquet
    candles/{trade type}_{interval}_resample_all/{0m,5m,…}.parquet      all symbols of an offset

The files are made from the store and carry the checksum of what they were made from. The thousands
of small ones appear a group of symbols at a time, each group synced by one call (`FileGroup`) while
the next one is folded.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from alphaqcm.data_collection.build.candles.resampled_files import (
    SCHEMA,
    Commits,
    LongFiles,
    Made,
)
from alphaqcm.data_collection.build.candles.store import FOLDER, CandleStore
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.candles.fold import Ints, Values
from alphaqcm.pipeline.candles.resample import WindowRule, resample
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA, PRICES, QUANTITIES, offset_name
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.errors import DamagedFile, LayerError
from alphaqcm.pipeline.storage.artifact import Fingerprint, record_in
from alphaqcm.pipeline.storage.file_group import FileGroup, sync_folders
from alphaqcm.pipeline.storage.parquet_template import TemplateWriter
from alphaqcm.pipeline.storage.verified_read import read_proven

VERSION = 1
_THREADS = 2
_GROUP = 64  # symbols of a row group in the long files: bounds the memory

_READ = ["candle_begin_time", *PRICES, *QUANTITIES]


class Source(Protocol):
    """Where candles come from."""

    @property
    def trade_type(self) -> str:
        """Names the folders."""

    @property
    def interval(self) -> str:
        """Of the candles."""

    def symbols(self) -> list[str]:
        """Symbols in order."""

    def load(self, symbol: str) -> tuple[Ints, dict[str, Values], str]:
        """(begins in microseconds, the other columns, SHA-256 of the rows)."""


@dataclass(frozen=True, slots=True)
class StoreSource:
    """The candle store as it is."""

    store: CandleStore

    @property
    def trade_type(self) -> str:
        """The store's."""
        return self.store.trade_type

    @property
    def interval(self) -> str:
        """The store's."""
        return self.store.interval

    def symbols(self) -> list[str]:
        """The store's."""
        return self.store.symbols()

    def load(self, symbol: str) -> tuple[Ints, dict[str, Values], str]:
        """The candles; raises `LayerError` for a damaged file."""
        path = self.store.path(symbol)
        try:
            with pq.ParquetFile(pa.BufferReader(read_proven(path))) as file:
                record = record_in(file.metadata)
                table = file.read(_READ, use_threads=False)
        except DamagedFile as error:
            raise _damaged(path, OSError("it was damaged on the disk")) from error
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _damaged(path, error) from error
        if record is None:
            raise _damaged(path, ValueError("a file without its footer"))
        begins = table["candle_begin_time"].cast(pa.int64()).to_numpy()
        columns = {name: table[name].to_numpy() for name in (*PRICES, *QUANTITIES)}
        return begins, columns, str(record.report["checksum"])


@dataclass(frozen=True, slots=True)
class ResampleJob:
    """What to make."""

    source: Source
    root: Path
    interval: str
    offsets: tuple[int, ...]
    rule: WindowRule

    @property
    def grid(self) -> WindowGrid:
        """Windows of the interval; raises `BadName`."""
        return WindowGrid.of(self.source.interval, self.interval)

    @property
    def folder(self) -> Path:
        """Where the symbols' files go."""
        return self.root / FOLDER / f"{self.source.trade_type}_{self.interval}_resample"

    @property
    def long_folder(self) -> Path:
        """Where the long files go."""
        return self.folder.with_name(self.folder.name + "_all")


@dataclass(slots=True)
class ResampleResult:
    """What was made."""

    symbols: int = 0
    windows: int = 0
    files: int = 0
    short: list[str] = field(default_factory=list)  # symbols without a whole window


def resample_store(job: ResampleJob, progress: Callable[[str], object]) -> ResampleResult:
    """Make the windows of every symbol; raises `UsageError`, `LayerError`, `DiskFull`."""
    symbols = job.source.symbols()
    if not symbols:
        raise UsageError(
            job.root / FOLDER / f"{job.source.trade_type}_{job.source.interval}",
            expected="candles to fold",
            found="none",
            next_step="fetch them first: alphaqcm candles fetch",
        )
    writer = TemplateWriter(SCHEMA, _fingerprint(job).to_dict(), "candles")
    folders = [job.folder / offset_name(offset) for offset in job.offsets]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    result = ResampleResult()
    with (
        LongFiles(job.long_folder, job.offsets, _fingerprint(job)) as long_files,
        Commits() as commits,
        ThreadPoolExecutor(_THREADS, "resample") as pool,
    ):
        for begin in range(0, len(symbols), _GROUP):
            group = commits.group()
            names = symbols[begin : begin + _GROUP]
            made = pool.map(lambda symbol, to=group: _make_symbol(job, writer, to, symbol), names)
            found: list[Made] = []
            for symbol, one in zip(names, made, strict=True):
                count = one.windows.bounds[-1][1]
                result.symbols += 1
                result.windows += count
                result.files += len(one.windows.offsets)
                if not count:
                    result.short.append(symbol)
                found.append(one)
                progress(symbol)
            commits.begin(group)
            long_files.add(names, found)
        commits.wait()
        sync_folders(folders)
        long_files.commit()
    return result


def _make_symbol(job: ResampleJob, writer: TemplateWriter, group: FileGroup, symbol: str) -> Made:
    begins, columns, checksum = job.source.load(symbol)
    windows = resample(begins, columns, job.grid, job.offsets, job.rule)
    ordered = [windows.columns[name] for name in CANDLE_SCHEMA]
    for offset, (first, last) in zip(windows.offsets, windows.bounds, strict=True):
        path = f"{job.folder}/{offset_name(offset)}/{symbol}.parquet"
        group.write(path, writer.encode([values[first:last] for values in ordered], checksum))
    return Made(windows, checksum)


def _fingerprint(job: ResampleJob) -> Fingerprint:
    return Fingerprint(
        f"{FOLDER}/{job.source.trade_type}_{job.interval}_resample",
        VERSION,
        (),
        (("from", job.source.interval), ("holes", job.rule.value)),
    )


def _damaged(path: Path, error: Exception) -> Exception:
    return LayerError(
        path,
        expected="a whole file of the candle store",
        found=f"{error}".splitlines()[0],
        next_step="alphaqcm candles fetch moves it aside and fetches its candles anew",
    )
