"""Hours (or other intervals) at every offset from the candle store, for all its symbols.

    candles/{trade type}_{interval}_resample/{0m,5m,…}/{SYMBOL}.parquet
    candles/{trade type}_{interval}_resample_all/{0m,5m,…}.parquet      all symbols of an offset

The files are made from the store and carry the checksum of what they were made from. They are
renamed whole but not synced one by one: thousands of syncs would take longer than everything else,
and after a power cut the same command makes them again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from alphaqcm.data_collection.build.candles.store import FOLDER, CandleStore
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.candles.fold import Values
from alphaqcm.pipeline.candles.resample import WindowRule, Windows, resample
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA, PRICES, QUANTITIES, offset_name
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.artifact import Fingerprint, record_in
from alphaqcm.pipeline.storage.atomic_write import AtomicBatch
from alphaqcm.pipeline.storage.file_digest import Proof
from alphaqcm.pipeline.storage.parquet_template import TemplateWriter
from alphaqcm.pipeline.storage.verified_read import examine

VERSION = 1
_THREADS = 2
_GROUP = 64  # symbols of a row group in the long files: bounds the memory

_TIME = pa.timestamp("us", tz="UTC")
_FIELDS = [
    pa.field(
        name,
        _TIME
        if kind == pl.Datetime("us", "UTC")
        else pa.int64()
        if kind == pl.Int64
        else pa.float64(),
        nullable=False,
    )
    for name, kind in CANDLE_SCHEMA.items()
]
_SCHEMA = pa.schema(_FIELDS)
_LONG_SCHEMA = pa.schema([pa.field("symbol", pa.string(), nullable=False), *_FIELDS])


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

    def load(self, symbol: str) -> tuple[npt.NDArray[np.int64], dict[str, Values], str]:
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

    def load(self, symbol: str) -> tuple[npt.NDArray[np.int64], dict[str, Values], str]:
        """The candles; raises `LayerError` for a damaged file."""
        path = self.store.path(symbol)
        if examine(path).proof is Proof.DAMAGED:
            raise _damaged(path, OSError("it was damaged on the disk"))
        try:
            with pq.ParquetFile(path) as file:
                record = record_in(file.metadata)
                table = file.read(list(CANDLE_SCHEMA), use_threads=False)
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
    writer = TemplateWriter(_SCHEMA, _fingerprint(job).to_dict(), "candles")
    for offset in job.offsets:
        (job.folder / offset_name(offset)).mkdir(parents=True, exist_ok=True)
    result = ResampleResult()
    with _LongFiles(job) as long_files, ThreadPoolExecutor(_THREADS, "resample") as pool:
        for begin in range(0, len(symbols), _GROUP):
            group = symbols[begin : begin + _GROUP]
            made = pool.map(lambda symbol: _make_symbol(job, writer, symbol), group)
            found: list[Windows] = []
            for symbol, windows in zip(group, made, strict=True):
                count = windows.bounds[-1][1]
                result.symbols += 1
                result.windows += count
                result.files += len(windows.offsets)
                if not count:
                    result.short.append(symbol)
                found.append(windows)
                progress(symbol)
            long_files.add(group, found)
        long_files.commit()
    return result


def _make_symbol(job: ResampleJob, writer: TemplateWriter, symbol: str) -> Windows:
    begins, columns, checksum = job.source.load(symbol)
    windows = resample(begins, columns, job.grid, job.offsets, job.rule)
    names = list(CANDLE_SCHEMA)
    for offset, (first, last) in zip(windows.offsets, windows.bounds, strict=True):
        path = job.folder / offset_name(offset) / f"{symbol}.parquet"
        writer.write(path, [windows.columns[name][first:last] for name in names], checksum)
    return windows


def _fingerprint(job: ResampleJob) -> Fingerprint:
    return Fingerprint(
        f"{FOLDER}/{job.source.trade_type}_{job.interval}_resample",
        VERSION,
        (),
        (("from", job.source.interval), ("holes", job.rule.value)),
    )


class _LongFiles:
    """One file an offset with all symbols, written a group of symbols at a time."""

    def __init__(self, job: ResampleJob) -> None:
        self._job = job
        self._batch = AtomicBatch()
        self._writers: list[pq.ParquetWriter] = []

    def __enter__(self) -> _LongFiles:
        self._batch.__enter__()
        for offset in self._job.offsets:
            path = self._job.long_folder / f"{offset_name(offset)}.parquet"
            self._writers.append(
                pq.ParquetWriter(
                    self._batch.add(path),
                    _LONG_SCHEMA,
                    compression="none",
                    use_dictionary=["symbol"],
                    write_statistics=["symbol", "candle_begin_time"],
                )
            )
        return self

    def __exit__(self, *error: Any) -> None:
        with contextlib.suppress(OSError):
            self._close()
        self._batch.__exit__(*error)

    def add(self, symbols: Sequence[str], found: Sequence[Windows]) -> None:
        """Append the windows of some symbols."""
        for number, writer in enumerate(self._writers):
            counts = [w.bounds[number][1] - w.bounds[number][0] for w in found]
            index = np.repeat(np.arange(len(symbols), dtype=np.int32), counts)
            names = pa.DictionaryArray.from_arrays(pa.array(index), pa.array(list(symbols)))
            arrays = [
                pa.array(
                    np.concatenate([w.columns[name][slice(*w.bounds[number])] for w in found])
                ).cast(kind.type)
                for name, kind in zip(CANDLE_SCHEMA, _FIELDS, strict=True)
            ]
            table = pa.Table.from_arrays([names.cast(pa.string()), *arrays], schema=_LONG_SCHEMA)
            try:
                writer.write_table(table, row_group_size=max(1, table.num_rows))
            except OSError as error:
                raise layer_error(self._job.long_folder, error) from error

    def commit(self) -> None:
        """Put the files in their places."""
        self._close()
        self._batch.commit()

    def _close(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers = []


def _damaged(path: Path, error: Exception) -> Exception:
    return layer_error(path, error, "a whole file; alphaqcm candles fetch moves it aside")
