"""Worker processes for the tests of the queue, started as a module with their settings as JSON.

Their tasks write small files whose content depends on the task alone: a month its own line, an
hourly step the lines of its months, the factors the lines of their hourly steps. What they commit
they also note in `commits.log`, inside the commit gate, so that a test can count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from alphaqcm.data_collection.errors import QueueError
from alphaqcm.data_collection.queue.options import CommitStep, QueueOptions
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import Limits, Planned
from alphaqcm.data_collection.queue.state_file import JOURNAL_FROM
from alphaqcm.data_collection.queue.task import CommitContext, Outcome, TaskResult
from alphaqcm.data_collection.queue.worker import work
from alphaqcm.pipeline.errors import PipelineError, RawError
from alphaqcm.pipeline.storage.atomic_write import AtomicBatch

PROJECT = Path(__file__).resolve().parents[2]
_started: list[subprocess.Popen[str]] = []
LIMITS = Limits(first_delay=0.1, factor=2.0, deaths=1_000)


@dataclass(frozen=True, slots=True)
class Config:
    """How a worker process behaves."""

    state: str
    worker: str
    out: str  # where its tasks' files go
    pause: float = 0.0  # seconds a task takes, at most
    pause_least: float = 0.0
    host: str = ""
    stale: float = 360.0
    days_off: float = 0.0  # how far its wall clock is wrong
    beat_every: float = 0.2
    die_at: str = ""  # a CommitStep, or "between": between the two renames of a commit
    term_at: str = ""  # a CommitStep at which it is asked to stop
    hold: str = ""  # a task that waits for the file `go` beside the state
    fail: str = ""  # a task that always fails
    fail_final: str = ""  # a task that fails with an error that will not change
    journal_from: int = JOURNAL_FROM  # tasks from which on it writes a journal


def plan(symbols: int, months: int, *, months_only: bool = False) -> list[Planned]:
    """A run of so many symbols and months of aggTrades; the later a symbol the larger."""
    planned = []
    for number in range(symbols):
        symbol, size = f"S{number:03}USDT", (number + 1) * 1_000
        names = tuple(
            f"month/aggTrades/{symbol}/{2000 + month // 12}-{month % 12 + 1:02}"
            for month in range(months)
        )
        planned += [Planned(name, size, "test") for name in names]
        if not months_only:
            hourly = f"hourly/aggTrades/{symbol}"
            planned.append(Planned(hourly, size, "test", names))
            planned.append(Planned(f"factors/{symbol}", size, "test", (hourly,)))
    return planned


def read_files(out: Path) -> dict[str, bytes]:
    """What a run left: every file but the notes of its commits."""
    return {
        path.name: path.read_bytes()
        for path in out.iterdir()
        if path.name != "commits.log" and not path.name.startswith(".")
    }


def file_name(task: str) -> str:
    """The file a task makes."""
    return task.replace("/", "_")


def start(config: Config, log: Path | None = None) -> subprocess.Popen[str]:
    """Start a worker process, for `end_all` to end; its log goes to `log`, or to a pipe."""
    command = [sys.executable, "-m", "tests.helpers.queue_workers", orjson.dumps(config).decode()]
    with contextlib.nullcontext(subprocess.PIPE) if log is None else log.open("a") as stream:
        process = subprocess.Popen(
            command, cwd=PROJECT, stdout=stream, stderr=subprocess.STDOUT, text=True
        )
    _started.append(process)
    return process


def end_all() -> None:
    """Kill what a failed test left running."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.wait()


def undisturbed(out: Path, symbols: int, months: int) -> dict[str, bytes]:
    """The files of a run of `plan` that nobody disturbs, made in the empty folder `out`."""
    (out / "files").mkdir(parents=True)
    Queue.open(out / "state.json").sync(plan(symbols, months), {})
    code, log = finish(start(Config(str(out / "state.json"), "calm", str(out / "files"))))
    if code:
        raise AssertionError(log)
    return read_files(out / "files")


def finish(process: subprocess.Popen[str], timeout: float = 120.0) -> tuple[int, str]:
    """Exit code and log of a worker started with a pipe."""
    log, _ = process.communicate(timeout=timeout)
    return process.returncode, log


class _Performer:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.out = Path(config.out)
        self.random = random.Random()  # seeded by the system: every storm is another one

    def __call__(self, task: str, commit: CommitContext) -> Outcome:
        config = self.config
        if task == config.fail:
            raise PipelineError(task, expected="luck", found="none")
        if task == config.fail_final:
            raise RawError(task, expected="a file", found="rubbish")
        if task == config.hold:
            (Path(config.state).parent / "held").touch()
            while not (Path(config.state).parent / "go").exists():
                time.sleep(0.01)
        if config.pause:
            time.sleep(self.random.uniform(config.pause_least, config.pause))
        data = self._content(task)
        path = self.out / file_name(task)
        outcome = Outcome(TaskResult.DONE, True, rows=1, bytes=len(data), output=str(path))
        with AtomicBatch() as batch:
            batch.add(path).write_bytes(data)
            batch.add(path.with_name(f"{path.name}.meta")).write_bytes(b"of " + data[:20])
            with commit(outcome):
                self._note(task)
                if config.die_at == "between":
                    files = [entry[1] for entry in batch._files]
                    files[0].replace(path)
                    os.kill(os.getpid(), signal.SIGKILL)
                batch.commit()
        return outcome

    def _content(self, task: str) -> bytes:
        stage, *_, last = task.split("/")
        if stage == "month":
            return f"{task} {'x' * 2_000}\n".encode()
        if stage == "hourly":
            months = sorted(self.out.glob(f"month_aggTrades_{last}_*"))
            return b"".join(path.read_bytes() for path in months if path.suffix != ".meta")
        return b"factors of\n" + (self.out / f"hourly_aggTrades_{last}").read_bytes()

    def _note(self, task: str) -> None:
        with (self.out / "commits.log").open("a") as stream:
            stream.write(f"{task} {self.config.worker}\n")


def options(config: Config) -> QueueOptions:
    """The queue options a config asks for."""

    def fault(step: CommitStep) -> None:
        if step == config.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == config.term_at:
            os.kill(os.getpid(), signal.SIGTERM)

    chosen = QueueOptions(
        limits=LIMITS, stale=config.stale, fault=fault, journal_from=config.journal_from
    )
    if config.host:
        chosen = dataclasses.replace(chosen, host=config.host)
    if config.days_off:
        off = timedelta(days=config.days_off)
        chosen = dataclasses.replace(chosen, now=lambda: datetime.now(UTC) + off)
    return chosen


def main() -> int:
    """Join the queue and work until it is over."""
    config = Config(**orjson.loads(sys.argv[1]))
    queue = Queue.open(Path(config.state), options=options(config))
    try:
        queue.join()
        summary = work(queue, config.worker, _Performer(config), beat_every=config.beat_every)
    except (QueueError, PipelineError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    return summary.exit_code


if __name__ == "__main__":
    sys.exit(main())
