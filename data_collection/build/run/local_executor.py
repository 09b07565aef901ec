"""The whole road for one run: what is current, what the workers do, what is then published."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import orjson
from tqdm import tqdm

import alphaqcm
from alphaqcm.data_collection._bootstrap import ONE_THREAD
from alphaqcm.data_collection.build.run.run_worker import RETRIED_ERRORS
from alphaqcm.data_collection.build.run.task_graph import planned_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.settings_json import read_settings
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner
from alphaqcm.data_collection.errors import CollectionError, UsageError
from alphaqcm.data_collection.process.event_log import is_quiet
from alphaqcm.data_collection.queue.options import DEFAULT_STATE
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import QueueState, TaskState, is_over
from alphaqcm.data_collection.queue.task import Outcome, Task, TaskKind, TaskResult
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.storage.atomic_write import write_bytes

_POLL = 0.2  # seconds between two looks at the queue
_MANY = 100  # months to fetch from which on small files are brought ahead
_GRACE = 10.0  # seconds that interrupted workers have to end by themselves


@dataclass(slots=True)
class RunProgress:
    """What became of every task of a run."""

    outcomes: dict[Task, Outcome] = field(default_factory=dict)
    failures: dict[Task, str] = field(default_factory=dict)
    blocked: int = 0  # tasks that stand on a failed one
    built: int = 0
    downloaded: int = 0  # bytes
    retried_errors: Counter[str] = field(default_factory=Counter)  # attempts gone wrong and mended

    @property
    def problems(self) -> list[str]:
        """Archive files that cannot be used, and tasks that failed."""
        files = [text for outcome in self.outcomes.values() for text in outcome.problems]
        return files + [f"{task.id}: {reason}" for task, reason in self.failures.items()]


def save_settings(settings: RunSettings) -> None:
    """Keep the settings of the run, for `build` and `update`."""
    write_bytes(
        _settings_path(settings.layout.temp, settings.market),
        orjson.dumps(settings.to_dict(), option=orjson.OPT_INDENT_2),
    )


def _settings_path(temp: Path, market: Market) -> Path:
    return temp / ("run.json" if market is Market.UM else f"run-{market}.json")


def has_settings(temp: Path, market: Market) -> bool:
    """Whether there was a run of `market` in the data root."""
    return _settings_path(temp, market).exists()


def load_settings(temp: Path, market: Market = Market.UM) -> RunSettings:
    """The settings of a market's last run in a data root; raises `UsageError` without one."""
    path = _settings_path(temp, market)
    try:
        kept = read_settings(orjson.loads(path.read_bytes()), path)
        return replace(kept, root=temp.parent)  # it may have been moved or copied since
    except (OSError, orjson.JSONDecodeError) as error:
        raise UsageError(
            path,
            expected="the settings of an earlier run",
            found="none" if isinstance(error, OSError) else "a damaged file",
            next_step="alphaqcm run with --symbols, --start and --end",
        ) from error


def last_source(temp: Path) -> tuple[str, str | None] | None:
    """Source and listing of the data root's last run, of whatever market; None without a run.

    Raises `UsageError` where its settings are damaged.
    """
    runs = {market: _settings_path(temp, market) for market in Market}
    there = {market: path.stat().st_mtime_ns for market, path in runs.items() if path.exists()}
    if not there:
        return None
    settings = load_settings(temp, max(there, key=lambda market: there[market]))
    return settings.source, settings.listing


def find_pending(steps: TaskRunner, *, offline: bool = False) -> tuple[RunProgress, list[Task]]:
    """What is current already, and the tasks that are left, later steps of open ones included.

    `offline` leaves the month files as they are and asks no source.
    """
    progress = RunProgress()
    left: list[Task] = []
    for symbol in steps.settings.symbols:
        open_types: set[str] = set()
        for task in steps.settings.tasks(symbol):
            if offline and task.kind is TaskKind.MONTH:
                continue
            blocked = (
                task.type in open_types if task.kind is TaskKind.HOURLY else bool(open_types)
            ) and task.kind is not TaskKind.MONTH
            outcome = None if blocked else steps.current(task)
            if outcome is None:
                left.append(task)
                open_types.add(task.type)
            else:
                progress.outcomes[task] = outcome
    return progress, left


def execute(
    steps: TaskRunner,
    workers: int,
    lock: int,
    say: Callable[[str], None] = print,
    *,
    offline: bool = False,
) -> RunProgress:
    """Do what is left of a run with `workers` processes; `lock` is the root's descriptor."""
    settings = steps.settings
    progress, left = find_pending(steps, offline=offline)
    if not left:
        nothing = all(outcome.result is TaskResult.ABSENT for outcome in progress.outcomes.values())
        current = "everything is current: nothing to download, nothing to build"
        say("the source has nothing for these symbols and days" if nothing else current)
        return progress
    say(f"{len(left):,} steps to do, {len(progress.outcomes):,} are current or absent")
    queue = Queue.open(settings.layout.temp / DEFAULT_STATE)
    queue.sync(planned_tasks(steps, set(left)), settings.to_dict(), look_again=True)
    queue.retry_failed()
    held = 0 if offline else steps.archive.ledger.verified_bytes()
    book = _run_workers(queue, settings, workers, lock, left, progress.retried_errors)
    progress.retried_errors += steps.archive.retried_errors if not offline else Counter()
    for entry in book.entries:
        if entry.state in (TaskState.DONE, TaskState.ABSENT):
            progress.built += entry.built
            progress.downloaded += entry.downloaded
            # what a file's footer tells (its notes, what cannot be used) is read back from it
            outcome = steps.current(entry.task) or Outcome(TaskResult(entry.state.value))
            progress.outcomes[entry.task] = replace(outcome, problems=entry.problems)
        elif entry.state is TaskState.FAILED:
            progress.failures[entry.task] = entry.reason
        else:
            progress.blocked += 1
    if not offline:  # what was brought ahead of the workers is in none of their counts
        brought = steps.archive.ledger.verified_bytes() - held
        progress.downloaded = max(progress.downloaded, brought)
    return progress


def _run_workers(
    queue: Queue,
    settings: RunSettings,
    workers: int,
    lock: int,
    tasks: Sequence[Task],
    retried_errors: Counter[str],
) -> QueueState:
    months = sum(task.kind is TaskKind.MONTH for task in tasks)
    logs = settings.layout.temp / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(_Bar(len(tasks)))
        processes = [
            stack.enter_context(_Process("run_worker", [str(queue.path), name], logs, name, lock))
            for name in (f"run-{n}" for n in range(1, workers + 1))
        ]
        others = []
        if months >= _MANY:
            words = [str(queue.path)]
            others.append(stack.enter_context(_Process("prefetch", words, logs, "prefetch", lock)))
        try:
            while any(process.alive for process in processes):
                bar.show(queue.snapshot())
                time.sleep(_POLL)
        except KeyboardInterrupt:
            # the terminal told the workers too: let them hand back what they hold
            for process in processes:
                process.wait(_GRACE)
            raise
        book = queue.snapshot()
        bar.show(book)
    for process in (*processes, *others):
        retried_errors.update(process.retried_errors)
    if not is_over(book):
        raise CollectionError(
            "the run's workers",
            expected="to go on until all is done",
            found="; ".join(dict.fromkeys(process.why_it_ended for process in processes)),
            next_step=f"mend it, then the same command goes on from here; logs are in {logs}",
        )
    return book


class _Bar:
    """Progress: a bar in a terminal, else a line each time another tenth is done."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._told = 0
        self._bar = tqdm(
            total=total, unit="step", disable=is_quiet() or None, dynamic_ncols=True, smoothing=0.1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, book: QueueState) -> None:
        """Tell how far the queue is."""
        counts = book.counts()
        settled = counts[TaskState.DONE] + counts[TaskState.ABSENT] + counts[TaskState.FAILED]
        brought = f"{sum(entry.downloaded for entry in book.entries) / 1e6:,.1f} MB"
        if not self._bar.disable:
            self._bar.n = settled
            self._bar.set_postfix_str(brought)
        elif settled * 10 // self._total > self._told:
            self._told = settled * 10 // self._total
            print(f"{settled:,} of {self._total:,} steps, {brought} downloaded", flush=True)


class _Process:
    """A process of ours; it ends when this one does: its standard input is then closed."""

    def __init__(self, module: str, words: Sequence[str], logs: Path, name: str, lock: int) -> None:
        here = Path(alphaqcm.__file__).resolve().parent.parent
        paths = os.pathsep.join([str(here), *filter(None, [os.environ.get("PYTHONPATH")])])
        with (logs / f"{name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"alphaqcm.data_collection.build.run.{module}", *words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.PIPE,
                pass_fds=(lock,),
                env={**os.environ, "PYTHONPATH": paths, **ONE_THREAD},
            )
        self._name = name
        self._last_words: deque[str] = deque(maxlen=1)
        self.retried_errors: Counter[str] = Counter()
        # a pipe and not a file: a worker that a full disk ended can still say so
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
        self._listener.join()

    def _listen(self) -> None:
        for line in self._process.stderr or ():
            text = line.decode("utf-8", "replace").strip()
            if text.startswith(RETRIED_ERRORS):
                self.retried_errors.update(orjson.loads(text.removeprefix(RETRIED_ERRORS)))
            elif text:
                self._last_words.append(text)

    @property
    def alive(self) -> bool:
        """Whether it is at work."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Give it time to end by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    @property
    def why_it_ended(self) -> str:
        """Its last words, or its exit code."""
        told = f"worker {self._name} ended with code {self._process.returncode}"
        return self._last_words[-1] if self._last_words else told
