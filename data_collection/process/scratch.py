"""A folder for passing files that goes with its process, also with one that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from alphaqcm.pipeline.errors import layer_error

_PREFIX = "alphaqcm-scratch-"
_LOCK = ".held"


@contextlib.contextmanager
def scratch_folder(base: Path | None) -> Iterator[Path]:
    """A fresh folder below `base`, or below the system's own; those of dead processes are removed.

    Raises `LayerError`, `DiskFull` where none can be made.
    """
    where = Path(tempfile.gettempdir()) if base is None else base
    try:
        where.mkdir(parents=True, exist_ok=True)
        remove_abandoned(where)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where.resolve()))
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
    except OSError as error:
        raise layer_error(where, error, "a folder for passing files (--scratch)") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        remove_abandoned(where)  # and those of child processes that ended meanwhile


def remove_abandoned(base: Path) -> int:
    """Remove the scratch folders in `base` that no live process holds; gives how many it were."""
    removed = 0
    for folder in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
            finally:
                os.close(lock)
    return removed
