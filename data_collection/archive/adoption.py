"""Takes over a cache that version 0.1.0 made one folder too deep.

0.1.0 took `--temp-dir DIR` for the data root's `_tmp`: its files and ledger lie in
`DIR/binance_vision/`, where `DIR` itself is the cache now. What its ledger vouches for and whose
bytes still have that checksum is renamed into the cache and put into the ledger; nothing else is
touched. A process that is killed meanwhile has lost nothing: the next one goes on from there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from alphaqcm.data_collection.archive.file_record import FileRecord
from alphaqcm.data_collection.archive.ledger import FILE_NAME, Ledger
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.checksum import sha256_of
from alphaqcm.pipeline.storage.layout import CACHE_NAME, Layout

_BATCH = 200  # records written at once


@dataclass(slots=True)
class Adoption:
    """What was taken over, and what was left where it is."""

    files: int = 0
    bytes: int = 0
    left: int = 0  # files that are not what the older ledger says


def adopt_cache(layout: Layout, say: Callable[[str], None], *, held: bool = False) -> None:
    """Take a cache of 0.1.0 over into `layout.cache`, where there is one.

    `held`: the caller holds the data root alone; else it is held here, and another process that
    wants to do the same waits. Raises `RootBusy` where somebody works on either, `CacheError`.
    """
    if not _is_misplaced(layout):
        return
    layout.temp.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if not held:
            stack.enter_context(FileLock(layout.temp / "adoption.lock"))
            if not _is_misplaced(layout):
                return  # another process has just done it
            stack.enter_context(hold_root(layout.temp, exclusive=True))
        # workers of 0.1.0 hold the lock where they believed `_tmp` to be
        if layout.cache != layout.temp and (layout.cache / "root.lock").exists():
            stack.enter_context(hold_root(layout.cache, exclusive=True))
        say(f"taking over the files in {layout.cache / CACHE_NAME}; their checksums are read first")
        try:
            done = _adopt(layout)
        except OSError as error:
            raise layer_error(layout.cache / CACHE_NAME, error) from error
    say(
        f"taken over into {layout.cache}: files {done.files:,}, {done.bytes / 1e6:,.1f} MB"
        + (f"; left, as they are not what their ledger says: {done.left:,}" if done.left else "")
    )


def _is_misplaced(layout: Layout) -> bool:
    return (layout.cache / CACHE_NAME / FILE_NAME).is_file()


def _adopt(layout: Layout) -> Adoption:
    older = layout.cache / CACHE_NAME
    done = Adoption()
    with Ledger(older) as theirs, Ledger(layout.ledger_dir) as ours:
        batch: list[FileRecord] = []
        for record in _moved(theirs.select(), older, layout.cache, ours, done):
            batch.append(record)
            if len(batch) == _BATCH:
                ours.put(batch)
                batch.clear()
        ours.put(batch)
    if not done.left:
        _clear(older, layout)
    return done


def _moved(
    records: Iterator[FileRecord], older: Path, cache: Path, ours: Ledger, done: Adoption
) -> Iterator[FileRecord]:
    """Each record whose file is now in the cache, or that tells of a file that is not there."""
    for record in records:
        known = ours.get(record.key)
        if known is not None and known.sha256:
            continue  # ours is newer
        if not record.sha256:
            if known is None:
                yield record
            continue
        target = cache / record.key
        source = older / record.key
        if not source.exists():
            source = target  # renamed by a process that was killed before it wrote the record
        if not source.is_file() or sha256_of(source) != record.sha256:
            done.left += source.exists()
            continue
        if source != target:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        done.files += 1
        done.bytes += record.size or 0
        yield record


def _clear(older: Path, layout: Layout) -> None:
    """Remove what has become empty, the older ledger, and the lock; keep the logs with ours."""
    for path in older.glob(FILE_NAME + "*"):
        path.unlink()
    for folder in sorted(older.rglob("*"), reverse=True):
        if folder.is_dir():
            with contextlib.suppress(OSError):  # it holds what no ledger knows
                folder.rmdir()
    with contextlib.suppress(OSError):
        older.rmdir()
    (layout.cache / "root.lock").unlink(missing_ok=True)
    logs = layout.cache / "logs"
    for log in logs.glob("*.log") if logs != layout.temp / "logs" else ():
        target = layout.temp / "logs" / log.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            log.replace(target)
    with contextlib.suppress(OSError):
        logs.rmdir()
