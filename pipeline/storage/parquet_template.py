"""Many small parquet files of one schema, fast: the library encodes one, the others are spliced.

Files of one schema and row count, without compression, dictionary, nulls or statistics, differ in
their values' bytes only. pyarrow encodes a template of them; in each file its values are replaced,
and so are, in its metadata, the SHA-256 of its source and the digest of its own bytes (see
`file_digest`). Where the values do not lie in one piece (many rows), the library encodes the file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from alphaqcm.pipeline.storage.file_digest import DIGEST_KEY, UNSEALED, digest_place, seal
from alphaqcm.pipeline.storage.verified_read import FOOTER_KEY

_MARK: Final = hashlib.sha256(b"stands for the checksum of a file's source").hexdigest()
_SOURCE, _DIGEST = -1, -2  # in place of a column's number
_ZEROS: Final = b"0" * 32


@dataclass(frozen=True, slots=True)
class _Template:
    """The bytes around the columns' values, in file order, and what each gap takes."""

    pieces: tuple[bytes, ...]  # one more than gaps
    order: tuple[int, ...]  # number of the column, _SOURCE or _DIGEST


class TemplateWriter:
    """Encodes files of one schema; all columns are 64-bit and without nulls.

    A file carries its digest and `{"fingerprint": …, "report": …}` as the other layers' files do;
    the fingerprint is the same but for its one input, called `key`: the SHA-256 of what the file
    was made from.
    """

    def __init__(self, schema: pa.Schema, fingerprint: Mapping[str, Any], key: str) -> None:
        self._schema = schema
        self._fingerprint = dict(fingerprint)
        self._key = key
        self._templates: dict[int, _Template | None] = {}

    def encode(self, columns: Sequence[npt.NDArray[Any]], input_sha256: str) -> list[Any]:
        """A file's bytes as buffers to be written one after the other.

        `columns` in the schema's order, of shape (rows,), int64 or float64 as the schema says.
        They are not copied: they must not change until the buffers are written.
        """
        rows = len(columns[0])
        if rows not in self._templates:
            self._templates[rows] = self._make(rows) if rows else None
        template = self._templates[rows]
        if template is None:
            return [seal(self._encode(columns, input_sha256))]
        return _splice(template, columns, input_sha256)

    def _encode(self, columns: Sequence[npt.NDArray[Any]], input_sha256: str) -> bytes:
        """The file without its digest, as the library writes it."""
        table = pa.Table.from_arrays(
            [
                pa.array(values).cast(field.type)
                for values, field in zip(columns, self._schema, strict=True)
            ],
            schema=self._schema,
        )
        footer = {
            DIGEST_KEY: UNSEALED,
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
        end_of_values = max(data.find(mark.tobytes()) for mark in marks)
        digest = digest_place(data[end_of_values:])
        places = [
            *((data.find(mark.tobytes()), rows * 8, number) for number, mark in enumerate(marks)),
            (data.find(_MARK.encode()), len(_MARK), _SOURCE),
            (-1 if digest is None else end_of_values + digest, len(_ZEROS), _DIGEST),
        ]
        if any(at < 0 for at, _, _ in places) or data.count(_MARK.encode()) != 1:
            return None
        pieces, order, done = [], [], 0
        for at, size, number in sorted(places):
            pieces.append(data[done:at])
            order.append(number)
            done = at + size
        return _Template((*pieces, data[done:]), tuple(order))


def _splice(
    template: _Template, columns: Sequence[npt.NDArray[Any]], input_sha256: str
) -> list[Any]:
    """The template's pieces with the values between them, and the digest of it all."""
    found = xxhash.xxh3_128(template.pieces[0])
    buffers: list[Any] = [template.pieces[0]]
    place, gap = 0, memoryview(b"")
    for number, piece in zip(template.order, template.pieces[1:], strict=True):
        if number == _DIGEST:
            place, gap = len(buffers), memoryview(_ZEROS)
        elif number == _SOURCE:
            gap = memoryview(input_sha256.encode())
        else:
            gap = np.ascontiguousarray(columns[number]).data.cast("B")
        found.update(gap)
        found.update(piece)
        buffers += (gap, piece)
    buffers[place] = found.hexdigest().encode()
    return buffers
