"""Every step from one state of the queue to the next: claim, complete, fail, hand back, free.

Pure: a step takes a `QueueState` and the time, and gives a new one, or raises `LeaseLost` where the
lease it was called with is no longer the state's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from alphaqcm.data_collection.errors import LeaseLost
from alphaqcm.data_collection.queue.state import (
    Lease,
    Limits,
    QueueState,
    TaskRecord,
    TaskState,
    is_due,
    ready,
    settled_by,
)
from alphaqcm.data_collection.queue.task import Outcome
from alphaqcm.pipeline.domain.time import to_stamp


def claim(
    state: QueueState, worker: str, host: str, now: datetime, limits: Limits
) -> tuple[QueueState, Lease] | None:
    """Give `worker` the largest task that can be done now; None when there is none.

    Tasks on which workers died come after the others: a task that kills them all shall not stop
    the rest.
    """
    best: tuple[int, TaskRecord] | None = None
    for position, entry in ready(state):
        if (best is None or entry.deaths < best[1].deaths) and is_due(entry, now, limits):
            best = position, entry
            if not entry.deaths:
                break
    if best is None:
        return None
    position, entry = best
    token = state.last_token + 1
    taken = replace(
        entry,
        state=TaskState.IN_PROGRESS,
        at=to_stamp(now),
        worker=worker,
        host=host,
        token=token,
        next_try="",
    )
    lease = Lease(entry.id, worker, state.generation, token, entry.size)
    return replace(state.with_entry(position, taken), last_token=token), lease


def _held(state: QueueState, lease: Lease) -> tuple[int, TaskRecord]:
    """The entry a lease is for; raises `LeaseLost` where another has the right to it now."""
    position = state.position(lease.id)
    if position is None:
        raise _lost(lease, "a queue that no longer has this task")
    entry = state.entries[position]
    if state.generation != lease.generation:
        raise _lost(lease, "a queue that was made anew meanwhile")
    if entry.state is not TaskState.IN_PROGRESS or entry.token != lease.token:
        by = f" by {entry.worker}" if entry.worker else ""
        raise _lost(lease, f"{entry.state}{by}, token {entry.token}")
    return position, entry


def _lost(lease: Lease, found: str) -> LeaseLost:
    return LeaseLost(
        lease.id,
        expected=f"the lease of {lease.worker}, token {lease.token}",
        found=found,
        next_step="nothing: this late result is dropped, the task has another owner",
    )


def complete(
    state: QueueState, lease: Lease, outcome: Outcome, seconds: float, now: datetime
) -> QueueState:
    """The task is done or absent; raises `LeaseLost`."""
    position, entry = _held(state, lease)
    ended = replace(entry, at=to_stamp(now), host="", reason="", seconds=round(seconds, 3))
    return state.with_entry(position, settled_by(ended, outcome))


def fail(
    state: QueueState,
    lease: Lease,
    reason: str,
    now: datetime,
    limits: Limits,
    *,
    final: bool = False,
) -> QueueState:
    """The task failed: it comes back after a rest, or stays if `final` or too often.

    Raises `LeaseLost`.
    """
    position, entry = _held(state, lease)
    attempts = entry.attempts + 1
    again = not final and attempts < limits.attempts
    failed = replace(
        entry,
        state=TaskState.FAILED,
        at=to_stamp(now),
        host="",
        attempts=attempts,
        next_try=to_stamp(now + limits.delay(attempts)) if again else "",
        reason=reason,
    )
    return state.with_entry(position, failed)


def hand_back(state: QueueState, lease: Lease) -> QueueState:
    """The task goes back untouched: its worker was asked to stop; raises `LeaseLost`."""
    position, entry = _held(state, lease)
    return state.with_entry(
        position, replace(entry, state=TaskState.PENDING, at="", worker="", host="")
    )


def free_dead(
    state: QueueState, is_dead: Callable[[str, str], bool], now: datetime, limits: Limits
) -> tuple[QueueState, tuple[TaskRecord, ...]]:
    """Take the tasks of dead (worker, host) back; gives the state and the freed entries as held."""
    dead = {holder for holder in state.holders() if is_dead(*holder)}
    if not dead:
        return state, ()
    freed: list[TaskRecord] = []
    entries: list[TaskRecord] = []
    for entry in state.entries:
        if entry.state is TaskState.IN_PROGRESS and (entry.worker, entry.host) in dead:
            freed.append(entry)
            entries.append(_after_death(entry, now, limits))
        else:
            entries.append(entry)
    return replace(state, entries=tuple(entries)), tuple(freed)


def _after_death(entry: TaskRecord, now: datetime, limits: Limits) -> TaskRecord:
    deaths = entry.deaths + 1
    if deaths < limits.deaths:
        return replace(entry, state=TaskState.PENDING, at="", worker="", host="", deaths=deaths)
    reason = f"{deaths} workers died while doing it, {entry.worker} last: too little memory?"
    return replace(
        entry, state=TaskState.FAILED, at=to_stamp(now), host="", deaths=deaths, reason=reason
    )


def retry_failed(state: QueueState) -> QueueState:
    """Every failed task is pending again, its attempts forgotten."""
    entries = tuple(
        entry.fresh() if entry.state is TaskState.FAILED else entry for entry in state.entries
    )
    return replace(state, entries=entries)
