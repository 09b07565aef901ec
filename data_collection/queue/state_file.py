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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import compress, count
from operator import is_not
from pathlib import Path
from typing import Any

import filelock
import orjson

from alphaqcm.data_collection.errors import QueueError
from alphaqcm.data_collection.queue.journal import DamagedJournal, Journal, Place, journal_path
from alphaqcm.data_collection.queue.json_types import LARGEST, check_fields, check_moment
from alphaqcm.data_collection.queue.state import Graph, QueueState, TaskRecord, TaskState
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.file_digest import (
    DIGEST_KEY,
    UNSEALED,
    Proof,
    proof_of,
    seal,
    told_digest,
)

FORMAT = "alphaqcm queue"
VERSION = 1
JOURNAL_FROM = 500
"""Tasks from which on a state has a journal: smaller ones are written whole in a millisecond."""

_JOURNAL_BYTES = 1 << 20  # from which on the state is written whole again
_TRIES = 100  # of a reader without the lock, while others write
_POLL = 0.005  # seconds between two tries for the lock: it is held for about as long
_PATIENCE = 30.0  # seconds of waiting for the lock after which somebody is told

_DEFAULTS = {item.name: item.default for item in fields(TaskRecord) if item.name != "id"}
_KEYS = {name: "basis" if name == "input_key" else name for name in _DEFAULTS}
_NAMES = {key: name for name, key in _KEYS.items()}
_LISTS = tuple(name for name, default in _DEFAULTS.items() if default == ())
_SEALED = b'{\n"digest":"xxh3_128:'  # how a file of ours begins; others are taken as they are
_SEALED_HEAD = len(_SEALED) + 32
_HEAD_END = b'"tasks":{'
_TAIL = b"}\n}\n"


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
        self._lines: list[bytes] = []
        self._entries: tuple[TaskRecord, ...] = ()
        self._graph = Graph.of(())  # of `_entries`

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
        try:
            for left in reversed(range(_TRIES)):
                before = self._signature()
                try:
                    seen = self._look()
                except Damaged:
                    if not left or self._signature() == before:
                        raise
                    continue  # it was written whole meanwhile, and the journal began anew
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
                seen = _Seen(signature, Place(_name(data)), self._decode(data))
        with self._damaged("a journal that does not hold"):
            lines, place = self._journal.read(seen.place)
            if seen.place.end and not place.end and self._signature() == seen.signature:
                raise DamagedJournal("it is gone")
            return _Seen(signature, place, _after(seen.state, lines))

    def _is_same(self, seen: _Seen, signature: tuple[int, ...] | None) -> bool:
        """Whether the file is the one that was seen: by its times and by the digest it tells."""
        if signature is None or seen.signature != signature:
            return False
        with self.path.open("rb") as stream:
            head = stream.read(_SEALED_HEAD)
        return head.startswith(_SEALED) and _told(head) == seen.place.snapshot

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
            place = self._journal.stage(self._seen.place, _journal_line(state, changes))
            return Staged(state, place)
        staged = self.path.with_name(f".{self.path.name}.next")
        try:
            data = self._encode(state)
            with staged.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                staged.unlink()
            raise layer_error(self.path, error) from error
        return Staged(state, Place(_told(data)), staged)

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

    def _encode(self, state: QueueState) -> bytes:
        if len(state.entries) == len(self._entries):
            lines = list(self._lines)
            both = enumerate(zip(state.entries, self._entries, strict=True))
            for position in [at for at, (entry, old) in both if entry is not old]:
                lines[position] = _line(state.entries[position])
        else:
            lines = [_line(entry) for entry in state.entries]
        self._entries, self._lines = state.entries, lines
        self._graph = state.graph or Graph.of(state.entries)
        head = {
            DIGEST_KEY: UNSEALED,
            "format": FORMAT,
            "version": VERSION,
            "generation": state.generation,
            "revision": state.revision,
            "last_token": state.last_token,
            "knows_needs": state.knows_needs,
            "settings": dict(state.settings),
        }
        body = [orjson.dumps(name) + b":" + orjson.dumps(value) for name, value in head.items()]
        start = b"{\n" + b",\n".join(body) + b",\n" + _HEAD_END + b"\n"
        return seal(start + b",\n".join(lines) + (b"\n" if lines else b"") + _TAIL)

    def _decode(self, data: bytes) -> QueueState:
        """The state of our own text; of any other JSON of the same content by a slower way.

        Another text is one of an earlier release, or was formatted by somebody: its digest is none.
        """
        others = sum(a != b for a, b in zip(data, _SEALED, strict=False))
        if others == 1 or (not others and proof_of(data) is not Proof.WHOLE):
            raise ValueError("its digest does not hold")
        cut = data.find(_HEAD_END + b"\n")
        if cut < 0 or not data.endswith(_TAIL):
            return self._decode_any(data)
        lines = data[cut + len(_HEAD_END) + 1 : -len(_TAIL)].removesuffix(b"\n").split(b",\n")
        if lines == [b""]:
            lines = []
        try:
            head = orjson.loads(data[:cut] + _HEAD_END + b"}}")
            same_tasks = len(lines) == len(self._lines)
            if same_tasks:
                entries = list(self._entries)
                both = enumerate(zip(lines, self._lines, strict=True))
                for position in [at for at, (line, old) in both if line != old]:
                    entry, before = _entry(lines[position]), entries[position]
                    same_tasks &= entry.id == before.id and entry.needs == before.needs
                    entries[position] = entry
            else:
                entries = [_entry(line) for line in lines]
        except ValueError:
            return self._decode_any(data)  # somebody formatted it otherwise, or it is damaged
        read = tuple(entries)
        state = _state(head, read, self._graph if same_tasks else None)
        self._lines, self._entries = lines, read
        self._graph = state.graph or Graph.of(read)
        return state

    def _decode_any(self, data: bytes) -> QueueState:
        text = orjson.loads(data)
        entries = tuple(_entry_of(name, value) for name, value in text["tasks"].items())
        return _state(text, entries)


def _told(head: bytes) -> str:
    return head[len(_SEALED) : _SEALED_HEAD].decode("ascii", "replace")


def _name(data: bytes) -> str:
    """What names the whole content; nothing names a text that is not ours."""
    return told_digest(data) if data.startswith(_SEALED) else ""


def _journal_line(state: QueueState, changed: list[TaskRecord]) -> bytes:
    head = f'{{"revision":{state.revision},"last_token":{state.last_token},"tasks":{{'
    return head.encode() + b",".join(map(_line, changed)) + b"}}"


def _after(state: QueueState, lines: list[bytes]) -> QueueState:
    """The state after the steps of a journal."""
    if not lines:
        return state
    told = [orjson.loads(line) for line in lines]
    news: dict[int, TaskRecord] = {}
    for step in told:
        for name, written in step["tasks"].items():
            position = state.position(name)
            entry = _entry_of(name, written)
            if position is None or entry.needs != state.entries[position].needs:
                raise ValueError(f"a task {name!r} that the queue has not")
            news[position] = entry
    return replace(
        state.with_entries(news),
        revision=_number(told[-1]["revision"]),
        last_token=_number(told[-1]["last_token"]),
    )


def _state(
    head: dict[str, Any], entries: tuple[TaskRecord, ...], graph: Graph | None = None
) -> QueueState:
    if head["format"] != FORMAT or head["version"] != VERSION:
        raise ValueError(f"format {head['format']!r}, version {head['version']!r}")
    return QueueState(
        generation=str(head["generation"]),
        entries=entries,
        settings=dict(head["settings"]),
        revision=_number(head["revision"]),
        last_token=_number(head["last_token"]),
        knows_needs=bool(head.get("knows_needs", False)),
        graph=graph,
    )


def _number(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise ValueError(f"{value!r} as a number of changes")
    return value


def _line(entry: TaskRecord) -> bytes:
    """One line of the file: the task's name and what is not at its default."""
    held = {name: getattr(entry, name) for name in _DEFAULTS}
    written = {_KEYS[name]: value for name, value in held.items() if value != _DEFAULTS[name]}
    written["state"] = entry.state
    return orjson.dumps(entry.id) + b":" + orjson.dumps(written)


def _entry(line: bytes) -> TaskRecord:
    ((name, fields_read),) = orjson.loads(b"{" + line + b"}").items()
    return _entry_of(name, fields_read)


def _entry_of(name: str, written: dict[str, Any]) -> TaskRecord:
    if not name:
        raise ValueError("a task without a name")
    lists = {key: tuple(written.get(key, ())) for key in _LISTS}
    held = {_NAMES[key]: value for key, value in written.items()}
    check_fields(TaskRecord, held)
    for stamp in ("at", "next_try"):
        check_moment(held.get(stamp, ""))
    return TaskRecord(name, **{**held, **lists, "state": TaskState(written["state"])})
