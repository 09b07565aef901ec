"""Nonsense on the command line: told in a line, exit code 2 or 1, and never a traceback."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alphaqcm.data_collection.commands.catalogue import COMMANDS, known_keys
from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar.configuration import resolve
from alphaqcm.data_collection.commands.grammar.parser import parse
from alphaqcm.data_collection.commands.main import main, run_command
from alphaqcm.data_collection.commands.options import Kind, Option
from alphaqcm.data_collection.commands.script_actions import SCRIPTS
from alphaqcm.data_collection.errors import UsageError
from tests.conftest import PROJECT, SOAK

NONSENSE = (
    "", " ", "-", "--", "nan", "inf", "-inf", "-1", "0", "-0", "1e309", "1e5", "0x10", "1_000", "²",
    "١٢", "9" * 25, "99999999999999999999", "99999999999999999999d", "-99999d", "-0d", "2024-02-30",
    "9999-12-31", "0000-00-00", "0001-01-01", "yesterday", "tomorrow", "a" * 300, "../../x", "..",
    "/proc", "/dev/null/x", "a\nb", "\x1b[31mred", "🙂", "%s", "%(default)s", "{}", "*", "[", "?",
    "http://[::1", "http://[::bad/", "http://h:99999", "http://h:abc", "http://h h/", "http://",
    "http://" + "a" * 300, "ftp://h/", "file:///etc/passwd", "http://\x00/", ",", ",,", "a,,b",
    "BTCUSDT,", "klines:", ":1m", "klines:1m:1m", "klines:7x", "2024-01-01..2024-01-02", "true",
)  # fmt: skip
EVERYTHING = dict(COMMANDS.items()) | {
    f"{name}.py": script.command for name, script in SCRIPTS.items()
}
REQUIRED = {
    "start": "2024-02-28", "end": "2024-02-29", "id": "A", "dest": "archive", "directory": ".",
    "file": "BTCUSDT-aggTrades-2024-02.zip", "query": "SELECT 1", "what": "final", "shell": "bash",
    "reference": "archive-1h", "base_dir": ".",
}  # fmt: skip
SERVES = ("mirror", "workers")  # do not end by themselves, or start what does not


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a source that is an empty tree there."""
    folder = tmp_path / "as" / "deep" / "as" / "nonsense" / "climbs"
    (folder / "source" / "data").mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name in list(os.environ):
        if name.startswith("ALPHAQCM_"):
            monkeypatch.delenv(name)
    return folder


def needed(command: Command, but: Option | None) -> list[str]:
    """Words for all that the command requires, other than `but`."""
    words = []
    for one in command.options:
        if one.required and one != but:
            words += (
                [REQUIRED.get(one.dest, "x")]
                if one.positional
                else [one.name, REQUIRED.get(one.dest, "x")]
            )
    names = {one.dest for one in command.options}
    if "source" in names and (but is None or but.dest != "source"):
        words += ["--source", "source"]
    return words


def cases(command: Command) -> Iterator[list[str]]:
    """The words of each option with each nonsense, joined and apart."""
    for one in command.all_options:
        for text in NONSENSE:
            if one.positional:
                yield [*needed(command, one), text]
            elif one.kind is Kind.SWITCH:
                yield [*needed(command, one), f"{one.name}={text}"]
            else:
                yield [*needed(command, one), f"{one.name}={text}"]
                yield [*needed(command, one), one.name, text]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERYTHING)
def test_every_option_with_every_nonsense_is_a_value_or_refused(name: str) -> None:
    """As a word, as a variable, as a line of a file."""
    command, known = EVERYTHING[name], known_keys()
    for one in command.all_options:
        for text in NONSENSE:
            given = {one.dest: [text] if one.kind in (Kind.REPEATED, Kind.MANY) else text}
            for words, variables in ((given, {}), ({}, {one.variable: text})):
                try:
                    resolve(name, [one], words, variables, known)
                except UsageError as error:
                    assert str(error).isprintable(), (one.name, text)


@pytest.mark.parametrize("name", EVERYTHING)
def test_words_are_values_or_refused_with_code_2(name: str) -> None:
    """Some of them, through the whole reading of a command line."""
    command, known = EVERYTHING[name], known_keys()
    found = list(cases(command))
    for words in random.Random(name).sample(found, 20):
        try:
            parse(command, words, name, known, {})
        except UsageError:
            continue
        except SystemExit as ended:
            assert ended.code in (0, 2), words


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SERVES])
def test_commands_end_with_a_code_whatever_an_option_says(
    name: str,
    capfd: pytest.CaptureFixture[str],
    nowhere: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through `main`, in an empty folder: each option with some of the nonsense."""
    chance = random.Random(name)
    found = list(cases(COMMANDS[name]))
    # without an exchange to answer, its commands wait between their tries
    few = 4 if name.startswith("candles") else 25
    for words in chance.sample(found, min(len(found), 1_000 if SOAK else few)):
        if COMMANDS[name].name == "monitor":
            words = [*words, "--once"]
        monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 1"))
        try:
            code = main([name, *words])
        except SystemExit as ended:
            code = int(str(ended.code))
        told = capfd.readouterr()
        assert code in (0, 1, 2, 3), words
        assert "Traceback" not in told.err, words
        assert code != 2 or told.err, words
    outside = [path for path in nowhere.parent.iterdir() if path != nowhere]
    assert [path for path in outside if path.name == "x"] == []


REFUSED = [
    ["run", "--source", "http://[::1"], ["run", "--source", "http://127.0.0.1:99999"],
    ["run", "--source", "http://h:abc"], ["run", "--source", "http://a b/"],
    ["run", "--source", "http://" + "a" * 300], ["run", "--listing", "http://[::1"],
    ["fetch", "--recheck", "nan"], ["fetch", "--recheck", "inf"], ["fetch", "--stall", "nan"],
    ["fetch", "--types", ""], ["fetch", "--retries", "99999999999999999999"],
    ["run", "--workers", "99999999999999999999"], ["run", "--workers", "0"],
    ["run", "--complete", "metrics", "--name", "../../x"], ["sql", "SELECT 1", "--rows", "-5"],
    ["worker", "--id", "A", "--stale-hours", "-1"], ["worker", "--id", "../../x"],
    ["minutes", "BTCUSDT-aggTrades-2024-02.zip", "--whale", "nan"],
    ["sample", "out", "--symbols", "-1"], ["sample", "out", "--symbols", "../../x"],
    ["sample", "out", "--symbols", "BTCUSDT,../x"], ["training-set", "--name", "../../x"],
    ["mirror", ".", "--port", "65536"], ["monitor", "--interval", "0"],
    ["symbols", "--alive-on", "2024-02-30"], ["workers", "0", "--symbols", "BTCUSDT"],
]  # fmt: skip


@pytest.mark.parametrize("words", REFUSED, ids=lambda words: " ".join(words)[:60])
def test_what_has_no_sense_is_refused_before_anything_is_done(
    words: list[str], nowhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if words[0] in ("run", "fetch", "worker", "workers"):
        words = [*words, "--start", "2024-02-28", "--end", "2024-02-29"]
        if not any(word in words for word in ("--source", "--listing")):
            words += ["--source", "source"]
    before = sorted(nowhere.rglob("*"))
    assert main(words) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert sorted(nowhere.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["fetch_1min_data", "clean_one_symbol", "build_global_final_table"]
)
def test_scripts_end_with_a_code_whatever_an_option_says(
    name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = SCRIPTS[name]
    found = list(cases(script.command))
    for words in random.Random(name).sample(found, 15):
        try:
            code = run_command(script.command, words, name, **script.told)
        except SystemExit as ended:
            code = int(str(ended.code))
        assert code in (0, 1, 2, 3), words
        assert "Traceback" not in capfd.readouterr().err, words


@pytest.mark.process
@pytest.mark.parametrize(
    "words",
    [["cli.py", "run", "--start", "-1d"], ["cli.py", "fetch", "--source", "http://[::1"],
     ["run_aggtrades_queue.py", "--worker-id", "\x1b[31m"], ["cli.py", "nothing"], ["cli.py"],
     ["monitor_aggtrades_progress.py", "--interval", "nan"],
     ["cli.py", "plan", "--symbols", "\udcff", "--start=-3d", "--end=-2d", "--source", "source"]],
    ids=lambda words: ascii(" ".join(words)),
)  # fmt: skip
def test_processes_end_without_a_traceback(words: list[str]) -> None:
    script, *rest = words
    done = subprocess.run(
        [sys.executable, str(PROJECT / "data_collection" / script), *rest],
        capture_output=True, text=True, errors="surrogateescape", check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
