"""The queue's state on disk: one JSON file with a line a task, and a journal where it is large.

`QueueFile.read` needs no lock: the file is replaced by rename, so that a reader sees one state or
the next. Writing does: `locked`, then `stage` (what is new on disk beside the file, synced) and
`publish` (the rename). At most one writer exists, so that the staged file has a fixed name and a
killed writer leaves nothing that the next one does not overwrite.

The file carries a digest of itself. A state of many tasks is not written whole at each step: the
step goes into the journal beside the file (see `journal`), and the file is written whole again from
time to time and when a worker ends. What is known already is not read again: a step costs what it
changes (`scripts/bench_many_files.py`).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import compress, count
from operator import is_not
from pathlib import Path

import filelock

from alphaqcm.data_collection.errors import QueueError
from alphaqcm.data_collection.queue.journal import DamagedJournal, Journal, Place, journal_path
from alphaqcm.data_collection.queue.state import QueueState, TaskRecord
from alphaqcm.data_collection.queue.state_text import (
    SEALED,
    SEALED_HEAD,
    VERSION,
    StateText,
    after,
    journal_line,
    name_of,
    told_by,
)
from alphaqcm.pipeline.errors import layer_error

JOURNAL_FROM = 500
"""Tasks from which on a state has a journal: smaller ones are written whole in a millisecond."""

_JOURNAL_BYTES = 1 << 20  # from which on the state is written whole again
_TRIES = 100  # of a reader without the lock, while others write
_SURE = 2  # looks that find damage, and no change of size or time
_PAUSE = 0.001  # seconds between two looks
_POLL = 0.005  # seconds between two tries for the lock: it is held for about as long
_PATIENCE = 30.0  # seconds of waiting for the lock after which somebody is told


class Damaged(QueueError):
    """The state file is no state of a queue: cut, emptied, or something else."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A state as this process read or wrote it last, and where that stands on the disk."""

    signature: tuple[int, ...] | None
    place: Place
    state: QueueState


@dataclass(frozen=True, slots=True)
class Staged:
    """A state that is on the disk and does not count yet."""

    state: QueueState
    place: Place  # in the journal
    whole: Path | None = None  # the file that is to be renamed


class QueueFile:
    """One state file, its journal and its lock (`{name}.journal`, `{name}.lock` beside it)."""

    def __init__(self, path: Path, journal_from: int = JOURNAL_FROM) -> None:
        self.path = path
        self._lock = filelock.FileLock(f"{path}.lock", poll_interval=_POLL)
        self._journal = Journal(journal_path(path))
        self._journal_from = journal_from
        self._seen: _Seen | None = None
        self._text = StateText()

    @contextlib.contextmanager
    def locked(self, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold the state alone. `on_wait` hears of every half minute of waiting."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                try:
                    self._lock.acquire(timeout=_PATIENCE)
                    break
                except filelock.Timeout:
                    if on_wait is not None:
                        on_wait(f"another process holds {self.path}.lock since {_PATIENCE:.0f} s")
        except OSError as error:
            raise layer_error(self.path, error) from error
        try:
            yield
        finally:
            self._lock.release()

    def signature(self) -> tuple[int, ...] | None:
        """Changes whenever the state does; None when there is none."""
        whole = self._signature()
        return None if whole is None else (*whole, *self._journal.signature())

    def _signature(self) -> tuple[int, ...] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def read(self) -> QueueState | None:
        """The state, None when there is no file; raises `Damaged` and `LayerError`."""
        known, same = self._seen, 0
        try:
            for left in reversed(range(_TRIES)):
                before = self.signature()
                try:
                    seen = self._look()
                except Damaged:
                    same = same + 1 if self.signature() == before else 0
                    if not left or same == _SURE:
                        raise
                    self._seen = known
                    time.sleep(_PAUSE)  # somebody writes meanwhile, or it is damaged: look again
                    continue
                if seen is None or self._signature() == seen.signature:
                    break
        except OSError as error:
            raise layer_error(self.path, error) from error
        self._seen = seen
        return None if seen is None else seen.state

    def _look(self) -> _Seen | None:
        """The file and its journal, as far as they are not known already."""
        seen = self._seen
        self._seen = None  # until it is known to hold
        signature = self._signature()
        if seen is None or not self._is_same(seen, signature):
            try:
                data = self.path.read_bytes()
            except FileNotFoundError:
                return None
            with self._damaged(f"{len(data)} bytes that are none"):
                seen = _Seen(signature, Place(name_of(data)), self._text.decode(data))
        with self._damaged("a journal that does not hold"):
            lines, place = self._journal.read(seen.place)
            if seen.place.end and not place.end and self._signature() == seen.signature:
                raise DamagedJournal("it is gone")
            return _Seen(signature, place, after(seen.state, lines))

    def _is_same(self, seen: _Seen, signature: tuple[int, ...] | None) -> bool:
        """Whether the file is the one that was seen: by its times and by the digest it tells."""
        if signature is None or seen.signature != signature:
            return False
        with self.path.open("rb") as stream:
            head = stream.read(SEALED_HEAD)
        return head.startswith(SEALED) and told_by(head) == seen.place.snapshot

    @contextlib.contextmanager
    def _damaged(self, found: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(
                self.path,
                expected=f"a queue's state, version {VERSION}",
                found=f"{found} ({error})",
                next_step="start a worker or run: the file is set aside and made anew from the "
                "layers on disk",
            ) from error

    def stage(self, state: QueueState, *, whole: bool = False) -> Staged:
        """Write `state` beside the file, or what it changes after the journal, and sync it.

        The caller holds the lock and has read the state.
        """
        changes = None if whole else self._changes(state)
        if changes is not None and self._seen is not None:
            place = self._journal.stage(self._seen.place, journal_line(state, changes))
            return Staged(state, place)
        staged = self.path.with_name(f".{self.path.name}.next")
        try:
            data = self._text.encode(state)
            with staged.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                staged.unlink()
            raise layer_error(self.path, error) from error
        return Staged(state, Place(told_by(data)), staged)

    def _changes(self, state: QueueState) -> list[TaskRecord] | None:
        """The records that differ from those seen last; None where the whole is to be written."""
        seen = self._seen
        if (
            seen is None
            or not seen.place.snapshot
            or len(state.entries) <= self._journal_from
            or seen.place.end > _JOURNAL_BYTES
            or state.graph is not seen.state.graph
            or state.generation != seen.state.generation
            or state.knows_needs is not seen.state.knows_needs
            or state.settings != seen.state.settings
        ):
            return None
        differ = map(is_not, state.entries, seen.state.entries)
        return [state.entries[position] for position in compress(count(), differ)]

    def publish(self, staged: Staged) -> None:
        """Make the staged state the state."""
        self._seen = None
        if staged.whole is None:
            self._journal.publish(staged.place)
        else:
            try:
                staged.whole.replace(self.path)
            except OSError as error:
                raise layer_error(self.path, error) from error
            self._journal.remove()  # killed before: it is that of another snapshot, and not read
        self._seen = _Seen(self._signature(), staged.place, staged.state)

    def discard(self, staged: Staged) -> None:
        """Take back what was staged."""
        if staged.whole is not None:
            staged.whole.unlink()
        elif self._seen is not None:
            self._journal.withdraw(self._seen.place)

    @property
    def has_journal(self) -> bool:
        """Whether the file alone does not tell the state as it was seen last."""
        return self._seen is not None and self._seen.place.end > 0

    def set_aside(self) -> Path:
        """Give a damaged file a second name, which is returned; the caller writes a new state.

        The caller holds the lock. Readers find the damaged file until the new one replaces it.
        A journal is kept beside it under the same name.
        """
        self._seen = None
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        try:
            aside.hardlink_to(self.path)
        except OSError:  # a file system without links
            try:
                self.path.replace(aside)
            except OSError as error:
                raise layer_error(self.path, error) from error
        with contextlib.suppress(OSError):
            journal_path(aside).hardlink_to(self._journal.path)
        return aside
