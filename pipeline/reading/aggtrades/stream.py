"""The bytes of a ZIP's CSV in pieces, inflated ahead in a thread of its own, or as they are read.

A handful of buffers goes round between the inflating thread and the reader: memory stays the same
whatever the file's size. Where every core has a process of its own, the thread only costs. Length
and CRC are checked at the end, so nothing read from the pieces may be used before the last one was
taken.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import threading
import zipfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
from isal import igzip, igzip_lib, isal_zlib

from alphaqcm.pipeline.errors import BadZip, layer_error
from alphaqcm.pipeline.reading.zip_member import Member

PIECE = 1 << 20
"""Bytes of CSV in a full piece."""

_BUFFERS = 3  # one filled, one read, one waiting
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_InflateError = cast(type[Exception], igzip_lib.IsalError)  # the stubs call it an instance
_AGAIN = "delete it and fetch it again; if it stays so, the archive's own file is broken"

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Piece:
    """`size` bytes of CSV in `buffer`, from `front` on; valid until the next piece is asked for."""

    buffer: Bytes
    size: int


def read_pieces(
    member: Member, front: int, back: int, most: int = PIECE, *, ahead: bool = True
) -> Generator[Piece]:
    """Inflate `member` into pieces of at most `most` bytes; raises `BadZip`.

    Each has `front` and `back` bytes of room around. Close the generator to stop early. `ahead`:
    in a thread of its own, while the piece before is read.
    """
    most = max(1, min(most, member.size))
    room = slice(front, front + most)

    def fresh() -> Bytes:
        return np.zeros(front + most + back, np.uint8)

    if ahead:
        yield from _read_ahead(member, room, fresh)
        return
    buffer = fresh()
    with _inflating(member, room) as fill:
        while size := fill(buffer):
            yield Piece(buffer, size)


def _read_ahead(member: Member, room: slice, fresh: Callable[[], Bytes]) -> Generator[Piece]:
    free: SimpleQueue[Bytes] = SimpleQueue()
    full: SimpleQueue[Piece | None] = SimpleQueue()
    for _ in range(_BUFFERS):
        free.put(fresh())
    stopped = threading.Event()

    def work() -> None:
        try:
            with _inflating(member, room) as fill:
                while not stopped.is_set():
                    buffer = free.get()
                    size = fill(buffer)
                    if size == 0:
                        return
                    full.put(Piece(buffer, size))
        finally:
            full.put(None)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="inflate") as executor:
        done = executor.submit(work)
        try:
            while (piece := full.get()) is not None:
                yield piece
                free.put(piece.buffer)
            done.result()
        finally:
            stopped.set()
            free.put(fresh())  # wakes a waiting thread


@contextlib.contextmanager
def _inflating(member: Member, room: slice) -> Iterator[Callable[[Bytes], int]]:
    """A function that fills the room of a buffer and returns the bytes; 0 after the last one."""
    with _opened(member) as read:
        left = member.size

        def fill(buffer: Bytes) -> int:
            nonlocal left
            size = _fill(read, memoryview(cast(bytes, buffer))[room])
            left -= size
            if left < 0 or (left > 0 and size < room.stop - room.start):
                raise _bad(member, f"{member.size} bytes of CSV as declared", left)
            return size

        yield fill


def _fill(read: Callable[[memoryview], int], room: memoryview) -> int:
    """Read until `room` is full or nothing is left; returns the bytes read."""
    size = 0
    while size < len(room):
        got = read(room[size:])
        if got == 0:
            break
        size += got
    return size


@contextlib.contextmanager
def _opened(member: Member) -> Iterator[Callable[[memoryview], int]]:
    """A `readinto` of the CSV's bytes that checks their CRC at the end; raises `BadZip`."""
    try:
        with member.path.open("rb", buffering=0) as file:
            file.seek(member.offset)
            if member.method == zipfile.ZIP_STORED:
                yield _Stored(member, file).readinto
            else:
                open_gzip = cast(Any, igzip.IGzipFile)  # a class without types
                with open_gzip(fileobj=_AsGzip(member, file), mode="rb") as stream:
                    yield stream.readinto
    except gzip.BadGzipFile as error:
        raise _broken(member, f"CRC {member.crc:08x} and {member.size} bytes", error) from error
    except (EOFError, _InflateError) as error:
        raise _broken(member, "a whole deflate stream", error) from error
    except OSError as error:
        raise layer_error(member.path, error) from error


class _AsGzip(io.RawIOBase):
    """A ZIP's deflate stream as a gzip file: isal then checks CRC and length as it inflates."""

    def __init__(self, member: Member, file: IO[bytes]) -> None:
        self._file = file
        self._left = member.compressed
        self._head = _GZIP_HEADER
        self._tail = struct.pack("<II", member.crc, member.size & 0xFFFFFFFF)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, target: Any) -> int:
        """Fill `target` with what comes next: header, stream, CRC and length."""
        room = memoryview(target).cast("B")
        if self._head:
            size = min(len(room), len(self._head))
            room[:size], self._head = self._head[:size], self._head[size:]
            return size
        if self._left:
            size = cast(io.FileIO, self._file).readinto(room[: self._left])
            self._left = self._left - size if size else 0
            if size:
                return size
        size = min(len(room), len(self._tail))
        room[:size], self._tail = self._tail[:size], self._tail[size:]
        return size


class _Stored:
    """A CSV that lies in the ZIP as it is."""

    def __init__(self, member: Member, file: IO[bytes]) -> None:
        self._member = member
        self._file = file
        self._left = member.compressed
        self._crc = 0

    def readinto(self, target: memoryview) -> int:
        """Fill `target`; checks the CRC where nothing is left."""
        size = cast(io.FileIO, self._file).readinto(target[: self._left])
        self._crc = isal_zlib.crc32(target[:size], self._crc)
        self._left -= size
        if size == 0 and self._crc != self._member.crc:
            raise _broken(self._member, f"CRC {self._member.crc:08x}", f"{self._crc:08x}")
        return size


def _bad(member: Member, expected: str, left: int) -> BadZip:
    found = "more" if left < 0 else f"{member.size - left}"
    return BadZip(member.path, expected=expected, found=found, next_step=_AGAIN)


def _broken(member: Member, expected: str, error: object) -> BadZip:
    found = str(error) or "a damaged one"
    return BadZip(member.path, expected=expected, found=found, next_step=_AGAIN)
