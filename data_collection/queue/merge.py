"""What becomes of a queue when a plan meets it: kept where still valid, the rest is said. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alphaqcm.data_collection.errors import QueueError
from alphaqcm.data_collection.queue.state import (
    SETTLED,
    Planned,
    QueueState,
    TaskRecord,
    TaskState,
)


def reopen(state: QueueState, which: Callable[[TaskRecord], bool]) -> QueueState:
    """The state with some settled tasks pending again, and with them what needs them."""
    entries = tuple(
        entry.fresh() if entry.state in SETTLED and which(entry) else entry
        for entry in state.entries
    )
    return _unsettle(replace(state, entries=entries))[0]


def is_planned(state: QueueState, planned: Sequence[Planned], settings: Mapping[str, Any]) -> bool:
    """Whether the state is about exactly these tasks and settings (sizes may differ)."""
    asked = {item.id: (item.input_key, item.needs) for item in planned}
    return dict(state.settings) == dict(settings) and asked == {
        entry.id: (entry.input_key, entry.needs) for entry in state.entries
    }


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What became of an older state when a new plan met it."""

    created: bool = False
    kept: int = 0  # tasks that stay as they are, whatever their state
    added: int = 0
    again: int = 0  # were settled for another key, or need something that is done again
    dropped: int = 0  # not in the plan
    dropped_done: int = 0  # of these, done: their layer files stay on disk
    changed: tuple[str, ...] = ()  # settings: "end: 2024-02-28 -> 2024-02-29"

    def __str__(self) -> str:
        if self.created:
            return f"new queue of {self.added} tasks"
        parts = [f"{self.kept} tasks kept"]
        parts += [f"{self.added} added"] if self.added else []
        parts += [f"{self.again} to be looked at again"] if self.again else []
        if self.dropped:
            parts.append(f"{self.dropped} left out ({self.dropped_done} done, files stay)")
        return ", ".join([*parts, *self.changed])


def merge_plan(
    old: QueueState | None, planned: Sequence[Planned], settings: Mapping[str, Any], generation: str
) -> tuple[QueueState, MergeResult]:
    """The state for a plan, with all that is still valid of an older one; raises `QueueError`.

    A task stays as it is where its input key is the same; else it is pending. A task that was
    settled is pending again when something it needs is.
    """
    wanted = {item.id: item for item in planned}
    if len(wanted) != len(planned):
        twice = [name for name, n in Counter(item.id for item in planned).items() if n > 1]
        raise QueueError("the plan", expected="every task once", found=f"{twice[0]} twice")
    known = {entry.id: entry for entry in old.entries} if old else {}
    entries: list[TaskRecord] = []
    again = 0
    for name, item in wanted.items():
        entry = known.get(name)
        if entry is not None and entry.input_key == item.input_key:
            entries.append(replace(entry, size=item.size, needs=item.needs))
        else:
            again += entry is not None and entry.state is not TaskState.PENDING
            token = entry.token if entry else 0
            entries.append(TaskRecord(name, item.size, item.input_key, item.needs, token=token))
    entries.sort(key=lambda entry: (-entry.size, entry.id))
    state = QueueState(
        generation=old.generation if old else generation,
        entries=tuple(entries),
        settings=dict(settings),
        revision=old.revision if old else 0,
        last_token=old.last_token if old else 0,
    )
    state, sunk = _unsettle(state)
    left = [entry for name, entry in known.items() if name not in wanted]
    before = dict(old.settings) if old else {}
    return state, MergeResult(
        created=old is None,
        kept=sum(name in known for name in wanted) - again - sunk,
        added=sum(name not in known for name in wanted),
        again=again + sunk,
        dropped=len(left),
        dropped_done=sum(entry.state in SETTLED for entry in left),
        changed=tuple(
            f"{key}: {before.get(key, 'none')} -> {settings.get(key, 'none')}"
            for key in sorted(before.keys() | settings.keys())
            if old and before.get(key) != settings.get(key)
        ),
    )


def _unsettle(state: QueueState) -> tuple[QueueState, int]:
    """Settled tasks that need an open one are pending again, and what needs these in turn."""
    before = state.entries
    while True:
        met = state.dependencies_met()
        entries = tuple(
            entry if entry.state not in SETTLED or met(position) else entry.fresh()
            for position, entry in enumerate(state.entries)
        )
        if all(a is b for a, b in zip(entries, state.entries, strict=True)):
            return state, sum(a is not b for a, b in zip(entries, before, strict=True))
        state = replace(state, entries=entries)
