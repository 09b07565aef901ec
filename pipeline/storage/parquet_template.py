"""Many small parquet files of one schema, fast: the library encodes one, the others are spliced.

Files of one schema and row count, without compression, dictionary, nulls or statistics, differ in
their values' bytes only. pyarrow encodes a template of them; in each file its values are replaced,
and so is one SHA-256 in its metadata. Where the values do not lie in one piece (many rows), the
library writes the file itself.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.verified_read import FOOTER_KEY

_MARK: Final = hashlib.sha256(b"stands for the checksum of a file's source").hexdigest()
_TEMP: Final = ".tmp"


@dataclass(frozen=True, slots=True)
class _Template:
    """The bytes around the columns' values, in file order, and which column each gap takes."""

    pieces: tuple[bytes, ...]  # one more than columns, and one more for the checksum
    order: tuple[int, ...]  # number of the column, -1 for the checksum


class TemplateWriter:
    """Writes files of one schema; all columns are 64-bit and without nulls.

    A file carries `{"fingerprint": …, "report": …}` as the other layers' files do; the fingerprint
    is the same but for `input`, the SHA-256 of what the file was made from.
    """

    def __init__(self, schema: pa.Schema, fingerprint: Mapping[str, Any], key: str) -> None:
        self._schema = schema
        self._fingerprint = dict(fingerprint)
        self._key = key
        self._templates: dict[int, _Template | None] = {}

    def write(self, path: Path, columns: list[npt.NDArray[Any]], input_sha256: str) -> None:
        """Write a file to a temp name beside `path` and rename it; not synced: see `resample`.

        `columns` in the schema's order, equally long. Raises `LayerError`, `DiskFull`.
        """
        rows = len(columns[0])
        if rows not in self._templates:
            self._templates[rows] = self._make(rows) if rows else None
        template = self._templates[rows]
        temp = path.with_name(f".{path.name}.{os.getpid()}{_TEMP}")
        try:
            if template is None:
                temp.write_bytes(self._encode(columns, input_sha256))
            else:
                _write_spliced(temp, template, columns, input_sha256)
            temp.replace(path)
        except OSError as error:
            temp.unlink(missing_ok=True)
            raise layer_error(path, error) from error

    def _encode(self, columns: list[npt.NDArray[Any]], input_sha256: str) -> bytes:
        table = pa.Table.from_arrays(
            [
                pa.array(values).cast(field.type)
                for values, field in zip(columns, self._schema, strict=True)
            ],
            schema=self._schema,
        )
        footer = {
            "fingerprint": {**self._fingerprint, "inputs": [[self._key, input_sha256]]},
            "report": {},
        }
        out = io.BytesIO()
        with pq.ParquetWriter(
            out, self._schema, compression="none", use_dictionary=False, write_statistics=False
        ) as writer:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            writer.add_key_value_metadata(
                {FOOTER_KEY: orjson.dumps(footer, option=orjson.OPT_SORT_KEYS).decode()}
            )
        return out.getvalue()

    def _make(self, rows: int) -> _Template | None:
        """The template for files of `rows`; None where values do not lie in one piece."""
        marks = [
            np.random.default_rng(number).integers(0, 2**62, rows)
            for number in range(len(self._schema))
        ]
        values = [
            mark.view(np.float64) if pa.types.is_floating(field.type) else mark
            for mark, field in zip(marks, self._schema, strict=True)
        ]
        data = self._encode(values, _MARK)
        places = [(data.find(mark.tobytes()), number) for number, mark in enumerate(marks)]
        places.append((data.find(_MARK.encode()), -1))
        if any(at < 0 for at, _ in places) or data.count(_MARK.encode()) != 1:
            return None
        pieces, order, done = [], [], 0
        for at, number in sorted(places):
            pieces.append(data[done:at])
            order.append(number)
            done = at + (len(_MARK) if number < 0 else rows * 8)
        return _Template((*pieces, data[done:]), tuple(order))


def _write_spliced(
    path: Path, template: _Template, columns: list[npt.NDArray[Any]], input_sha256: str
) -> None:
    buffers: list[Any] = [template.pieces[0]]
    for number, piece in zip(template.order, template.pieces[1:], strict=True):
        if number < 0:
            buffers.append(input_sha256.encode())
        else:
            buffers.append(np.ascontiguousarray(columns[number]).view(np.uint8))
        buffers.append(piece)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        size = sum(memoryview(one).nbytes for one in buffers)
        if os.writev(descriptor, buffers) != size:
            # a full disk takes what it can: the next write tells
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            with os.fdopen(os.dup(descriptor), "wb") as stream:
                stream.write(b"".join(bytes(one) for one in buffers))
    finally:
        os.close(descriptor)
