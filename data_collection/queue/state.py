"""The shared queue as frozen values.

Nothing here reads a file, a clock or a lock: `queue_steps` has the steps from one book to the next,
`queue_file` keeps a book on disk, `shared_queue` decides who may change it. What a step leaves
alone is the very same object in the new book, so that only changed lines are written anew.

    pending ──claim──> in_progress ──complete──> done | absent
       ^                   │  │
       │<────hand_back─────┘  └──fail──> failed, next try at … ──claim──> in_progress
       │<─holder died─────────            failed for good ──retry_failed──> pending
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from alphaqcm.data_collection.queue.task import Task, TaskKind
from alphaqcm.pipeline.domain.time import from_stamp

task_of = lru_cache(maxsize=1 << 17)(Task.from_id)
"""`Task.from_id`, remembered: every step looks at thousands of them."""


class TaskState(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    ABSENT = "absent"  # the source has nothing for it: no failure
    FAILED = "failed"  # with `next_try` it comes back by itself, without it stays


SETTLED = frozenset({TaskState.DONE, TaskState.ABSENT})
"""The states on which later steps can stand."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a task may fail, how long it rests in between, how many workers may die on it."""

    attempts: int = 4
    first_delay: float = 5.0  # seconds, then `factor` times longer each time
    factor: float = 4.0
    longest_delay: float = 300.0
    deaths: int = 10

    def delay(self, attempts: int) -> timedelta:
        """The rest after the given number of failed attempts."""
        seconds = self.first_delay * self.factor ** max(0, attempts - 1)
        return timedelta(seconds=min(seconds, self.longest_delay))


@dataclass(frozen=True, slots=True)
class Planned:
    """A task to be queued.

    `size` is its weight, larger ones are done first: the bytes of a month's files; give a later
    step the sum of what it stands on and it is done as soon as it can be. `basis` says what the
    task is done for (source, days): a task that was done for another basis is done again.
    """

    task: Task
    size: int = 0
    basis: str = ""


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task and all that is known of it: one line of the state file."""

    id: str
    size: int = 0
    basis: str = ""
    state: TaskState = TaskState.PENDING
    at: str = ""  # UTC, when it came into this state
    worker: str = ""  # who holds it, or who ended it
    host: str = ""  # where its holder runs
    token: int = 0  # the fencing token of its last claim
    attempts: int = 0  # how often it failed
    deaths: int = 0  # how many of its workers died
    next_try: str = ""  # UTC, of a failed task that comes back
    reason: str = ""  # of a failure
    seconds: float = 0.0
    rows: int = 0
    bytes: int = 0
    downloaded: int = 0
    built: bool = False
    output: str = ""
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """The task itself."""
        return task_of(self.id)

    def fresh(self) -> TaskRecord:
        """The same task, never touched."""
        return TaskRecord(self.id, self.size, self.basis, token=self.token)


@dataclass(frozen=True, slots=True)
class QueueState:
    """The whole queue. `entries` are in order of work, `generation` names this making of it."""

    generation: str
    entries: tuple[TaskRecord, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    last_token: int = 0

    def counts(self) -> dict[TaskState, int]:
        """How many tasks are in each state."""
        found = Counter(entry.state for entry in self.entries)
        return {state: found[state] for state in TaskState}

    def with_entry(self, position: int, entry: TaskRecord) -> QueueState:
        """The book with one entry changed."""
        entries = (*self.entries[:position], entry, *self.entries[position + 1 :])
        return replace(self, entries=entries)

    def holders(self) -> frozenset[tuple[str, str]]:
        """(worker, host) of everyone who holds a task."""
        return frozenset(
            (entry.worker, entry.host)
            for entry in self.entries
            if entry.state is TaskState.IN_PROGRESS
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit one task, for as long as the book still carries its token."""

    id: str
    worker: str
    generation: str
    token: int
    size: int = 0

    @property
    def task(self) -> Task:
        """The task it is for."""
        return task_of(self.id)


@lru_cache(maxsize=8)
def _dependencies(ids: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """For each task the positions of those it stands on; the tasks of a queue seldom change.

    An hourly step stands on the months of its symbol and type, the factors on every month and
    hourly step of their symbol.
    """
    months: dict[tuple[str, str], list[int]] = defaultdict(list)
    steps: dict[str, list[int]] = defaultdict(list)
    tasks = [task_of(name) for name in ids]
    for position, task in enumerate(tasks):
        if task.kind is TaskKind.MONTH:
            months[task.symbol, task.type].append(position)
        if task.kind is not TaskKind.FACTORS:
            steps[task.symbol].append(position)
    return tuple(
        ()
        if task.kind is TaskKind.MONTH
        else tuple(
            months[task.symbol, task.type] if task.kind is TaskKind.HOURLY else steps[task.symbol]
        )
        for task in tasks
    )


def dependencies_met(book: QueueState) -> Callable[[int], bool]:
    """Whether all that the task at a position stands on is settled."""
    entries = book.entries
    dependencies = _dependencies(tuple([entry.id for entry in entries]))

    def stands(position: int) -> bool:
        for at in dependencies[position]:
            state = entries[at].state
            if state is not TaskState.DONE and state is not TaskState.ABSENT:
                return False
        return True

    return stands


def ready(book: QueueState) -> Iterator[tuple[int, TaskRecord]]:
    """Position and entry of what can be done now or, having failed, after its rest."""
    stands = dependencies_met(book)
    for position, entry in enumerate(book.entries):
        waits = entry.state is TaskState.PENDING or (
            entry.state is TaskState.FAILED and entry.next_try
        )
        if waits and stands(position):
            yield position, entry


def is_over(book: QueueState) -> bool:
    """Whether nothing is at work and nothing can be: what is left stands on failures."""
    return not book.holders() and next(ready(book), None) is None


def is_due(entry: TaskRecord, now: datetime, limits: Limits) -> bool:
    """Whether a task that waits has rested long enough."""
    if entry.state is TaskState.PENDING:
        return True
    rest = (from_stamp(entry.next_try) - now).total_seconds()
    return rest <= 0 or rest > limits.longest_delay  # beyond: a clock was moved meanwhile


def next_due(book: QueueState, now: datetime, limits: Limits) -> float | None:
    """Seconds until something can be claimed, 0 for at once, None when only others' work helps."""
    rests = [
        0.0 if is_due(entry, now, limits) else (from_stamp(entry.next_try) - now).total_seconds()
        for _, entry in ready(book)
    ]
    return min(rests, default=None)
