"""Every JSON and text file of a data root, damaged in every way: a clear answer, no traceback.

A slice in `make test`, everything with ALPHAQCM_SOAK=1. ALPHAQCM_SEED repeats a run; the seed is
printed where a test fails.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import orjson
import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.queue.options import DEFAULT_STATE, QueueOptions, workers_dir
from alphaqcm.data_collection.queue.shared_queue import Queue
from tests.conftest import SOAK
from tests.helpers.queue_workers import plan
from tests.helpers.root_of_a_day import root_of_a_day

pytestmark = pytest.mark.process

SEED = int(os.environ.get("ALPHAQCM_SEED") or time.time_ns() % 10**6)
ROUNDS = 400 if SOAK else 12
TEXTS = (".json", ".csv", ".lock", ".txt", "")
OTHER_JSON: list[object] = [None, True, 0, -1, 1e300, "x", [], [[]], {}, {"format": 1}]

COMMANDS: list[list[str]] = [
    ["info"],
    ["sql", "SHOW TABLES"],
    ["sql", "SELECT count(*) FROM crypto_hourly_full"],
    ["check"],
    ["monitor", "--once"],
    ["ledger"],
    ["verify"],
    ["export", "crypto_1min"],
    ["export", "stages"],
    ["export", "final"],
    ["training-set"],
    ["update"],
    ["build"],
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A whole data root with a queue and a heartbeat."""
    folder = root_of_a_day(tmp_path)
    state = folder / "_tmp" / DEFAULT_STATE
    settings = orjson.loads((folder / "_tmp" / "run.json").read_bytes())
    Queue.open(state, options=QueueOptions(say=lambda _: None)).sync(plan(1, 2), settings)
    beat = {"worker": "A", "host": "h", "pid": 1, "started": "2024-01-01T00:00:00.000Z"}
    workers_dir(state).mkdir(exist_ok=True)
    (workers_dir(state) / "A.json").write_bytes(orjson.dumps(beat))
    run(["export", "crypto_1min"], folder)
    run(["export", "final"], folder)
    run(["training-set"], folder)
    return folder


def run(command: list[str], root: Path) -> tuple[int, str]:
    """Exit code and all that was told; what escapes `main` would be a traceback."""
    option = "--root" if command[0] == "monitor" else "--data-root"
    text = io.StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        try:
            code = main([*command, option, str(root)])
        except SystemExit as end:
            code = int(end.code or 0) if not isinstance(end.code, str) else 1
    return code, text.getvalue()


def texts(root: Path) -> list[Path]:
    """Every file of the root that is text: found by its suffix, so that new kinds are met."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and path.suffix in TEXTS and "binance_vision" not in path.parts
    )


def kinds(root: Path) -> dict[str, list[Path]]:
    """The files by what they are: their folder, and their name without the symbol."""
    found: dict[str, list[Path]] = {}
    for path in texts(root):
        name = path.name.partition("_")[2] or path.name
        found.setdefault(f"{path.parent.name}/{name}", []).append(path)
    return found


def _values(data: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    yield path
    items = data.items() if isinstance(data, dict) else ()
    items = enumerate(data) if isinstance(data, list) else items
    for name, value in items:
        yield from _values(value, (*path, name))


def wrong_type(data: bytes, chance: random.Random) -> bytes:
    """JSON with one value of another type; other text with a field of another."""
    try:
        whole = orjson.loads(data)
    except ValueError:
        fields = data.split(b",")
        fields[chance.randrange(len(fields))] = chance.choice([b"", b"x", b"nan", b"1e400", b'"'])
        return b",".join(fields)
    path = chance.choice(list(_values(whole)))
    other = chance.choice(OTHER_JSON)
    if not path:
        return orjson.dumps(other)
    at = whole
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = other
    return orjson.dumps(whole)


def _flipped(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return b"\x80"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda _data, _chance: b"",
    "cut": lambda data, chance: data[: chance.randrange(len(data) + 1)],
    "type": wrong_type,
    "json": lambda _data, chance: orjson.dumps(chance.choice(OTHER_JSON)),
    "binary": lambda _data, chance: chance.randbytes(chance.randrange(1, 3000)),
    "bit": _flipped,
    "line": lambda data, chance: data.replace(b"\n", chance.choice([b"", b"\r", b"\0", b",\n"]), 3),
    "nested": lambda _data, _chance: b"[" * 100_000,
}


def test_no_damaged_text_file_gives_a_traceback(root: Path, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    found = kinds(root)
    assert len(found) > 10, sorted(found)
    whole = tmp_path / "whole"
    shutil.copytree(root, whole)
    for number in range(ROUNDS):
        kind = sorted(found)[number % len(found)] if SOAK else chance.choice(sorted(found))
        path, damage = chance.choice(found[kind]), chance.choice(sorted(DAMAGES))
        shutil.rmtree(root)
        shutil.copytree(whole, root)
        path.write_bytes(DAMAGES[damage](path.read_bytes(), chance))
        commands = COMMANDS if SOAK else chance.sample(COMMANDS[:-2], 4)  # the last two are slow
        for command in commands:
            story = f"seed {SEED}, round {number}: {path.relative_to(root)} {damage}, {command}"
            try:
                code, told = run(command, root)
            except BaseException as error:
                raise AssertionError(story) from error
            assert code in (0, 1, 2, 3), (story, told)
            assert "Traceback" not in told, (story, told)
            assert code == 0 or told.strip(), story
