"""The text of a queue's state: JSON with a line a task, and the journal's lines; read and written.

What is known already is neither parsed nor encoded again: a text that differs in a few lines costs
those lines.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import orjson

from alphaqcm.data_collection.queue.json_types import LARGEST, check_fields, check_moment
from alphaqcm.data_collection.queue.state import Graph, QueueState, TaskRecord, TaskState
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

_DEFAULTS = {item.name: item.default for item in fields(TaskRecord) if item.name != "id"}
_KEYS = {name: "basis" if name == "input_key" else name for name in _DEFAULTS}
_NAMES = {key: name for name, key in _KEYS.items()}
_LISTS = tuple(name for name, default in _DEFAULTS.items() if default == ())
SEALED = b'{\n"digest":"xxh3_128:'  # how a file of ours begins; others are taken as they are
SEALED_HEAD = len(SEALED) + 32
_HEAD_END = b'"tasks":{'
_TAIL = b"}\n}\n"


class StateText:
    """Reads and writes the text, and remembers the lines of the last one."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._entries: tuple[TaskRecord, ...] = ()
        self._graph = Graph.of(())  # of `_entries`

    def encode(self, state: QueueState) -> bytes:
        """The whole text, its digest set."""
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

    def decode(self, data: bytes) -> QueueState:
        """The state of our own text; of any other JSON of the same content by a slower way.

        Another text is one of an earlier release, or was formatted by somebody: its digest is none.
        """
        others = sum(a != b for a, b in zip(data, SEALED, strict=False))
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


def told_by(head: bytes) -> str:
    """The digest that the beginning of a text of ours tells."""
    return head[len(SEALED) : SEALED_HEAD].decode("ascii", "replace")


def name_of(data: bytes) -> str:
    """What names the whole content; nothing names a text that is not ours."""
    return told_digest(data) if data.startswith(SEALED) else ""


def journal_line(state: QueueState, changed: list[TaskRecord]) -> bytes:
    """What one step changed, as a line of the journal."""
    head = f'{{"revision":{state.revision},"last_token":{state.last_token},"tasks":{{'
    return head.encode() + b",".join(map(_line, changed)) + b"}}"


def after(state: QueueState, lines: list[bytes]) -> QueueState:
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
