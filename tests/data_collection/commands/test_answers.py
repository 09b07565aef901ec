"""What commands tell: JSON for programs, text for people, and which of them goes where."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.conftest import PROJECT
from tests.helpers.queue_workers import plan

pytestmark = pytest.mark.process

SPEC = SampleSpec(symbols=("BTCUSDT",), days=2, trades_per_day=500, compression=1)
SPAN = ("--start", str(SPEC.first), "--end", str(SPEC.last))
Told = tuple[int, Any, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source, and a data root that a run made of it."""
    folder = tmp_path_factory.mktemp("answers")
    write_sample(folder / "source", SPEC)
    assert main(["run", "--symbols", "BTCUSDT", *SPAN, *where(folder)]) == 0
    return folder


def where(folder: Path, *, source: bool = True) -> list[str]:
    words = ["--source", str(folder / "source")] if source else []
    return [*words, "--data-root", str(folder / "root")]


@pytest.fixture
def asked(place: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Run a command with --json; its code, its answer, and what else it told."""

    def run(*words: str, source: bool = True) -> Told:
        capfd.readouterr()
        code = main([*words, *where(place, source=source), "--json"])
        told = capfd.readouterr()
        return code, orjson.loads(told.out), told.err

    return run


def test_a_run_tells_files_tables_and_times(asked: Callable[..., Told]) -> None:
    code, told, text = asked("run", "--symbols", "BTCUSDT", *SPAN)
    assert (code, told["exit_code"], told["failed"], told["corrupt"]) == (0, 0, {}, [])
    assert told["types"]["metrics"] == {"files": 2, "absent": 0, "failed": 0}
    (table,) = told["tables"]
    assert (table["rows"], table["written"]) == (48, False)
    assert "everything is current" in text


def test_an_update_tells_what_it_looked_at(asked: Callable[..., Told]) -> None:
    code, told, _ = asked("update", "--end", str(SPEC.last))
    assert (code, told["exit_code"], told["built"]) == (0, 0, 0)
    assert told["last_hour"].startswith(str(SPEC.last))


def test_fetch_plan_and_verify_tell_their_files(asked: Callable[..., Told]) -> None:
    which = ("--symbols", "BTCUSDT", "--types", "metrics", *SPAN)
    code, told, text = asked("fetch", *which)
    assert (code, told["verified"], told["missing"]) == (0, 2, {})
    assert "2 of 2 files verified" in text
    code, told, _ = asked("plan", *which)
    assert (code, told["counts"]["keep"]) == (0, 2)
    code, told, text = asked("verify", "--deep")
    assert (code, told) == (0, {"exit_code": 0, "problems": []})
    assert "problems: 0" in text


@pytest.mark.parametrize(
    "words", [["build"], ["check"], ["info"], ["export", "final"], ["training-set"], ["docs"],
              ["config"], ["columns"], ["sql", "SELECT count(*) AS hours FROM final"]],
    ids=" ".join,
)  # fmt: skip
def test_standard_output_is_the_answer_alone(
    words: list[str], place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = [] if words[0] in ("docs", "columns") else where(place, source=False)
    assert main([*words, *root, "--json=-"]) == 0
    assert orjson.loads(capfd.readouterr().out)


def test_an_answer_goes_to_a_file_and_the_text_stays(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answer.json"
    assert main(["verify", *where(place), "--json", str(file)]) == 0
    assert capfd.readouterr().out.startswith("problems: 0")
    assert orjson.loads(file.read_bytes())["problems"] == []


def test_a_table_is_not_overwritten_by_an_answer(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = place / "root" / "final_dataset_all.parquet"
    before = table.read_bytes()
    assert main(["info", "--json", str(table)]) == 0
    assert orjson.loads(capfd.readouterr().out)["verified"] is True
    assert main(["verify", *where(place), "--json", str(table)]) == 2
    assert table.read_bytes() == before


def test_a_failure_is_an_answer_too(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--symbols", "NOSUCHUSDT", *SPAN, *where(place), "--json"]
    assert main(words) == 2
    told = orjson.loads(capfd.readouterr().out)
    assert (told["exit_code"], told["error"]["kind"]) == (2, "UsageError")
    assert "NOSUCHUSDT" in told["error"]["subject"]


def test_quiet_says_nothing_of_what_went_well(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--symbols", "BTCUSDT", *SPAN, *where(place), "-q"]) == 0
    assert capfd.readouterr() == ("", "")
    assert main(["info", *where(place, source=False), "--quiet"]) == 0
    assert "verified" in capfd.readouterr().out


def test_verbose_says_what_was_decided_and_by_whom(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHAQCM_MARKET", "um")
    assert main(["build", *where(place, source=False), "-v"]) == 0
    told = capfd.readouterr().err
    assert "market = um (ALPHAQCM_MARKET)" in told
    assert "data_root = " in told


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    yield lambda: capsys.readouterr().out.splitlines()


def test_log_lines_are_json_and_of_a_least_weight(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("ALPHAQCM_LOG_JSON", "true")
    monkeypatch.setenv("ALPHAQCM_LOG_LEVEL", "warning")
    events = Log("W1")
    events.event("done", task="a b", rows=3)
    events.event("failed", task="a b", reason="it's broken")
    (line,) = log()
    told = orjson.loads(line)
    assert {key: told[key] for key in told if key != "time"} == {
        "level": "error", "worker": "W1", "event": "failed", "task": "a b", "reason": "it's broken",
    }  # fmt: skip


def test_log_lines_are_key_and_value_unless_asked_otherwise(log: Callable[[], list[str]]) -> None:
    Log("W1").event("done", task="a b", rows=3, output="")
    (line,) = log()
    assert line.split(" ", 1)[1] == "worker=W1 event=done task='a b' rows=3"


@pytest.mark.parametrize("way", ["", "--no-color", "NO_COLOR", "ALPHAQCM_NO_COLOR"])
def test_colours_of_a_terminal_can_be_turned_off(way: str, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    Queue.open(state).sync(plan(1, 1), {"start": "2000-01-01", "end": "2000-01-31", "market": "um"})
    words = [sys.executable, "-m", "alphaqcm", "monitor", "--once", "--state", str(state)]
    words += [way] if way.startswith("--") else []
    env = {"PATH": os.defpath, "PYTHONPATH": str(PROJECT), "TERM": "xterm-256color"}
    env |= {way: "true"} if "NO_COLOR" in way else {}
    ours, theirs = pty.openpty()
    done = subprocess.run(words, env=env, stdout=theirs, stderr=theirs, cwd=tmp_path, check=False)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal says at its end
        while part := os.read(ours, 65_536):
            shown += part
    os.close(ours)
    assert done.returncode == 0, shown
    assert b"no worker" in shown
    assert bool(re.search(rb"\x1b\[[0-9;]*3[0-9]", shown)) is (way == "")
