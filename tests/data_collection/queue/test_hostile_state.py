"""State files, heartbeats and reasons that somebody else wrote."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from alphaqcm.data_collection.build.run.worker_session import Session
from alphaqcm.data_collection.build.settings_json import read_settings, settings_of_queue
from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.errors import QueueError, UsageError
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.data_collection.process.terminal_text import printable
from alphaqcm.data_collection.queue.liveness import read_heartbeats
from alphaqcm.data_collection.queue.options import DEFAULT_STATE, QueueOptions, workers_dir
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.reporting.monitor.loop import Monitor
from tests.helpers.queue_workers import plan

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"

SETTINGS = {
    "market": "um",
    "symbols": ["BTCUSDT"],
    "start": "2024-01-01",
    "end": "2024-01-02",
    "root": "/nowhere",
    "source": "http://127.0.0.1:9",
    "listing": None,
    "types": ["klines:1m"],
    "fetch": {},
    "shared_by": 1,
    "directories": {},
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A sound state file in a data root of its own."""
    path = tmp_path / "root" / "_tmp" / DEFAULT_STATE
    queue = Queue.open(path, options=QueueOptions(say=lambda _: None))
    queue.sync(plan(1, 2), {**SETTINGS, "root": str(tmp_path / "root")})
    return path


def change(state: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = orjson.loads(state.read_bytes())
    change(told)
    state.write_text(json.dumps(told))


def put(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def apply(told: Any) -> None:
        for part in path[:-1]:
            told = list(told.values())[part] if isinstance(part, int) else told[part]
        told[path[-1]] = value

    return apply


NONSENSE: list[object] = [None, 1, -1, 1.5, True, "x", [], [1], {}, {"a": 1}, 10**17, ESCAPE]


@pytest.mark.parametrize(
    "place",
    [
        *[(name,) for name in ("format", "version", "generation", "revision", "last_token")],
        ("settings",),
        ("tasks",),
        *[
            ("tasks", 0, name)
            for name in (
                *("state", "output", "worker", "host", "reason", "at", "next_try", "token"),
                *("attempts", "deaths", "seconds", "rows", "bytes", "notes", "problems", "new"),
            )
        ],
    ],
    ids=lambda place: "-".join(map(str, place)),
)
def test_a_value_of_another_type_is_told_by_every_command(
    state: Path, tmp_path: Path, place: tuple[Any, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    sound = state.read_bytes()
    for value in NONSENSE:
        state.write_bytes(sound)
        change(state, put(*place, value=value))
        for words in (["monitor", "--once"], ["monitor", "--once", "--json"]):
            assert main([*words, "--root", str(tmp_path / "root")]) in (0, 1, 2), value
        told = "".join(capsys.readouterr())
        assert "Traceback" not in told
        assert not set("\x1b\x9b\x07\u202e") & set(told), value


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_settings_of_other_types_are_a_clear_error(name: str, tmp_path: Path) -> None:
    sound = {**SETTINGS, "root": str(tmp_path)}
    assert read_settings(sound, tmp_path).symbols == ("BTCUSDT",)
    for value in [*NONSENSE, "../../x", ["../../x"], {"stall": []}, {"no": 1}, "\0"]:
        try:
            read_settings({**sound, name: value}, tmp_path)
        except UsageError as error:
            assert "damaged" in str(error)
    missing = {key: value for key, value in sound.items() if key != name}
    if name != "shared_by":
        with pytest.raises(UsageError, match="damaged"):
            read_settings(missing, tmp_path)


@pytest.mark.parametrize("data", [None, 1, "x", [], {}, {"market": 1}])
def test_settings_that_are_none_are_a_clear_error(data: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="damaged"):
        read_settings(data, tmp_path)


def test_a_worker_writes_nothing_into_a_root_that_only_the_state_names(
    state: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    change(state, put("settings", "root", value=str(victim)))
    elsewhere = tmp_path / "elsewhere" / "state.json"
    elsewhere.parent.mkdir()
    shutil.copy(state, elsewhere)
    with pytest.raises(QueueError, match="that was named"):
        Session("A", elsewhere, root=tmp_path / "root").run()
    assert list(victim.iterdir()) == []
    found = settings_of_queue(Queue.open(elsewhere).snapshot().settings, elsewhere, victim)
    assert found.root == victim


def test_the_queue_of_a_moved_root_is_about_the_root_it_lies_in(
    state: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    (tmp_path / "root").rename(moved)
    path = moved / "_tmp" / DEFAULT_STATE
    assert settings_of_queue(Queue.open(path).snapshot().settings, path).root == moved


def test_a_task_of_a_symbol_that_is_none_of_the_run_is_refused(state: Path, tmp_path: Path) -> None:
    def plant(told: dict[str, Any]) -> None:
        told["tasks"] = {"month/klines:1m/../2024-01": {"state": "pending"}}

    change(state, plant)
    assert main(["worker", "--id", "A", "--data-root", str(tmp_path / "root")]) == 1
    told = orjson.loads(state.read_bytes())["tasks"]["month/klines:1m/../2024-01"]
    assert "BadName" in told["reason"]


@pytest.mark.parametrize(
    "beat",
    [
        {"worker": "A", "host": "h", "pid": 1, "started": "x"},
        {"worker": "A", "host": "h", "pid": "1", "started": ""},
        {"worker": "A", "host": "h", "pid": 1, "started": "", "beats": "many"},
        {"worker": "../../A", "host": "h", "pid": 1, "started": ""},
        {"worker": ESCAPE, "host": "h", "pid": 1, "started": ""},
        [1],
        7,
        "x",
    ],
)
def test_a_heartbeat_of_other_types_is_none(state: Path, beat: object) -> None:
    folder = workers_dir(state)
    folder.mkdir(exist_ok=True)
    (folder / "A.json").write_text(json.dumps(beat))
    assert read_heartbeats(folder) == []
    assert main(["monitor", "--once", "--root", str(state.parent.parent)]) == 0


def test_what_would_steer_a_terminal_is_shown_and_not_sent_to_it(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def plant(told: dict[str, Any]) -> None:
        for task in told["tasks"].values():
            task.update(state="failed", reason=f"broken {ESCAPE}", output=f"/x/{ESCAPE}")
            task.update(worker=ESCAPE, problems=[ESCAPE], notes=[ESCAPE])

    change(state, plant)
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, color_system=None)
    Monitor(state, state.parent.parent, "queue", lambda _: True, 900.0).once(console, as_json=False)
    assert "broken \\x1b]0;owned\\x07" in text.getvalue()
    assert not set("\x9b\x07\u202e") & set(text.getvalue())
    Log("A").event("failed", reason=ESCAPE, note="a\tb")
    main(["monitor", "--once", "--state", f"/nowhere/{ESCAPE}"])
    told = "".join(capsys.readouterr())
    assert "\\x1b]0;owned" in told
    assert not set("\x1b\x9b\x07\u202e") & set(told)


def test_what_people_write_is_left_as_it_is() -> None:
    for text in ("币安人生USDT: größer als 1 €", "two\nlines\tand a tab", ""):
        assert printable(text) == text
