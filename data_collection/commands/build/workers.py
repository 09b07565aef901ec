"""Starts workers on one queue and the monitor beside them, in tmux or in the background."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alphaqcm.data_collection.commands.build.declarations import WORKER_COMMAND
from alphaqcm.data_collection.commands.build.worker import worker_settings
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.grammar.parser import to_words
from alphaqcm.data_collection.commands.grammar.places import places_of
from alphaqcm.data_collection.commands.output import Answer
from alphaqcm.data_collection.errors import CollectionError
from alphaqcm.pipeline.errors import layer_error

SESSION = "alphaqcm"
_SCRIPTS = Path(__file__).resolve().parents[2]
_SIZE = ("-x", "160", "-y", "50")
_MONITOR_WIDTH = "82"


@dataclass(frozen=True, slots=True)
class _Crew:
    """What is to be started: the words of each process, and where the workers' logs go."""

    workers: dict[str, list[str]]
    monitor: list[str]
    logs: Path

    def log(self, worker: str) -> Path:
        return self.logs / f"worker-{worker}.log"


def run(arguments: argparse.Namespace) -> Answer:
    """Start them; the words are looked at first, as a worker would only say so in its own pane."""
    crew = _crew(arguments)
    try:
        crew.logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise layer_error(crew.logs, error) from error
    pids = [] if shutil.which("tmux") else _start_in_background(crew)
    if not pids:
        _start_in_tmux(crew)
    _say(crew, pids)
    told = {"workers": list(crew.workers), "logs": [crew.log(name) for name in crew.workers]}
    return Answer(
        ExitCode.DONE, {"exit_code": 0, "session": "" if pids else SESSION, "pids": pids, **told}
    )


def _crew(arguments: argparse.Namespace) -> _Crew:
    settings, places = worker_settings(arguments), places_of(arguments)
    shared = [one for one in WORKER_COMMAND.options if one.dest in arguments.settings]
    words = to_words(shared, arguments.settings)
    if arguments.symbols_file is not None and not arguments.symbols_file.is_file():
        # a pipe has been read by now; a name of symbols/ stands for the same list
        words = [word for word in words if not word.startswith("--symbols-file=")]
        words.append("--symbols=" + ",".join(settings.symbols))
    if not any(word.startswith("--types=") for word in words):
        words.append("--types=" + ",".join(arguments.types))
    python = [sys.executable, str(_SCRIPTS / "cli.py")]
    workers = {
        f"W{number}": [*python, "worker", "--id", f"W{number}", *words]
        for number in range(1, arguments.count + 1)
    }
    script = "monitor_aggtrades_progress.py" if arguments.types == ("aggTrades",) else None
    monitor = [sys.executable, str(_SCRIPTS / script)] if script else [*python, "monitor"]
    monitor += ["--data-root", str(places.root), "--state", str(places.state), "--interval", "5"]
    return _Crew(workers, monitor, places.layout.temp / "logs")


def _start_in_background(crew: _Crew) -> list[int]:
    """In sessions of their own, so that closing the terminal does not end them."""
    pids = []
    for name, words in crew.workers.items():
        with crew.log(name).open("ab") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        pids.append(process.pid)
        process.returncode = 0  # it is meant to go on when this process ends
    return pids


def _start_in_tmux(crew: _Crew) -> None:
    if _tmux("has-session", "-t", f"={SESSION}", check=False).returncode == 0:
        if _busy_panes():
            raise CollectionError(
                f"the tmux session {SESSION}",
                expected="none, or one whose workers have ended",
                found="workers at work in it",
                next_step=f"look: tmux attach -t {SESSION}; stop: tmux kill-session -t {SESSION}",
            )
        _tmux("kill-session", "-t", SESSION)
    window = f"{SESSION}:0"
    here = os.getcwd()  # noqa: PTH109
    _tmux("new-session", "-d", "-s", SESSION, *_SIZE, "-c", here, shlex.join(crew.monitor))
    _tmux("set-option", "-t", SESSION, "remain-on-exit", "on")
    _tmux("set-option", "-t", SESSION, "history-limit", "20000")
    for name, words in crew.workers.items():
        line = f"{shlex.join(words)} 2>&1 | tee -ai {shlex.quote(str(crew.log(name)))}"
        pane = f"exec bash -o pipefail -c {shlex.quote(line)}"
        _tmux("split-window", "-t", window, "-c", here, pane)
        _tmux("select-layout", "-t", window, "main-vertical")
    _tmux("set-option", "-w", "-t", window, "main-pane-width", _MONITOR_WIDTH)
    _tmux("select-layout", "-t", window, "main-vertical")
    _tmux("select-pane", "-t", f"{window}.0")


def _busy_panes() -> bool:
    """Whether a pane beside the monitor's is still at work."""
    listed = _tmux("list-panes", "-t", f"={SESSION}:0", "-F", "#{pane_index} #{pane_dead}")
    panes = [line.split() for line in listed.stdout.splitlines()]
    return any(index != "0" and dead == "0" for index, dead in panes)


def _tmux(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["tmux", *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise CollectionError(
            f"tmux {words[0]}",
            expected="to be done",
            found=done.stderr.strip() or f"exit code {done.returncode}",
            next_step="start the workers by hand: alphaqcm worker --id A, with the same words",
        )
    return done


def _say(crew: _Crew, pids: Sequence[int]) -> None:
    count = len(crew.workers)
    here = Path.cwd()
    logs = crew.logs.relative_to(here) if crew.logs.is_relative_to(here) else crew.logs
    logs_line = f"logs:  tail -f {logs}/worker-*.log"
    if pids:
        stop = " ".join(map(str, pids))
        print(f"{count} workers run in the background (tmux is not installed).")
        print(f"look:  {shlex.join(crew.monitor)}\n{logs_line}")
        print(f"stop:  kill {stop}  (the same command goes on later)")
        return
    print(f"{count} workers and the monitor run in the tmux session {SESSION}.")
    print(f"look:  tmux attach -t {SESSION}      (leave it again: Ctrl-b d)\n{logs_line}")
    print(f"stop:  tmux kill-session -t {SESSION}  (the same command goes on later)")
    print("next:  when they are done, alphaqcm run with the same symbols and days makes the table")
