"""A worker: claim a task, do it, commit it, until the queue is over.

One line an event goes to the log:

    2024-03-01T12:00:00Z worker=A event=done task=month/aggTrades/BTCUSDT/2024-02 bytes=… seconds=…

Ctrl-C, SIGTERM and a closed terminal end the task at work: inside a commit it is finished, else it
is handed back. A second signal does not wait any more; the kernel then frees what the worker held.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import polars as pl

from alphaqcm.data_collection.errors import LeaseLost, QueueError, Refused, StoreRefused
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.data_collection.process.stop_signals import StopSignals
from alphaqcm.data_collection.queue.liveness import BEAT_EVERY, WorkerLife
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import Lease, QueueState, TaskState
from alphaqcm.data_collection.queue.task import Outcome, Perform, TaskResult
from alphaqcm.pipeline.errors import (
    BadName,
    DamagedFile,
    DiskFull,
    PipelineError,
    RawError,
    TableError,
)

TASK_ERRORS = (
    PipelineError,
    OSError,
    MemoryError,
    ValueError,
    LookupError,
    ArithmeticError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,  # no Exception: Rust's own word for a fault met in the data
)
"""What bad data or a poor machine can raise: the task failed. Anything else is a fault of the
program: it is written down at the task as well, and ends the worker."""

FINAL_ERRORS = (RawError, TableError, BadName, DamagedFile, Refused)
"""Errors that say the same next time: the task is not tried again by itself."""

STOP_ERRORS = (DiskFull, QueueError, StoreRefused)
"""Errors under which no task can be done: the worker hands its task back and ends."""

_LOOK_EVERY = 0.05  # seconds between two looks at the state while there is nothing to do
_TELL_EVERY = 60.0  # seconds between two lines about waiting


@dataclass(slots=True)
class WorkSummary:
    """What one worker did, and where the whole queue stood when it ended."""

    worker: str
    done: int = 0
    built: int = 0
    absent: int = 0
    failures: int = 0
    refused: int = 0
    handed_back: int = 0
    rows: int = 0
    bytes: int = 0
    downloaded: int = 0
    seconds: float = 0.0
    signal: int = 0  # the signal that ended it
    left: dict[TaskState, int] = field(default_factory=dict)  # the queue's tasks by state
    problems: int = 0  # archive files of the queue's tasks that cannot be used

    @property
    def exit_code(self) -> int:
        """0 when the whole queue is done or absent, 3 where that leaves out unusable archive files.

        128 + signal where one ended it, else 1.
        """
        if self.signal:
            return 128 + self.signal
        settled = self.left.get(TaskState.DONE, 0) + self.left.get(TaskState.ABSENT, 0)
        if settled != sum(self.left.values()):
            return 1
        return 3 if self.problems else 0


def work(
    queue: Queue,
    worker: str,
    perform: Perform,
    *,
    log: Log | None = None,
    beat_every: float = BEAT_EVERY,
    brought: Callable[[], int] = lambda: 0,
) -> WorkSummary:
    """Work on `queue` as `worker` until it is over or a signal comes.

    `brought` tells how many bytes have come from the source so far: the heartbeat tells of them.
    Waits while other live workers hold the rest. Raises `QueueError` where the state or the disk
    cannot be used; the task at work is handed back then.
    """
    return _Worker(queue, worker, perform, log or Log(worker)).run(beat_every, brought)


class _Worker:
    def __init__(self, queue: Queue, worker: str, perform: Perform, log: Log) -> None:
        self.queue = queue
        self.worker = worker
        self.perform = perform
        self.log = log
        queue.say = log.say  # what happens to the queue meanwhile is told in this worker's log
        self.signals = StopSignals()
        self.summary = WorkSummary(worker)
        self.committed = False

    def run(self, beat_every: float, brought: Callable[[], int]) -> WorkSummary:
        host = self.queue.options.host
        life = WorkerLife(self.queue.lock_dir, self.worker, host, beat_every, brought)
        began = time.monotonic()
        with self.signals, life:
            self.log.event("start", state=self.queue.path, host=self.queue.options.host)
            try:
                self.queue.begin(self.worker)
                self._loop(life)
                why = "finished"
            except KeyboardInterrupt:
                self.summary.signal = self.signals.signum or signal.SIGINT
                why = "stopped"
            self.summary.seconds = time.monotonic() - began
            self.queue.settle_journal()
            state = self.queue.snapshot()
            self.summary.left = state.counts()
            self.summary.problems = sum(len(entry.problems) for entry in state.entries)
            life.ending(why)
            self._say_end(why)
        return self.summary

    def _loop(self, life: WorkerLife) -> None:
        while True:
            self.signals.check()
            before = self.queue.signature()
            with self.signals.shield():
                lease = self.queue.claim(self.worker)
            if lease is not None:
                self._attend(life, lease)
            elif not self._wait(before):
                return

    def _attend(self, life: WorkerLife, lease: Lease) -> None:
        """Do a task; whatever ends it early leaves it failed or handed back."""
        self.committed = False
        began = time.monotonic()
        try:
            with life.busy(lease.id):
                self.signals.check()
                self.log.event("claim", task=lease.id, size=lease.size)
                self._do(lease, began)
        except KeyboardInterrupt:
            self._hand_back(lease)
            raise
        except LeaseLost as error:
            self.summary.refused += 1
            self.log.event("refused", task=lease.id, found=error.found)
        except STOP_ERRORS as error:
            self.log.event("stop", task=lease.id, reason=error)
            self._hand_back(lease)
            raise
        except TASK_ERRORS as error:
            self._fail(lease, error, began)
        except BaseException as error:
            self._fail(lease, error, began)
            raise

    def _do(self, lease: Lease, began: float) -> None:
        @contextlib.contextmanager
        def commit(outcome: Outcome) -> Iterator[None]:
            seconds = time.monotonic() - began
            with self.signals.shield():
                with self.queue.committing(lease, outcome, seconds):
                    yield
                self._note(lease, outcome, seconds)

        outcome = self.perform(lease.id, commit)
        if not self.committed:
            with commit(outcome):
                pass

    def _note(self, lease: Lease, outcome: Outcome, seconds: float) -> None:
        self.committed = True
        summary = self.summary
        summary.done += outcome.result is TaskResult.DONE
        summary.absent += outcome.result is TaskResult.ABSENT
        summary.built += outcome.built
        summary.rows += outcome.rows
        summary.bytes += outcome.bytes
        summary.downloaded += outcome.downloaded
        self.log.event(
            outcome.result.value,
            task=lease.id,
            built="yes" if outcome.built else "no",
            bytes=outcome.bytes,
            downloaded=outcome.downloaded,
            rows=outcome.rows,
            seconds=f"{seconds:.3f}",
            output=outcome.output,
        )
        for note in outcome.notes:
            self.log.event("note", task=lease.id, text=note)

    def _fail(self, lease: Lease, error: BaseException, began: float) -> None:
        if self.committed:
            return  # the task is done; what came after its commit concerns the worker alone
        reason = f"{type(error).__name__}: {error}"
        final = isinstance(error, FINAL_ERRORS)
        try:
            with self.signals.shield():
                state = self.queue.fail(lease, reason, final=final)
        except LeaseLost:
            return
        self.summary.failures += 1
        self.log.event(
            "failed",
            task=lease.id,
            seconds=f"{time.monotonic() - began:.3f}",
            next_try=_next_try(state, lease) or "never",
            reason=reason,
        )

    def _hand_back(self, lease: Lease) -> None:
        if self.committed:
            return
        # where the state cannot be written now, the end of this process frees the task
        with contextlib.suppress(QueueError, PipelineError), self.signals.shield():
            self.queue.hand_back(lease)
            self.summary.handed_back += 1
            self.log.event("handed-back", task=lease.id)

    def _wait(self, before: tuple[int, ...] | None) -> bool:
        """Wait until it is worth looking again; False when the queue is over."""
        outlook = self.queue.outlook()
        if outlook.over:
            return False
        began = told = time.monotonic()
        while not self.queue.changed_since(before):
            waited = time.monotonic() - began
            if outlook.due is not None and waited >= outlook.due:
                break
            if any(self.queue.watch.is_dead(*holder) for holder in outlook.holders):
                break
            if time.monotonic() - told > _TELL_EVERY:
                told = time.monotonic()
                self._say_waiting(outlook.holders)
            time.sleep(_LOOK_EVERY)
        return True

    def _say_waiting(self, holders: frozenset[tuple[str, str]]) -> None:
        silent = [
            f"{name} (silent for {self.queue.watch.heartbeat_age(name, host):.0f} s)"
            for name, host in sorted(holders)
        ]
        self.log.event("waiting", on=", ".join(silent) or "a failed task's next try")

    def _say_end(self, why: str) -> None:
        summary = self.summary
        self.log.event(
            why,
            done=summary.done,
            built=summary.built,
            absent=summary.absent,
            failures=summary.failures,
            bytes=summary.bytes,
            rows=summary.rows,
            seconds=f"{summary.seconds:.1f}",
            queue=", ".join(f"{n} {state}" for state, n in summary.left.items() if n) or "empty",
        )


def _next_try(state: QueueState, lease: Lease) -> str:
    return next((entry.next_try for entry in state.entries if entry.id == lease.id), "")
