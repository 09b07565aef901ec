"""The files of resampled candles: their columns, the long files, and commits in the background."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from alphaqcm.pipeline.candles.fold import Values
from alphaqcm.pipeline.candles.resample import Windows
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA, offset_name
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, Input
from alphaqcm.pipeline.storage.atomic_write import AtomicBatch
from alphaqcm.pipeline.storage.file_digest import seal_file
from alphaqcm.pipeline.storage.file_group import FileGroup

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
SCHEMA = pa.schema(_FIELDS)
_SYMBOL = pa.dictionary(pa.int32(), pa.string())  # the file has texts
_LONG = pa.schema([pa.field("symbol", _SYMBOL, nullable=False), *_FIELDS])


@dataclass(frozen=True, slots=True)
class Made:
    """A symbol's windows and the SHA-256 of the rows that they are made from."""

    windows: Windows
    checksum: str


class Commits:
    """Groups of files, each committed in a thread of its own while the next one is written."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "commit")
        self._running: Future[None] | None = None
        self._groups = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._pool.shutdown()
        self._groups.__exit__(*error)

    def group(self) -> FileGroup:
        """A new group, removed at the end where it is not committed."""
        return self._groups.enter_context(FileGroup())

    def begin(self, group: FileGroup) -> None:
        """Commit a group in the background, after the one before; raises what that one met."""
        self.wait()
        self._running = self._pool.submit(group.commit)

    def wait(self) -> None:
        """Until nothing is being committed; raises `LayerError`, `DiskFull`."""
        if self._running is not None:
            self._running.result()


class LongFiles:
    """One file an offset with all symbols, written a group of symbols at a time."""

    def __init__(self, folder: Path, offsets: Sequence[int], fingerprint: Fingerprint) -> None:
        self._folder = folder
        self._offsets = offsets
        self._fingerprint = fingerprint  # without inputs
        self._batch = AtomicBatch()
        self._writers: list[pq.ParquetWriter] = []
        self._temps: list[Path] = []
        self._inputs: list[Input] = []
        self._room: dict[str, Values] = {}

    def __enter__(self) -> Self:
        self._batch.__enter__()
        for offset in self._offsets:
            path = self._folder / f"{offset_name(offset)}.parquet"
            self._temps.append(self._batch.add(path))
            self._writers.append(
                pq.ParquetWriter(
                    self._temps[-1],
                    _LONG,
                    compression="none",
                    use_dictionary=["symbol"],
                    write_statistics=["symbol", "candle_begin_time"],
                    store_schema=False,
                )
            )
        return self

    def __exit__(self, *error: Any) -> None:
        with contextlib.suppress(OSError):
            self._close()
        self._batch.__exit__(*error)

    def add(self, symbols: Sequence[str], found: Sequence[Made]) -> None:
        """Append the windows of some symbols."""
        self._inputs += [
            Input(symbol, one.checksum) for symbol, one in zip(symbols, found, strict=True)
        ]
        for number, writer in enumerate(self._writers):
            parts = [slice(*one.windows.bounds[number]) for one in found]
            index = np.repeat(
                np.arange(len(symbols), dtype=np.int32), [part.stop - part.start for part in parts]
            )
            names = pa.DictionaryArray.from_arrays(pa.array(index), pa.array(list(symbols)))
            arrays = [
                pa.array(self._joined(name, found, parts)).cast(kind.type)
                for name, kind in zip(CANDLE_SCHEMA, _FIELDS, strict=True)
            ]
            table = pa.Table.from_arrays([names, *arrays], schema=_LONG)
            try:
                writer.write_table(table, row_group_size=max(1, table.num_rows))
            except OSError as error:
                raise layer_error(self._folder, error) from error

    def _joined(self, name: str, found: Sequence[Made], parts: Sequence[slice]) -> Values:
        """One column of one offset, symbol after symbol; overwritten by the next offset's."""
        values = [one.windows.columns[name][part] for one, part in zip(found, parts, strict=True)]
        rows = sum(len(one) for one in values)
        room = self._room.get(name)
        if room is None or len(room) < rows:  # fresh memory each time costs more than the copy
            room = self._room[name] = np.empty(rows, values[0].dtype)
        return np.concatenate(values, out=room[:rows])

    def commit(self) -> None:
        """Seal the files and put them in their places; raises `LayerError`, `DiskFull`."""
        footer = Artifact(
            self._folder, replace(self._fingerprint, inputs=tuple(self._inputs))
        ).footer({})
        try:
            for writer in self._writers:
                writer.add_key_value_metadata(footer)
            self._close()
            for temp in self._temps:
                seal_file(temp)
        except OSError as error:
            raise layer_error(self._folder, error) from error
        self._batch.commit()

    def _close(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers = []
