"""Many small files that appear together: written to temp files, synced at once, renamed.

`AtomicBatch` syncs its files one by one, which for thousands of small files takes longer than all
the work on them. Here one call syncs the file system that they lie on; what other programs have
just written to it is waited for as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alphaqcm.pipeline.errors import layer_error

_TEMP_SUFFIX = ".tmp"
_LIBC = ctypes.CDLL(None, use_errno=True)


class FileGroup:
    """Files to be written in any thread and committed in one; in a `with` block.

    A file that is not committed when the block ends is removed; those that a killed process leaves
    are found by `clean_temps`. Before a commit no target is touched. Raises `LayerError`,
    `DiskFull`.
    """

    def __init__(self) -> None:
        self._files: list[tuple[str, str]] = []  # temp path, target
        self._folders: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for temp, _ in self._files:
            with contextlib.suppress(OSError):
                Path(temp).unlink()
        self._files = []

    def write(self, path: str, buffers: Sequence[Any]) -> None:
        """Write a file's bytes, one buffer after the other, to a temp file beside `path`.

        The folder must be there; of a path that is written twice the later one counts.
        """
        folder, name = os.path.split(path)
        temp = f"{folder}/.{name}.{os.getpid()}{_TEMP_SUFFIX}"
        self._files.append((temp, path))
        self._folders.add(folder)
        try:
            descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                _write_all(descriptor, buffers)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise layer_error(Path(path), error) from error

    def commit(self) -> None:
        """Sync what was written, then rename it; `sync_folders` makes the names last."""
        folders = sorted(self._folders)
        try:
            for folder in {Path(folder).stat().st_dev: folder for folder in folders}.values():
                sync_file_system(folder)
            for temp, path in dict(self._files).items():
                Path(temp).replace(path)
            self._files = []
        except OSError as error:
            raise layer_error(Path(folders[0]), error) from error


def sync_folders(folders: Iterable[Path]) -> None:
    """Sync the names in some folders; raises `LayerError`."""
    for folder in folders:
        try:
            _call_with(f"{folder}", os.fsync)
        except OSError as error:
            raise layer_error(folder, error) from error


def sync_file_system(folder: str) -> None:
    """Wait until all that was written to the folder's file system is on disk; raises `OSError`."""
    if not hasattr(_LIBC, "syncfs"):
        os.sync()
        return
    _call_with(folder, _syncfs)


def _syncfs(descriptor: int) -> None:
    if _LIBC.syncfs(descriptor):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _call_with(folder: str, call: Callable[[int], object]) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        call(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, buffers: Sequence[Any]) -> None:
    """Write all of it, though a disk that is nearly full may take a part only."""
    size = sum(memoryview(one).nbytes for one in buffers)
    done = os.writev(descriptor, buffers)
    if done < size:
        left = memoryview(b"".join(bytes(one) for one in buffers))[done:]
        while left:
            left = left[os.write(descriptor, left) :]
