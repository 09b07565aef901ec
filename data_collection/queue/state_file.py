"""The queue's state file: JSON with a line a task, read and written whole, under one OS lock.

`QueueFile.read` needs no lock: the file is replaced by rename, so that a reader sees one state or
the next. Writing does: `locked`, then `stage` (the new text on disk beside the file, synced) and
`publish` (the rename). At most one writer exists, so that the staged file has a fixed name and a
killed writer leaves nothing that the next one does not overwrite.

With thousands of tasks a step changes one or two lines. Lines equal to the last ones seen give the
very same `TaskRecord` again, and unchanged records the very same line, so that a step costs two or
three milliseconds instead of thirty (`scripts/bench_queue.py`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import orjson

from alphaqcm.data_collection.errors import QueueError
from alphaqcm.data_collection.queue.json_types import LARGEST, check_fields, check_moment
from alphaqcm.data_collection.queue.state import Graph, QueueState, TaskRecord, TaskState
from alphaqcm.pipeline.errors import layer_error

FORMAT = "alphaqcm queue"
VERSION = 1
_POLL = 0.005  # seconds between two tries for the lock: it is held for about as long
_PATIENCE = 30.0  # seconds of waiting for the lock after which somebody is told

_DEFAULTS = {item.name: item.default for item in fields(TaskRecord) if item.name != "id"}
_KEYS = {name: "basis" if name == "input_key" else name for name in _DEFAULTS}
_NAMES = {key: name for name, key in _KEYS.items()}
_LISTS = tuple(name for name, default in _DEFAULTS.items() if default == ())
_HEAD_END = b'"tasks":{'
_TAIL = b"}\n}\n"


class Damaged(QueueError):
    """The state file is no state of a queue: cut, emptied, or something else."""


class QueueFile:
    """One state file and its lock (`{name}.lock` beside it)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = filelock.FileLock(f"{path}.lock", poll_interval=_POLL)
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

    def signature(self) -> tuple[int, int, int] | None:
        """Changes whenever the file does; None when there is none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def read(self) -> QueueState | None:
        """The state, None when there is no file; raises `Damaged` and `LayerError`."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise layer_error(self.path, error) from error
        try:
            return self._decode(data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(
                self.path,
                expected=f"a queue's state, version {VERSION}",
                found=f"{len(data)} bytes that are none ({error})",
                next_step="start a worker or run: the file is set aside and made anew from the "
                "layers on disk",
            ) from error

    def stage(self, state: QueueState) -> Path:
        """Write `state` beside the file and sync it; the caller holds the lock."""
        staged = self.path.with_name(f".{self.path.name}.next")
        try:
            with staged.open("wb") as stream:
                stream.write(self._encode(state))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                staged.unlink()
            raise layer_error(self.path, error) from error
        return staged

    def publish(self, staged: Path) -> None:
        """Make the staged state the state."""
        try:
            staged.replace(self.path)
        except OSError as error:
            raise layer_error(self.path, error) from error

    def set_aside(self) -> Path:
        """Give a damaged file a second name, which is returned; the caller writes a new state.

        The caller holds the lock. Readers find the damaged file until the new one replaces it.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        try:
            aside.hardlink_to(self.path)
        except OSError:  # a file system without links
            try:
                self.path.replace(aside)
            except OSError as error:
                raise layer_error(self.path, error) from error
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
        return start + b",\n".join(lines) + (b"\n" if lines else b"") + _TAIL

    def _decode(self, data: bytes) -> QueueState:
        """The state of our own text; of any other JSON of the same content by a slower way."""
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
