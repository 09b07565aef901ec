"""Files that appear whole or not at all: temp file, sync, rename."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from alphaqcm.pipeline.errors import layer_error

_TEMP_SUFFIX = ".tmp"


CommitHook = Callable[[], AbstractContextManager[None]]
"""Entered around the renames of a commit; raising there throws the written files away."""


class AtomicBatch:
    """Files that appear together: written to temp files, synced, then renamed one after another.

    `add` gives the temp path to write; `commit` syncs and renames all; leaving the block without a
    commit removes what was written. Temp files stay locked by this process while they live, so that
    `clean_temps` can tell the leftovers of dead processes from files at work.
    Raises `LayerError` or `DiskFull`. Until the first rename all targets are untouched; a crash
    between two renames leaves new files beside old ones, so the file that says what the others are
    (a completion marker, a table's footer) is added last.
    """

    def __init__(self) -> None:
        self._files: list[tuple[int, Path, Path]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        for descriptor, temp, _target in self._files:
            with contextlib.suppress(FileNotFoundError):
                temp.unlink()
            os.close(descriptor)
        target = self._files[-1][2] if self._files else None
        self._files.clear()
        if isinstance(error, OSError) and target is not None:
            raise layer_error(target, error) from error

    def add(self, path: Path) -> Path:
        """A fresh temp path beside `path`."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                descriptor, name = tempfile.mkstemp(
                    prefix=f".{path.name}.", suffix=_TEMP_SUFFIX, dir=path.parent
                )
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink:
                    break
                os.close(descriptor)  # somebody cleaned it away before it was locked
            os.fchmod(descriptor, 0o644)
        except OSError as error:
            raise layer_error(path, error) from error
        self._files.append((descriptor, Path(name), path))
        return Path(name)

    def commit(self, gate: CommitHook = contextlib.nullcontext) -> None:
        """Sync every file, then rename them all inside `gate`."""
        for _, temp, _ in self._files:
            _sync(temp)
        with gate():
            for _, temp, target in self._files:
                temp.replace(target)
            for folder in {target.parent for _, _, target in self._files}:
                _sync(folder)


@contextlib.contextmanager
def atomic_write(path: Path, gate: CommitHook = contextlib.nullcontext) -> Iterator[Path]:
    """Give a temp path beside `path`; sync and rename it when the block ends well."""
    with AtomicBatch() as batch:
        yield batch.add(path)
        batch.commit(gate)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` atomically."""
    with atomic_write(path) as temp:
        temp.write_bytes(data)


def clean_temps(directory: Path) -> int:
    """Remove the temp files that dead processes left below `directory`; return how many."""
    removed = 0
    for temp in directory.rglob(f".*{_TEMP_SUFFIX}"):
        try:
            with temp.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                temp.unlink()
                removed += 1
        except OSError:
            continue  # at work in a live process, or gone meanwhile
    return removed


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
