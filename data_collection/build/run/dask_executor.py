"""The Dask executor: the tasks of a run on a cluster, fed in waves.

The scheduler holds a few thousand tasks at a time, whatever the run's size: a task is handed over
when what it needs is settled and there is room. Dask places, retries and, after a worker's death,
repeats tasks; a repeated task finds its files current or writes the same bytes.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from alphaqcm.data_collection.archive.file_record import FileRecord
from alphaqcm.data_collection.build.run.dask_cluster import (
    CPU,
    DOWNLOAD,
    MEMORY,
    Cluster,
    ClusterOptions,
    open_cluster,
)
from alphaqcm.data_collection.build.run.executor import Finished
from alphaqcm.data_collection.build.run.remote_task import Done, RemoteTask
from alphaqcm.data_collection.build.stages.perform import PerformTask
from alphaqcm.data_collection.build.task import Stage
from alphaqcm.data_collection.errors import ClusterError
from alphaqcm.data_collection.queue.state import Planned
from alphaqcm.data_collection.queue.task import Outcome

if TYPE_CHECKING:
    from distributed import Client, Future

WAVE = 2000
"""Tasks that the scheduler holds at once: some 13 MB of its memory, and never an idle worker."""

_REFILL = WAVE - 200  # below so many the next ones are handed over, many in one message
_RETRIES = 3  # of a task that failed by an error that may not come again
_LOOK = 2.0  # seconds between two looks at the cluster itself
_LOST = 120.0  # seconds without any worker after which the run ends
_LIBRARIES = 350_000_000  # bytes of a worker's process before it reads anything
_STEP = 250_000_000  # bytes
_MONTH_SHARE = 1.5  # bytes of memory for a byte of ZIP that a month task reads
_REST_SHARE = 0.25  # for a byte of ZIP behind a task that reads layers


@dataclass(slots=True)
class DaskExecutor:
    """Runs tasks on the cluster of `options`; `say` hears what a user should know of it.

    `retried_errors` counts, once all is over, what went wrong in single attempts and was mended.
    """

    options: ClusterOptions
    say: Callable[[str], None]
    retried_errors: Counter[str] = field(default_factory=Counter)
    learn: Callable[[Sequence[FileRecord]], None] = lambda _: None
    """Gets what the workers learned of archive files, where the ledger is this process's."""
    _cancelled: bool = False

    def run(
        self, tasks: Sequence[Planned], perform: PerformTask, /
    ) -> Iterator[Finished[Planned, Outcome]]:
        """See `Executor`. Raises `UsageError`, `ClusterError`."""
        with open_cluster(self.options, self.say) as cluster:
            remote = RemoteTask(perform, self.options.scratch, cluster.workers)
            yield from self.run_on(cluster, tasks, remote)

    def cancel(self) -> None:
        """Hand over no more tasks; those at work end with the cluster."""
        self._cancelled = True

    def run_on(
        self, cluster: Cluster, tasks: Sequence[Planned], remote: Callable[[Planned], Done]
    ) -> Iterator[Finished[Planned, Outcome]]:
        """The same on a cluster that is open already; `remote` does a task there."""
        plan = Plan(tasks)
        flight = _Flight(cluster, remote)
        try:
            while not self._cancelled:
                if len(flight) < _REFILL:
                    flight.submit(plan.take(WAVE - len(flight)))
                if not flight:
                    break
                for task, done in flight.landed():
                    self.retried_errors.update(done.retried_errors)
                    self.learn(done.records)
                    if done.stop:
                        raise _stopped(task, done.stop)
                    yield Finished(task, done.outcome, done.failure)
                    for blocked in plan.settle(task, ok=done.outcome is not None):
                        yield Finished(blocked)
        finally:
            flight.cancel()


class Plan:
    """Which task may be handed over: its needs are settled, and the heaviest goes first."""

    def __init__(self, tasks: Sequence[Planned]) -> None:
        names = {task.id for task in tasks}
        self._order = itertools.count()
        self._ready: list[tuple[int, int, Planned]] = []
        self._left: dict[str, set[str]] = {}
        self._users: defaultdict[str, list[Planned]] = defaultdict(list)
        for task in tasks:
            needs = {name for name in task.needs if name in names}
            self._left[task.id] = needs
            for name in needs:
                self._users[name].append(task)
            if not needs:
                self._push(task)

    def _push(self, task: Planned) -> None:
        heapq.heappush(self._ready, (-task.size, next(self._order), task))

    def take(self, count: int) -> list[Planned]:
        """The next tasks that may be done now, at most so many."""
        return [heapq.heappop(self._ready)[2] for _ in range(min(count, len(self._ready)))]

    def settle(self, task: Planned, *, ok: bool) -> Iterator[Planned]:
        """The task has ended; gives those that cannot be done any more."""
        for user in self._users.pop(task.id, ()):
            if user.id not in self._left:
                continue
            if not ok:
                del self._left[user.id]
                yield user
                yield from self.settle(user, ok=False)
                continue
            left = self._left[user.id]
            left.discard(task.id)
            if not left:
                self._push(user)


class _Flight:
    """The tasks that the scheduler holds."""

    def __init__(self, cluster: Cluster, remote: Callable[[Planned], Done]) -> None:
        self._client: Client = cluster.client
        self._cluster = cluster
        self._remote = remote
        self._run = uuid4().hex[:8]
        self._tasks: dict[str, tuple[Planned, Future[Any]]] = {}
        self._ended: SimpleQueue[str] = SimpleQueue()
        self._pool = ThreadPoolExecutor(1, "results")
        self._look_at = self._seen_at = time.monotonic()

    def __len__(self) -> int:
        return len(self._tasks)

    def submit(self, tasks: Sequence[Planned]) -> None:
        """Hand tasks over, those that ask for the same in one message."""
        groups: defaultdict[tuple[tuple[str, float], ...], list[Planned]] = defaultdict(list)
        for task in tasks:
            groups[tuple(resources_of(task, self._cluster.memory).items())].append(task)
        for resources, group in groups.items():
            keys = [f"{task.id}-{self._run}" for task in group]
            futures = self._client.map(
                self._remote,
                group,
                key=keys,
                resources=dict(resources),
                retries=_RETRIES,
                priority=max(task.size for task in group),
                pure=False,
            )
            for key, task, future in zip(keys, group, futures, strict=True):
                self._tasks[key] = task, future
                future.add_done_callback(lambda ended: self._ended.put(ended.key))

    def landed(self) -> list[tuple[Planned, Done]]:
        """Those that have ended; waits for one. Raises `ClusterError` when none can come."""
        keys = [self._wait()]
        while not self._ended.empty():
            keys.append(self._ended.get())
        ended = [self._tasks.pop(key) for key in keys]
        results = self._results([future for _, future in ended])
        for _, future in ended:
            future.release()
        return [(task, done) for (task, _), done in zip(ended, results, strict=True)]

    def _results(self, futures: Sequence[Future[Any]]) -> list[Done]:
        """What became of them: all at once where none failed, else one by one.

        A result whose worker died is computed again first: meanwhile the cluster is looked at.
        """
        coming = self._pool.submit(self._bring, list(futures))
        while True:
            try:
                return coming.result(timeout=_LOOK)
            except TimeoutError:
                if coming.done():
                    raise
                self._look()

    def _bring(self, futures: list[Future[Any]]) -> list[Done]:
        if len(futures) > 1 and all(future.status == "finished" for future in futures):
            with contextlib.suppress(Exception):  # one failed after all
                return list(self._client.gather(futures))
        return [self._result(future) for future in futures]

    def _wait(self) -> str:
        while True:
            if time.monotonic() > self._look_at:
                self._look()
            with contextlib.suppress(Empty):
                return self._ended.get(timeout=_LOOK)

    def _look(self) -> None:
        """Whether the cluster can still be expected to end a task; workers gone are replaced."""
        self._look_at = time.monotonic() + _LOOK
        if self._client.status != "running":
            raise _gone("its scheduler does not answer any more")
        there = len(self._client.scheduler_info(n_workers=-1)["workers"])
        if there < self._cluster.workers:
            self._cluster.refill()
        if there:
            self._seen_at = time.monotonic()
        elif time.monotonic() - self._seen_at > _LOST:
            raise _gone(f"no worker for {_LOST:.0f} s")

    def _result(self, future: Future[Any]) -> Done:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            done = future.result()
        except FutureCancelledError as error:
            raise _gone("its scheduler forgot the tasks: it was started again") from error
        except KilledWorker:
            return Done(
                failure="its worker died in the middle of it, again and again: killed, or out of "
                "memory (the log of the worker tells); "
                "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES allows more"
            )
        except Exception as error:  # noqa: BLE001 - whatever the task raised, elsewhere
            return Done(failure=f"{type(error).__name__}: {error}")
        if not isinstance(done, Done):
            raise TypeError(f"{type(done).__name__} as what became of a task")
        return done

    def cancel(self) -> None:
        """Let the scheduler forget what is left."""
        if self._tasks and self._client.status == "running":
            self._client.cancel([future for _, future in self._tasks.values()], force=True)
        self._tasks.clear()
        self._pool.shutdown(wait=False)


def resources_of(task: Planned, largest: int) -> dict[str, float]:
    """What a task takes of its worker; memory in bytes, never more than the largest worker has."""
    month = task.id.startswith(f"{Stage.MONTH}/")
    share = _MONTH_SHARE if month else _REST_SHARE
    asked = _LIBRARIES + share * task.size
    steps = math.ceil(asked / _STEP)  # in steps, so that many tasks ask for the same
    told: dict[str, Any] = {CPU: 1, MEMORY: min(largest, steps * _STEP)}
    return {**told, DOWNLOAD: 1} if month else told


def _gone(why: str) -> ClusterError:
    return ClusterError(
        "the Dask cluster",
        expected="to go on until all is done",
        found=why,
        next_step="start it again; then the same command goes on from here",
    )


def _stopped(task: Planned, why: str) -> ClusterError:
    return ClusterError(
        f"the worker of {task.id}",
        expected="to be able to work",
        found=why,
        next_step="mend it, then the same command goes on from here",
    )
