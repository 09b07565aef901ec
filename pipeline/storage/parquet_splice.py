"""A parquet file put together from column chunks of others, copied as they are or encoded anew.

The result is, byte for byte, what one writer gives that encodes every chunk itself: a chunk's bytes
do not depend on where it lies, and the footer's positions are set to where it lies now.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from alphaqcm.pipeline.storage.file_digest import digest_place
from alphaqcm.pipeline.storage.parquet_footer import (
    COMPRESSED,
    DATA,
    DATA_AT,
    DATA_END,
    DICT,
    DICT_AT,
    DICT_END,
    END,
    G_CHUNKS,
    G_CHUNKS_END,
    G_END,
    G_FIRST,
    G_ROWS,
    G_START,
    MAGIC,
    PLAIN,
    START,
    Footer,
    list_head,
    read_footer_of,
    varint,
)

Make = Callable[[io.BytesIO, pa.Schema], pq.ParquetWriter]
"""Opens a writer with the options that all chunks are encoded with."""


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """A parquet file with its footer: its bytes in memory, or the descriptor of a file on disk."""

    footer: Footer
    data: bytes = b""
    file: int | None = None

    @classmethod
    def of_file(cls, stream: IO[bytes], path: Path) -> EncodedFile:
        """A file on disk; `stream` stays open while it is used."""
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 8))
        length = int.from_bytes(stream.read(8)[:4], "little") + 8
        stream.seek(max(0, size - length))
        return cls(read_footer_of(stream.read(length), str(path)), file=stream.fileno())

    @classmethod
    def of_table(cls, table: pa.Table, make: Make, group_rows: int) -> EncodedFile:
        """`table` encoded now, in groups of `group_rows`."""
        stream = io.BytesIO()
        with make(stream, table.schema) as writer:
            writer.write_table(table, row_group_size=group_rows)
        data = stream.getvalue()
        return cls(read_footer_of(data, "a table in memory"), data)


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """One column chunk."""

    file: EncodedFile
    group: int
    column: int


_Stretch = tuple[int, int, int]
"""Bytes of a file on disk: its descriptor, start and end."""

_PIECE = 1 << 20
"""Bytes hashed at once, in memory that is used again: fresh memory costs more than hashing it."""
_SEND = 1 << 26
"""Bytes after which the disk is asked to begin with what is written."""
_BEHIND = 1 << 29
"""Bytes written before, which the disk has by now: their memory can be used for what comes."""
_AHEAD = 8
"""Pieces that may wait to be hashed: memory is bounded by them."""


class Splice:
    """The file being put together, group after group; in a `with` block, ended by `finish`.

    A second thread hashes what is written.
    """

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._position = 0
        self._rows = 0
        self._groups: list[bytes] = []
        self._file = out.fileno() if isinstance(out, io.BufferedWriter) else None
        self._sent = 0
        self._hash = hashlib.sha256()
        self._digest = xxhash.xxh3_128()
        self._pieces: Queue[bytes | _Stretch | None] = Queue(_AHEAD)
        self._unread: OSError | None = None
        self._hasher = Thread(target=self._follow, name="hash")

    def __enter__(self) -> Self:
        self._hasher.start()
        self._put(MAGIC)
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.put(None)
        self._hasher.join()

    @property
    def sha256(self) -> str:
        """Checksum of the file, after the block; raises `OSError` where it could not be read."""
        if self._unread is not None:
            raise self._unread
        return self._hash.hexdigest()

    def _follow(self) -> None:
        held = memoryview(bytearray(_PIECE))
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, bytes):
                self._take(piece)
                self._pieces.task_done()
                continue
            file, start, end = piece
            while start < end and self._unread is None:
                try:
                    read = os.preadv(file, [held[: min(end - start, _PIECE)]], start)
                    if not read:
                        raise _short()
                except OSError as error:
                    self._unread = error  # told by the writing thread: this one must go on
                    break
                self._take(held[:read])
                start += read
            self._pieces.task_done()

    def _take(self, piece: bytes | memoryview) -> None:
        self._hash.update(piece)
        self._digest.update(piece)

    def add(self, base: EncodedFile, group: int, changed: Mapping[int, ChunkRef]) -> None:
        """Add row group `group` of `base`, some columns' chunks from other places instead."""
        places, chunks = base.footer.groups[group], base.footer.chunks[group]
        first = self._position
        told: list[bytes] = []
        plain = compressed = 0
        run: list[int] = []  # columns of base that lie one after another, to be copied at once
        waiting = 0  # bytes of them
        for column in range(len(chunks)):
            place = changed.get(column, ChunkRef(base, group, column))
            source, line = place.file, place.file.footer.chunks[place.group][place.column]
            if source is base:
                run.append(column)
            else:
                self._copy(base, chunks, run)
                run, waiting = [], 0
            start = _start(line)
            at = self._position + waiting
            waiting += int(line[COMPRESSED]) if source is base else 0
            told.append(_moved(source.footer.data, line, at - start))
            if source is not base:
                self._put(source.data[start : start + int(line[COMPRESSED])])
            plain += int(line[PLAIN])
            compressed += int(line[COMPRESSED])
        self._copy(base, chunks, run)
        rows = int(places[G_ROWS])
        self._rows += rows
        values = (plain, rows, first, compressed, len(self._groups))
        self._groups.append(_group(base.footer.data, places, b"".join(told), values))

    def finish(self, schema: pa.Schema, make: Make, metadata: Mapping[str, str]) -> None:
        """Write the footer: `schema` and `metadata` as a writer without rows tells them.

        Where `metadata` has room for the digest of the whole file (see `file_digest`), it is set.
        """
        stream = io.BytesIO()
        with make(stream, schema) as writer:
            writer.add_key_value_metadata(dict(metadata))
        empty = read_footer_of(stream.getvalue(), "an empty table")
        data, (rows_at, rows_end), (at, end) = empty.data, empty.rows_at, empty.groups_at
        footer = b"".join(
            (
                data[:rows_at],
                varint(self._rows),
                data[rows_end:at],
                list_head(len(self._groups)),
                *self._groups,
                data[end:],
            )
        )
        tail = footer + len(footer).to_bytes(4, "little") + MAGIC
        self._put(self._sealed(tail))

    def _sealed(self, tail: bytes) -> bytes:
        """The end of the file with the digest of all of it set, where it has a place for one."""
        at = digest_place(tail)
        if at is None:
            return tail
        self._pieces.join()
        whole = self._digest.copy()
        whole.update(tail)
        return tail[:at] + whole.hexdigest().encode() + tail[at + whole.digest_size * 2 :]

    def _copy(self, base: EncodedFile, chunks: Any, run: Sequence[int]) -> None:
        if not run:
            return
        start, last = _start(chunks[run[0]]), chunks[run[-1]]
        end = _start(last) + int(last[COMPRESSED])
        if base.file is None:
            self._put(base.data[start:end])
        else:
            self._send(base.file, start, end)

    def _put(self, data: bytes) -> None:
        self._out.write(data)
        self._pieces.put(data)
        self._moved_on(len(data))

    def _send(self, file: int, start: int, end: int) -> None:
        """Let the kernel copy bytes of a file on disk."""
        self._pieces.put((file, start, end))
        self._out.flush()
        while start < end:
            sent = os.sendfile(self._out.fileno(), file, start, end - start)
            if not sent:
                raise _short()
            start += sent
            self._moved_on(sent)

    def _moved_on(self, count: int) -> None:
        self._position += count
        if self._file is not None and self._position - self._sent >= _SEND:
            # let the disk begin now: else it would all be waited for at the end
            first = max(0, self._sent - _BEHIND)
            os.posix_fadvise(self._file, first, 0, os.POSIX_FADV_DONTNEED)
            self._sent = self._position


def _short() -> OSError:
    return OSError(errno.EIO, "the table at hand ends before its footer says")


def _start(line: Any) -> int:
    """Where a chunk's first page lies."""
    return int(line[DICT]) if line[DICT_AT] >= 0 else int(line[DATA])


def _moved(data: bytes, line: Any, shift: int) -> bytes:
    """A chunk's metadata with its positions moved."""
    start, end = int(line[START]), int(line[END])
    spots = [(int(line[DATA_AT]), int(line[DATA_END]), int(line[DATA]))]
    if line[DICT_AT] >= 0:
        spots.append((int(line[DICT_AT]), int(line[DICT_END]), int(line[DICT])))
    out = bytearray()
    for at, after, value in spots:
        out += data[start:at] + varint(value + shift)
        start = after
    return bytes(out + data[start:end])


def _group(data: bytes, places: Any, chunks: bytes, values: Sequence[int]) -> bytes:
    """A row group's metadata around its chunks, with its own numbers set."""
    out = bytearray(data[int(places[G_START]) : int(places[G_CHUNKS])] + chunks)
    start = int(places[G_CHUNKS_END])
    for number, value in enumerate(values):
        at, after = places[G_FIRST + 2 * number : G_FIRST + 2 * number + 2]
        if at >= 0:
            out += data[start : int(at)] + varint(value)
            start = int(after)
    return bytes(out + data[start : int(places[G_END])])
