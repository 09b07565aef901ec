"""Folders that an export replaces whole: made beside the old one, then put in its place."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.errors import layer_error

MARKER = "alphaqcm_export.json"
"""The file in a folder that says that an export made it, and so that an export may replace it."""


@contextlib.contextmanager
def export_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; put it in its place when the block ends well.

    The block writes `MARKER` too. What killed exports left beside `path` is removed. Raises
    `UsageError` where something lies at `path` that no export made, `LayerError`, `DiskFull`.
    """
    _require_replaceable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clean(path)
        temp = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        lock = os.open(temp, os.O_RDONLY)
    except OSError as error:
        raise layer_error(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        temp.chmod(0o755)
        yield temp
        _sync_all(temp)
        _swap(temp, path)
    except OSError as error:
        raise layer_error(path, error) from error
    finally:
        shutil.rmtree(temp, ignore_errors=True)
        os.close(lock)


def _require_replaceable(path: Path) -> None:
    if not path.exists() or (path / MARKER).is_file():
        return
    if path.is_dir() and not any(path.iterdir()):
        return
    raise UsageError(
        path,
        expected="a new folder, an empty one, or that of an earlier export",
        found="other files" if path.is_dir() else "a file",
        next_step="name another folder: an export replaces what is there",
    )


def _swap(new: Path, path: Path) -> None:
    """Rename `new` to `path`; what lies there takes the name of `new` and is removed with it."""
    if not path.exists():
        new.rename(path)
        return
    old = new.with_name(f"{new.name[:-4]}.old.tmp")
    path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _sync_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _clean(path: Path) -> None:
    """Remove what exports to `path` left whose process is dead: nobody holds its lock."""
    prefix, suffix = f".{path.name}.", ".tmp"
    for left in path.parent.iterdir():
        if not (left.name.startswith(prefix) and left.name.endswith(suffix) and left.is_dir()):
            continue
        held = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(held)
