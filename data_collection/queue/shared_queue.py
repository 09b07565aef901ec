"""The queue that workers share: claims, leases and the commit gate over one state file.

    queue = Queue.open(Path("AlphaQCM_data/_tmp/aggTrades_queue_state.json"))
    print(queue.sync(planned, settings))        # what is kept, added, done again
    summary = work(queue, "A", perform)         # `worker.work`: claim -> perform -> done
    state = queue.snapshot()                    # any process, no lock

The lock of the state is held for reading it, one step and writing it, and in a commit also for the
renames of the task's files; never while work is done.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from alphaqcm.data_collection.errors import QueueError, UsageError
from alphaqcm.data_collection.queue import transitions
from alphaqcm.data_collection.queue.liveness import LivenessChecker, read_heartbeats
from alphaqcm.data_collection.queue.merge import MergeResult, is_planned, merge_plan, reopen
from alphaqcm.data_collection.queue.options import (
    DEFAULT_STATE,
    CommitStep,
    Outlook,
    QueueOptions,
    workers_dir,
)
from alphaqcm.data_collection.queue.state import (
    Lease,
    Planned,
    QueueState,
    TaskRecord,
    TaskState,
    is_over,
    next_due,
)
from alphaqcm.data_collection.queue.state_file import Damaged, QueueFile, Staged
from alphaqcm.data_collection.queue.task import Outcome
from alphaqcm.pipeline.errors import PipelineError

__all__ = ["DEFAULT_STATE", "Planned", "Queue"]


class Queue:
    """One shared queue, as one process uses it."""

    def __init__(self, path: Path, lock_dir: Path, options: QueueOptions) -> None:
        self.path = path
        self.lock_dir = lock_dir
        self.options = options
        self.say = options.say
        self.watch = LivenessChecker(lock_dir, options.host, options.stale)
        self._file = QueueFile(path, options.journal_from)
        self._last: QueueState | None = None  # what this process saw last: rebuilds a damaged file
        self._settings: dict[str, Any] | None = None  # what this process works for

    @classmethod
    def open(
        cls, path: Path, lock_dir: Path | None = None, options: QueueOptions | None = None
    ) -> Self:
        """The queue of a state file, which need not exist yet.

        `lock_dir` holds the workers' locks and heartbeats (default: `{state}.workers/`).
        """
        return cls(path, lock_dir or workers_dir(path), options or QueueOptions())

    def snapshot(self) -> QueueState:
        """The state as it is now, without any lock; raises `QueueError` where there is none."""
        state = self._file.read()
        if state is None:
            raise self._no_state()
        return state

    def changed_since(self, signature: tuple[int, ...] | None) -> bool:
        """Whether the state file is another than when `signature` was taken."""
        return self._file.signature() != signature

    def signature(self) -> tuple[int, ...] | None:
        """Names the state file's present content."""
        return self._file.signature()

    def sync(
        self,
        planned: Sequence[Planned],
        settings: Mapping[str, Any],
        *,
        look_again: bool = False,
    ) -> MergeResult:
        """Make the queue be about `planned`; what is still valid is kept, the rest is told.

        Absent tasks, and done ones whose output is gone, are pending again; with `look_again` all
        done ones are, to be held against their layers. Not while others are at work.
        Raises `UsageError` where live workers are on a queue of other settings.
        """
        with self._file.locked(self.say):
            old = self._read_or_set_aside()
            others = self.live_workers()
            if old is not None and others and not is_planned(old, planned, settings):
                raise UsageError(
                    self.path,
                    expected="a queue of these symbols, days and source",
                    found=f"another one, on which {', '.join(others)} are at work",
                    next_step="stop these workers, or name another --state",
                )
            base = old if old is None or others else _reopened(old, look_again)
            state, merged = merge_plan(base, planned, settings, _new_name())
            self._settle(old, state)
        return merged

    def resume(
        self, settings: Mapping[str, Any], *, look_again: bool = False
    ) -> MergeResult | None:
        """`sync` without a plan where the queue already has these settings, else None."""
        with self._file.locked(self.say):
            try:
                old = self._file.read()
            except Damaged:
                return None
            if old is None or not old.knows_needs or dict(old.settings) != dict(settings):
                return None
            state = old if self.live_workers() else _reopened(old, look_again)
            self._settle(old, state)
        again = sum(a is not b for a, b in zip(old.entries, state.entries, strict=True))
        return MergeResult(kept=len(state.entries) - again, again=again)

    def _settle(self, old: QueueState | None, state: QueueState) -> None:
        if state != old:
            self._write(state)
        self._last, self._settings = state, dict(state.settings)

    def join(self) -> Mapping[str, Any]:
        """The settings of the queue as it is, to work on; raises `QueueError` without one."""
        self._last = self.snapshot()
        self._settings = dict(self._last.settings)
        return self._settings

    def live_workers(self) -> list[str]:
        """Names of the workers that seem to be alive."""
        beats = read_heartbeats(self.lock_dir)
        return [beat.worker for beat in beats if self.watch.looks_alive(beat)]

    def retry_failed(self) -> int:
        """Bring failed tasks back; returns how many."""
        with self._changing() as change:
            before = change.state
            change.state = transitions.retry_failed(before)
            return sum(
                a is not b for a, b in zip(before.entries, change.state.entries, strict=True)
            )

    def claim(self, worker: str) -> Lease | None:
        """The next task for `worker`, None when there is none now (`outlook` tells why).

        Takes back the tasks of dead workers first.
        """
        options = self.options
        with self._changing() as change:
            self._check_settings(change.state)
            now = self.options.now()
            change.state = self._without_dead(change.state, now)
            taken = transitions.claim(change.state, worker, options.host, now, options.limits)
            if taken is None:
                return None
            change.state, lease = taken
        return lease

    def begin(self, worker: str) -> None:
        """Take back what an earlier process of this name left: the caller holds its OS lock."""
        with self._changing() as change:
            change.state, freed = transitions.free_dead(
                change.state,
                lambda name, _host: name == worker,
                self.options.now(),
                self.options.limits,
            )
        for entry in freed:
            self.say(f"{entry.id} was left by an earlier {worker}")

    @contextlib.contextmanager
    def committing(self, lease: Lease, outcome: Outcome, seconds: float) -> Iterator[None]:
        """The commit gate: files are renamed inside, the task is done when it is left.

        Raises `LeaseLost` before anything is renamed where the task has another owner.
        """
        fault = self.options.fault
        fault(CommitStep.LOCK)
        with self._file.locked(self.say):
            fault(CommitStep.CHECK)
            state = self._read()
            done = transitions.complete(state, lease, outcome, seconds, self.options.now())
            fault(CommitStep.STAGE)
            # staged before the renames: a full disk shows here, while nothing has happened yet
            staged = self._stage(done)
            try:
                fault(CommitStep.RENAME)
                yield
            except BaseException:
                self._file.discard(staged)
                raise
            fault(CommitStep.PUBLISH)
            self._file.publish(staged)
            self._last = done
            fault(CommitStep.RELEASE)
        fault(CommitStep.END)

    def complete(self, lease: Lease, outcome: Outcome, seconds: float) -> None:
        """A commit without files: the task was current, or the source has nothing for it."""
        with self.committing(lease, outcome, seconds):
            pass

    def fail(self, lease: Lease, reason: str, *, final: bool = False) -> QueueState:
        """Record a failure; raises `LeaseLost`."""
        with self._changing() as change:
            now = self.options.now()
            change.state = transitions.fail(
                change.state, lease, reason, now, self.options.limits, final=final
            )
            return change.state

    def hand_back(self, lease: Lease) -> None:
        """Give a task back undone; raises `LeaseLost`."""
        with self._changing() as change:
            change.state = transitions.hand_back(change.state, lease)

    def settle_journal(self) -> None:
        """Write the state file whole where a journal goes on from it, for whoever reads it alone.

        A worker does so when it ends. A full disk is no error here: the journal stays.
        """
        with contextlib.suppress(PipelineError), self._file.locked(self.say):
            state = self._file.read()
            if state is not None and self._file.has_journal:
                self._file.publish(self._file.stage(state, whole=True))

    def outlook(self) -> Outlook:
        """What a worker that found nothing to do has to wait for, by the state seen last."""
        state = self._last or self.snapshot()
        return Outlook(
            over=is_over(state),
            holders=state.holders(),
            due=next_due(state, self.options.now(), self.options.limits),
        )

    # -- under the lock -------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_Change]:
        """Hold the lock, give the state to change, write it if it was."""
        with self._file.locked(self.say):
            change = _Change(self._read())
            before = change.state
            yield change
            if change.state is not before:
                self._write(change.state)
            self._last = change.state

    def _read(self) -> QueueState:
        """The state; a damaged or vanished one is made anew from what this process saw last."""
        if self._last is None:
            state = self._file.read()
            if state is None:
                raise self._no_state()
            return state
        state = self._read_or_set_aside()
        if state is not None:
            return state
        entries = tuple(entry.fresh() for entry in self._last.entries)
        self.say(f"{self.path} is made anew: {len(entries)} tasks to be looked at again")
        state = replace(self._last, generation=_new_name(), entries=entries)
        self._write(state)
        return state

    def _read_or_set_aside(self) -> QueueState | None:
        try:
            return self._file.read()
        except Damaged as error:
            aside = self._file.set_aside()
            self.say(f"{self.path}: found {error.found}; set aside as {aside.name}")
            return None

    def _write(self, state: QueueState) -> None:
        self._file.publish(self._stage(state))

    def _stage(self, state: QueueState) -> Staged:
        return self._file.stage(replace(state, revision=state.revision + 1))

    def _check_settings(self, state: QueueState) -> None:
        if self._settings is not None and dict(state.settings) != self._settings:
            raise QueueError(
                self.path,
                expected="the symbols, days and source this worker was started for",
                found="others: another command made the queue its own",
                next_step="start this worker again, or with a --state of its own",
            )

    def _without_dead(self, state: QueueState, now: datetime) -> QueueState:
        state, freed = transitions.free_dead(state, self.watch.is_dead, now, self.options.limits)
        for entry in freed:
            self.say(f"{entry.id} taken back from {entry.worker}, which is gone")
        return state

    def _no_state(self) -> QueueError:
        return QueueError(
            self.path,
            expected="the state of a queue",
            found="no such file",
            next_step="start `alphaqcm run --workers N` or a worker with symbols and days first",
        )


@dataclass(slots=True)
class _Change:
    state: QueueState


def _reopened(state: QueueState, every: bool) -> QueueState:
    """The state with tasks pending again that are to be held against source and layers."""

    def doubtful(entry: TaskRecord) -> bool:
        return every or entry.state is TaskState.ABSENT or not _is_there(entry)

    return reopen(state, doubtful)


def _is_there(entry: TaskRecord) -> bool:
    if not entry.output:
        return True
    output = Path(entry.output)
    return all(output.with_name(name).exists() for name in (output.name, *entry.siblings))


def _new_name() -> str:
    return os.urandom(4).hex()
