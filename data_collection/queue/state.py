"""The queue's state as frozen values, and which tasks are ready or due.

Nothing here reads a file, a clock or a lock: `transitions` has the steps from one state to the
next, `state_file` keeps a state on disk, `shared_queue` decides who may change it. What a step
leaves alone is the very same object in the new state, so that only changed lines are written anew.

A task is an id and the ids of the tasks that it needs; what they mean its performer knows.

    pending ──claim──> in_progress ──complete──> done | absent
       ^                   │  │
       │<────hand_back─────┘  └──fail──> failed, next try at … ──claim──> in_progress
       │<─holder died─────────            failed for good ──retry_failed──> pending
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.pipeline.domain.time import from_stamp


class TaskState(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    ABSENT = "absent"  # the source has nothing for it: no failure
    FAILED = "failed"  # with `next_try` it comes back by itself, without it stays


SETTLED = frozenset({TaskState.DONE, TaskState.ABSENT})
"""The states of tasks that others may need."""


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

    `size` is its weight, larger ones are done first; give a task the sum of what it needs and it is
    done as soon as it can be. `input_key` says what it is done for (source, days): a task that was
    done for another key is done again. It waits for those in `needs` that are in the queue.
    """

    id: str
    size: int = 0
    input_key: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task and all that is known of it: one line of the state file."""

    id: str
    size: int = 0
    input_key: str = ""
    needs: tuple[str, ...] = ()
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
    built: int = 0
    output: str = ""
    siblings: tuple[str, ...] = ()
    files: int = 0
    absent: int = 0
    absent_parts: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def fresh(self) -> TaskRecord:
        """The same task, never touched."""
        return TaskRecord(self.id, self.size, self.input_key, self.needs, token=self.token)


_OUTCOME = tuple(item.name for item in fields(Outcome) if item.name != "result")


def settled_by(entry: TaskRecord, outcome: Outcome) -> TaskRecord:
    """The record with what doing the task gave."""
    given = {name: getattr(outcome, name) for name in _OUTCOME}
    return replace(entry, state=TaskState(outcome.result.value), **given)


def outcome_of(entry: TaskRecord) -> Outcome:
    """What doing a task gave that is done or absent."""
    given = {name: getattr(entry, name) for name in _OUTCOME}
    return Outcome(TaskResult(entry.state.value), **given)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Where each task stands in the queue, and where those stand that it needs."""

    positions: Mapping[str, int]
    needs: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, entries: Sequence[TaskRecord]) -> Graph:
        """Of records in order; ids that are not among them are needed no more."""
        positions = {entry.id: position for position, entry in enumerate(entries)}
        needs = tuple(
            tuple(positions[name] for name in entry.needs if name in positions) for entry in entries
        )
        return cls(positions, needs)


@dataclass(frozen=True, slots=True)
class QueueState:
    """The whole queue. `entries` are in order of work, `generation` names this making of it."""

    generation: str
    entries: tuple[TaskRecord, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    last_token: int = 0
    knows_needs: bool = True  # False: of a release whose files did not tell what a task needs
    graph: Graph | None = field(default=None, compare=False, repr=False)  # of these very tasks

    def __post_init__(self) -> None:
        """Find the graph, unless it was handed on with the tasks."""
        if self.graph is None:
            object.__setattr__(self, "graph", Graph.of(self.entries))

    def position(self, name: str) -> int | None:
        """Where a task stands; None for one that is not in the queue."""
        return self._graph.positions.get(name)

    @property
    def _graph(self) -> Graph:
        return self.graph or Graph.of(self.entries)

    def dependencies_met(self) -> Callable[[int], bool]:
        """Whether all that the task at a position needs is settled."""
        entries, needs = self.entries, self._graph.needs

        def met(position: int) -> bool:
            for at in needs[position]:
                found = entries[at].state
                if found is not TaskState.DONE and found is not TaskState.ABSENT:
                    return False
            return True

        return met

    def unreachable(self) -> frozenset[str]:
        """Pending tasks that need, through any number of others, what failed for good."""
        lost = {
            position
            for position, entry in enumerate(self.entries)
            if entry.state is TaskState.FAILED and not entry.next_try
        }
        found: set[int] = set()
        while lost:
            lost = {
                position
                for position, needs in enumerate(self._graph.needs)
                if position not in found
                and self.entries[position].state is TaskState.PENDING
                and not lost.isdisjoint(needs)
            }
            found |= lost
        return frozenset(self.entries[position].id for position in found)

    def counts(self) -> dict[TaskState, int]:
        """How many tasks are in each state."""
        found = Counter(entry.state for entry in self.entries)
        return {state: found[state] for state in TaskState}

    def with_entry(self, position: int, entry: TaskRecord) -> QueueState:
        """The state with one record changed."""
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
    """The right to commit one task, for as long as the state still carries its token."""

    id: str
    worker: str
    generation: str
    token: int
    size: int = 0


def ready(state: QueueState) -> Iterator[tuple[int, TaskRecord]]:
    """Position and entry of what can be done now or, having failed, after its rest."""
    met = state.dependencies_met()
    for position, entry in enumerate(state.entries):
        waits = entry.state is TaskState.PENDING or (
            entry.state is TaskState.FAILED and entry.next_try
        )
        if waits and met(position):
            yield position, entry


def is_over(state: QueueState) -> bool:
    """Whether nothing is at work and nothing can be: what is left needs what failed."""
    return not state.holders() and next(ready(state), None) is None


def is_due(entry: TaskRecord, now: datetime, limits: Limits) -> bool:
    """Whether a task that waits has rested long enough."""
    if entry.state is TaskState.PENDING:
        return True
    rest = (from_stamp(entry.next_try) - now).total_seconds()
    return rest <= 0 or rest > limits.longest_delay  # beyond: a clock was moved meanwhile


def next_due(state: QueueState, now: datetime, limits: Limits) -> float | None:
    """Seconds until something can be claimed, 0 for at once, None when only others' work helps."""
    rests = [
        0.0 if is_due(entry, now, limits) else (from_stamp(entry.next_try) - now).total_seconds()
        for _, entry in ready(state)
    ]
    return min(rests, default=None)
