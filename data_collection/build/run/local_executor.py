"""The local executor: worker processes of this machine that share a queue on disk."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from alphaqcm.data_collection.build.run.executor import Finished
from alphaqcm.data_collection.build.run.run_worker import RETRIED_ERRORS
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import PerformTask
from alphaqcm.data_collection.errors import CollectionError
from alphaqcm.data_collection.process.child_process import ChildCommand, ChildProcess
from alphaqcm.data_collection.queue.liveness import read_heartbeats
from alphaqcm.data_collection.queue.options import DEFAULT_STATE
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import (
    SETTLED,
    Planned,
    QueueState,
    TaskState,
    is_over,
    outcome_of,
)
from alphaqcm.data_collection.queue.task import Outcome

_ENDED = SETTLED | {TaskState.FAILED}
_POLL = 0.2  # seconds between two looks at the queue
_GRACE = 10.0  # seconds that interrupted workers have to end by themselves


@dataclass(slots=True)
class LocalExecutor:
    """`workers` processes on one queue; `lock` is the data root's descriptor, which they inherit.

    With `prefetch` one more process brings small files ahead of them. `retried_errors` counts, once
    all is over, what went wrong in single attempts and was mended.
    """

    workers: int
    lock: int
    prefetch: bool = False
    retried_errors: Counter[str] = field(default_factory=Counter)
    _children: list[ChildProcess] = field(default_factory=list)
    _lock_dir: Path | None = None

    def run(
        self, tasks: Sequence[Planned], perform: PerformTask, /
    ) -> Iterator[Finished[Planned, Outcome]]:
        """See `Executor`; the state file is the one of the run's data root.

        Raises `CollectionError` when the workers end before the tasks do.
        """
        settings = perform.settings
        queue = Queue.open(settings.layout.temp / DEFAULT_STATE)
        self._lock_dir = queue.lock_dir
        queue.sync(tasks, settings.to_dict(), look_again=True)
        queue.retry_failed()
        by_id = {task.id: task for task in tasks}
        told: set[str] = set()
        for state in self._states(queue, settings):
            yield from _newly_settled(state, by_id, told)
        state = queue.snapshot()
        yield from _newly_settled(state, by_id, told)
        for entry in state.entries:
            if entry.id not in told:
                yield Finished(by_id[entry.id], failure=entry.reason)

    def under_way(self) -> int:
        """Bytes that the workers have brought for the tasks that they are at."""
        beats = read_heartbeats(self._lock_dir) if self._lock_dir else []
        return sum(beat.task_bytes for beat in beats if not beat.ended)

    def cancel(self) -> None:
        """Close the workers' standard input: they hand back what they hold and end."""
        for child in self._children:
            child.stop()

    def _states(self, queue: Queue, settings: RunSettings) -> Iterator[QueueState]:
        """The queue's state from time to time, until it is over."""
        logs = settings.layout.temp / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        modules = [("run_worker", f"run-{n}") for n in range(1, self.workers + 1)]
        modules += [("prefetch", "prefetch")] if self.prefetch else []
        with contextlib.ExitStack() as stack:
            self._children = [
                stack.enter_context(
                    ChildProcess(self._command(module, name, queue), logs, self._hear)
                )
                for module, name in modules
            ]
            workers = self._children[: self.workers]
            try:
                while any(worker.alive for worker in workers):
                    yield queue.snapshot()
                    time.sleep(_POLL)
            except KeyboardInterrupt:
                # the terminal told the workers too: let them hand back what they hold
                for worker in workers:
                    worker.wait(_GRACE)
                raise
        if not is_over(queue.snapshot()):
            raise CollectionError(
                "the run's workers",
                expected="to go on until all is done",
                found="; ".join(dict.fromkeys(worker.why_it_ended for worker in workers)),
                next_step=f"mend it, then the same command goes on from here; logs are in {logs}",
            )

    def _command(self, module: str, name: str, queue: Queue) -> ChildCommand:
        return ChildCommand(f"build.run.{module}", (str(queue.path), name), name, (self.lock,))

    def _hear(self, line: str) -> bool:
        if not line.startswith(RETRIED_ERRORS):
            return False
        self.retried_errors.update(orjson.loads(line.removeprefix(RETRIED_ERRORS)))
        return True


def _newly_settled(
    state: QueueState, by_id: Mapping[str, Planned], told: set[str]
) -> Iterator[Finished[Planned, Outcome]]:
    ended = [entry for entry in state.entries if entry.state in _ENDED and entry.id not in told]
    # by token: in the order in which they were begun, each after those that it needs
    for entry in sorted(ended, key=lambda entry: entry.token):
        if entry.id not in by_id:
            continue
        if entry.state in SETTLED:
            told.add(entry.id)
            yield Finished(by_id[entry.id], outcome_of(entry))
        elif entry.state is TaskState.FAILED and not entry.next_try:
            told.add(entry.id)
            yield Finished(by_id[entry.id], failure=entry.reason)
