"""The wide table as one parquet: schema with the registry's words, written symbol by symbol.

A row group never holds rows of two symbols, so that a symbol can be read, replaced or dropped
without the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from alphaqcm.pipeline.errors import LayerError, TableError, layer_error
from alphaqcm.pipeline.features.columns import COLUMNS, REGISTRY, DType
from alphaqcm.pipeline.storage.artifact import Artifact, Record, read_record
from alphaqcm.pipeline.storage.atomic_write import CommitHook
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore
from alphaqcm.pipeline.storage.verified_read import remember_written, require_whole

_ARROW: dict[DType, pa.DataType] = {
    DType.STRING: pa.string(),
    DType.TIME: pa.timestamp("us", "UTC"),
    DType.FLOAT: pa.float64(),
    DType.INT64: pa.int64(),
    DType.INT32: pa.int32(),
    DType.INT16: pa.int16(),
    DType.INT8: pa.int8(),
    DType.BOOLEAN: pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How the parquet is cut and packed."""

    compression: str = "zstd"
    row_group_size: int = 8_192  # rows; about a year of hours, so that an update rewrites the last

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The options as parameters of a fingerprint."""
        return (("compression", self.compression), ("row_group_size", str(self.row_group_size)))


@dataclass(frozen=True, slots=True)
class SymbolRows:
    """What the table holds of one symbol."""

    symbol: str
    rows: int
    first: str  # datetime of the first and last row, ISO 8601
    last: str

    @classmethod
    def of(cls, symbol: str, frame: pl.DataFrame) -> SymbolRows:
        """Of a frame in order of time with at least one row."""
        times = frame["datetime"]
        return cls(symbol, frame.height, times[0].isoformat(), times[-1].isoformat())


def arrow_schema() -> pa.Schema:
    """The table's schema; each field carries the registry's entry of its column."""
    return pa.schema(
        [
            pa.field(name, _ARROW[REGISTRY[name].dtype], metadata=REGISTRY[name].metadata())
            for name in COLUMNS
        ]
    )


@dataclass(frozen=True, slots=True)
class TableReport:
    """What the table's footer tells of it."""

    symbols: tuple[SymbolRows, ...]
    metrics_last: Mapping[str, str | None] | None = None  # None in a table made of another table

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        told: dict[str, Any] = {"symbols": [asdict(rows) for rows in self.symbols]}
        return told if self.metrics_last is None else {**told, "metrics_last": self.metrics_last}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> TableReport:
        """Read the JSON form; raises KeyError, TypeError."""
        return cls(tuple(SymbolRows(**one) for one in told["symbols"]), told.get("metrics_last"))


def write_table(
    frames: Iterable[tuple[str, pl.DataFrame]],
    artifact: Artifact,
    options: TableOptions,
    metrics_last: Mapping[str, str | None] | None = None,
    gate: CommitHook = contextlib.nullcontext,
) -> tuple[SymbolRows, ...]:
    """Write `frames`, (symbol, rows with all columns) in byte order of the symbols, as `artifact`.

    One frame is read ahead while the one before is written. The footer carries the fingerprint, and
    in its report what the table holds of each symbol. Raises `LayerError`, `DiskFull`, and
    `TableError` when the symbols are not in order.
    """
    path = artifact.path
    held: list[SymbolRows] = []
    try:
        with (
            artifact.store.sealed(path, gate) as written,
            open_writer(written.target, arrow_schema(), options) as writer,
        ):
            for symbol, frame in _ahead(frames):
                if held and symbol <= held[-1].symbol:
                    raise TableError(
                        path,
                        expected=f"symbols in byte order, each once, after {held[-1].symbol}",
                        found=symbol,
                    )
                writer.write_table(to_arrow(frame), row_group_size=options.row_group_size)
                held.append(SymbolRows.of(symbol, frame))
            report = TableReport(tuple(held), metrics_last)
            writer.add_key_value_metadata(artifact.footer(report.to_dict()))
            written.begin_footer()
        record = Record(artifact.fingerprint, report.to_dict())
        remember_written(path, artifact.store, record)
    except pa.ArrowException as error:
        raise LayerError(
            path, expected="a table that parquet can hold", found=str(error)
        ) from error
    except OSError as error:
        raise layer_error(path, error) from error
    return tuple(held)


def open_writer(
    where: Path | IO[bytes], schema: pa.Schema, options: TableOptions
) -> pq.ParquetWriter:
    """A writer of the table's rows, or of some of its columns."""
    return pq.ParquetWriter(
        where,
        schema,
        compression=options.compression,
        use_dictionary=["symbol"],
        write_statistics=True,
        write_page_checksum=True,  # for those who read the table elsewhere; here the digest tells
    )


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """Columns of the table with the types and words that its schema gives them."""
    schema = arrow_schema()
    wanted = pa.schema([schema.field(name) for name in frame.columns])
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(wanted)


def _ahead(
    frames: Iterable[tuple[str, pl.DataFrame]],
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The same, with the next one made by a second thread meanwhile; empty ones left out."""
    source = iter(frames)
    with ThreadPoolExecutor(1, "ahead") as pool:
        coming = pool.submit(next, source, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            if item[1].height:
                yield item


def table_report(path: Path, store: FileStore = LOCAL) -> TableReport:
    """What the table at `path` tells of itself; raises `TableError` when it is none of ours."""
    record = read_record(path, store)
    try:
        if record is None:
            raise KeyError(path)
        return TableReport.from_dict(record.report)
    except (KeyError, TypeError) as error:
        raise TableError(
            path,
            expected="a final table with its footer",
            found="none" if store.stat(path) is None else "a file without one",
            next_step="build it with: alphaqcm build",
        ) from error


def held_symbols(path: Path, store: FileStore = LOCAL) -> tuple[SymbolRows, ...]:
    """What the table at `path` says it holds; raises `TableError` when it is none of ours."""
    return table_report(path, store).symbols


def read_table(
    path: Path, columns: Sequence[str] | None = None, store: FileStore = LOCAL
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The table's symbols one after another, with these columns or all.

    Raises `DamagedFile` where its bytes are not those that were written, `LayerError` for a file
    that cannot be read, `TableError` when a row group holds rows of two symbols.
    """
    require_whole(path, store)
    names = list(COLUMNS if columns is None else columns)
    try:
        with store.open(path) as stream, pq.ParquetFile(stream) as file:
            groups = [_symbol_of(path, file.metadata, i) for i in range(file.num_row_groups)]
            for symbol, run in groupby(range(len(groups)), key=lambda i: groups[i]):
                frame = pl.from_arrow(file.read_row_groups(list(run), columns=names))
                if isinstance(frame, pl.DataFrame):
                    yield symbol, frame
    except pa.ArrowException as error:
        raise LayerError(path, expected="a final table", found=str(error)) from error
    except OSError as error:
        raise layer_error(path, error) from error


def _symbol_of(path: Path, metadata: pq.FileMetaData, group: int) -> str:
    statistics = metadata.row_group(group).column(0).statistics
    if statistics is None or statistics.min != statistics.max:
        raise TableError(
            path,
            expected="row groups of one symbol each",
            found=f"row group {group} with several",
            next_step="build it with: alphaqcm build",
        )
    return str(statistics.min)
