"""How much the cache may still grow, for all processes that bring files into it together.

A file on its way is a small file that its process holds locked; what came is added to a counter
beside it. So each process knows the bytes of all without summing the ledger again for every file,
and what a dead process had set aside is free at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from alphaqcm.data_collection.errors import CacheFull
from alphaqcm.pipeline.errors import layer_error

_COUNT = struct.Struct("<q")
_RESERVED = "reserved-"


class DiskBudget:
    """The bytes that a cache may hold; a `limit` of None is without end.

    `used` gives the bytes of the verified files, summed once. Raises `LayerError` where the folder
    cannot be written.
    """

    def __init__(self, limit: int | None, folder: Path, used: Callable[[], int]) -> None:
        self._limit = limit
        self._folder = folder
        if limit is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise layer_error(folder, error) from error
        with self._counter() as counter:
            self._used_before = used() - _read(counter)

    @contextlib.contextmanager
    def reserve(self, subject: str, size: int) -> Iterator[None]:
        """Set `size` bytes aside while a file is brought; raises `CacheFull`.

        They count for good when the block ends well.
        """
        if self._limit is None:
            yield
            return
        held, path = self._set_aside(subject, size, self._limit)
        came = 0
        try:
            yield
            came = size
        finally:
            with self._counter() as counter:
                os.pwrite(counter, _COUNT.pack(_read(counter) + came), 0)
                path.unlink(missing_ok=True)
                os.close(held)

    def _set_aside(self, subject: str, size: int, limit: int) -> tuple[int, Path]:
        with self._counter() as counter:
            used = self._used_before + _read(counter) + self._on_their_way()
            if used + size > limit:
                raise CacheFull(
                    subject,
                    expected=f"at most {limit} bytes in the cache (--max-disk)",
                    found=f"{used} there or on their way and {size} more needed",
                    next_step="raise --max-disk; what is there is verified and stays",
                )
            path = self._folder / f"{_RESERVED}{size}-{os.urandom(6).hex()}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return descriptor, path

    def _on_their_way(self) -> int:
        """Bytes that living processes set aside; what dead ones left is removed."""
        total = 0
        for path in self._folder.glob(f"{_RESERVED}*"):
            with path.open("rb") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                except BlockingIOError:
                    total += int(path.name.split("-")[1])
        return total

    @contextlib.contextmanager
    def _counter(self) -> Iterator[int]:
        """The counter of what came, locked: nobody sets anything aside meanwhile."""
        path = self._folder / "disk"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise layer_error(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _read(counter: int) -> int:
    held = os.pread(counter, _COUNT.size, 0)
    return int(_COUNT.unpack(held)[0]) if len(held) == _COUNT.size else 0
