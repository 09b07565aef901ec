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

import functools
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.pipeline.domain.time import from_stamp


class TaskState(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    ABSENT = "absent"  # the source has nothing for it: no failure
    FAILED = "failed"  # with `next_try` it comes back by itself, without it stays


_FEW = 32  # changes that are cheaper one by one than all at once with a new index

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
    needed_by: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, entries: Sequence[TaskRecord]) -> Graph:
        """Of records in order; ids that are not among them are needed no more."""
        positions = {entry.id: position for position, entry in enumerate(entries)}
        needs = tuple(
            tuple(positions[name] for name in entry.needs if name in positions) for entry in entries
        )
        needed_by: list[list[int]] = [[] for _ in entries]
        for position, needed in enumerate(needs):
            for at in needed:
                needed_by[at].append(position)
        return cls(positions, needs, tuple(map(tuple, needed_by)))

    def met(self, entries: Sequence[TaskRecord], position: int) -> bool:
        """Whether all that the task at `position` needs is settled."""
        for at in self.needs[position]:
            found = entries[at].state
            if found is not TaskState.DONE and found is not TaskState.ABSENT:
                return False
        return True


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Positions of what can be claimed, now or after its rest, and of what is at work, in order.

    A step changes a few of them: looking for them would cost as much as the queue is long.
    """

    entries: tuple[TaskRecord, ...]  # whose positions these are
    ready: tuple[int, ...]
    held: tuple[int, ...]

    @classmethod
    def of(cls, entries: tuple[TaskRecord, ...], graph: Graph) -> Index:
        """Found by looking at every record."""
        ready, held = [], []
        for position, entry in enumerate(entries):
            if entry.state is TaskState.IN_PROGRESS:
                held.append(position)
            elif _waits(entry) and graph.met(entries, position):
                ready.append(position)
        return cls(entries, tuple(ready), tuple(held))

    def after(self, entries: tuple[TaskRecord, ...], position: int, graph: Graph) -> Index:
        """The index of `entries`, which differ in the record at `position` alone."""
        before, entry = self.entries[position], entries[position]
        looked_at = [position]
        if (before.state in SETTLED) != (entry.state in SETTLED):
            looked_at += graph.needed_by[position]
        ready = self.ready
        for at in looked_at:
            ready = _placed(ready, at, _waits(entries[at]) and graph.met(entries, at))
        held = _placed(self.held, position, entry.state is TaskState.IN_PROGRESS)
        return Index(entries, ready, held)


def _waits(entry: TaskRecord) -> bool:
    return entry.state is TaskState.PENDING or (
        entry.state is TaskState.FAILED and bool(entry.next_try)
    )


def _placed(positions: tuple[int, ...], position: int, belongs: bool) -> tuple[int, ...]:
    """The sorted positions with or without this one."""
    at = bisect_left(positions, position)
    if (at < len(positions) and positions[at] == position) is belongs:
        return positions
    if belongs:
        return (*positions[:at], position, *positions[at:])
    return (*positions[:at], *positions[at + 1 :])


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
    index: Index | None = field(default=None, compare=False, repr=False)  # see `indexed`

    def __post_init__(self) -> None:
        """Find the graph, unless it was handed on with the tasks."""
        if self.graph is None:
            object.__setattr__(self, "graph", Graph.of(self.entries))

    def indexed(self) -> Index:
        """The index of these very records, found when it is first asked for."""
        if self.index is None or self.index.entries is not self.entries:
            object.__setattr__(self, "index", Index.of(self.entries, self._graph))
        return cast("Index", self.index)

    def position(self, name: str) -> int | None:
        """Where a task stands; None for one that is not in the queue."""
        return self._graph.positions.get(name)

    @property
    def _graph(self) -> Graph:
        return self.graph or Graph.of(self.entries)

    def dependencies_met(self) -> Callable[[int], bool]:
        """Whether all that the task at a position needs is settled."""
        return functools.partial(self._graph.met, self.entries)

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
        index = self.indexed().after(entries, position, self._graph)
        return replace(self, entries=entries, index=index)

    def with_entries(self, changed: Mapping[int, TaskRecord]) -> QueueState:
        """The state with some records changed, by position."""
        if len(changed) < _FEW:
            state = self
            for position, entry in changed.items():
                state = state.with_entry(position, entry)
            return state
        entries = list(self.entries)
        for position, entry in changed.items():
            entries[position] = entry
        return replace(self, entries=tuple(entries))

    def holders(self) -> frozenset[tuple[str, str]]:
        """(worker, host) of everyone who holds a task."""
        held = (self.entries[position] for position in self.indexed().held)
        return frozenset((entry.worker, entry.host) for entry in held)


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
    for position in state.indexed().ready:
        yield position, state.entries[position]


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
