"""Who may use which part of a data root: one process alone, or any number side by side.

Each part has a lock of its own, so that a recorder of live data, a fetch of candles and a run of
the archive work on one data root at the same time. An OS lock on a file of the working folder
says who holds a part; it goes when its holders die, however they die. Processes that a holder
starts inherit the lock's descriptor, so that a killed `run` does not free its part while its
workers still live.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from alphaqcm.data_collection.errors import RootBusy, UsageError
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.atomic_write import clean_temps


class RootPart(StrEnum):
    """Parts of a data root that are held apart; the value names the lock's file.

    `ARCHIVE` is what a run makes: cache, ledger, layers, tables. It keeps the name that releases
    before 0.2.0 lock, so that theirs and ours never work on one data root together.
    """

    ARCHIVE = "root"
    CANDLES = "candles"  # candles over REST, and what is made of them
    RECORDED = "recorded"  # what a live client records


_FOLDERS = {RootPart.ARCHIVE: ".", RootPart.CANDLES: "candles", RootPart.RECORDED: "recorded"}
_PATIENCE = 5.0  # seconds: workers of a killed run need a moment to notice and end


def require_folder(folder: Path, what: str = "a data root") -> None:
    """Refuse a data root that is not there: to hold it would make an empty one.

    `folder` is the root or a part of it, `what` says which. Raises `UsageError`.
    """
    if not folder.is_dir():
        raise UsageError(
            folder,
            expected=what,
            found="no such directory",
            next_step="correct the path; alphaqcm run makes a data root",
        )


@contextlib.contextmanager
def hold_root(temp: Path, *, exclusive: bool, part: RootPart = RootPart.ARCHIVE) -> Iterator[int]:
    """Hold a part of the data root whose working folder is `temp`; yields the lock's descriptor.

    Who holds a part alone cleans the temp files that dead processes left in it. Raises `RootBusy`
    naming the holder, and `LayerError` where the root cannot be written.
    """
    path = temp / f"{part}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise layer_error(path, error) from error
    try:
        _lock(descriptor, path, exclusive=exclusive)
        if exclusive:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {' '.join(sys.argv)}\n".encode(), 0)
            clean_temps(temp.parent / _FOLDERS[part])
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, *, exclusive: bool) -> None:
    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() < give_up:
                time.sleep(0.1)
                continue
            holder = path.read_text(encoding="utf-8", errors="replace").strip()
            raise RootBusy(
                path.parent.parent,
                expected="a data root that nobody else works on",
                found=f"process {holder}" if holder and not exclusive else _holders(holder),
                next_step="wait until it is done, or stop it; it loses nothing",
            ) from None


def _holders(last: str) -> str:
    known = f" (the last to hold it alone was process {last})" if last else ""
    return "another run, worker or fetch that uses it" + known
