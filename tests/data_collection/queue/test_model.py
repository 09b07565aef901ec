"""The queue against a model of itself: hypothesis drives both, on the real state file."""

from __future__ import annotations

import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from alphaqcm.data_collection.errors import LeaseLost
from alphaqcm.data_collection.queue.liveness import WorkerLife
from alphaqcm.data_collection.queue.options import QueueOptions
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import Lease, Limits, Planned, TaskState
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from tests.conftest import SOAK

NAMES = ("A", "B", "C")
WHOLE = "C"
LIMITS = Limits(attempts=2, first_delay=10, factor=2, longest_delay=100, deaths=3)
WHICH = st.integers(0, len(NAMES) - 1)


FIRST, SECOND = "month/aggTrades/BTCUSDT/2024-01", "month/aggTrades/BTCUSDT/2024-02"
MINUTES, HOURLY, FACTORS = (
    "month/klines:1m/BTCUSDT/2024-01",
    "hourly/aggTrades/BTCUSDT",
    "factors/BTCUSDT",
)
NEEDS = {FIRST: (), SECOND: (), MINUTES: (), HOURLY: (FIRST, SECOND), FACTORS: (MINUTES, HOURLY)}


def plan(basis: str = "a") -> list[Planned]:
    """Two months that a third task needs, and one that only the last needs, as that third."""
    return [
        Planned(task, len(NEEDS) - n, basis, needs) for n, (task, needs) in enumerate(NEEDS.items())
    ]


class QueueMachine(RuleBasedStateMachine):
    """Workers that claim, end, fail, die, come back and commit too late; a clock that jumps."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = datetime(2024, 3, 1, tzinfo=UTC)
        self.lives: dict[str, WorkerLife] = {}
        self.queues = {name: self.open_queue(name) for name in NAMES}
        self.settings: dict[str, object] = {"basis": "a"}
        self.queues["A"].sync(plan(), self.settings)
        for name in NAMES[1:]:
            self.queues[name].join()
        self.state = {item.id: TaskState.PENDING for item in plan()}
        self.holder: dict[str, Lease] = {}
        self.attempts: dict[str, int] = dict.fromkeys(self.state, 0)
        self.deaths: dict[str, int] = dict.fromkeys(self.state, 0)
        self.due: dict[str, datetime | None] = {}
        self.tokens: set[int] = set()
        for name in NAMES[:2]:
            self.start(name)

    def teardown(self) -> None:
        for name in list(self.lives):
            self.lives.pop(name).__exit__()
        shutil.rmtree(self.folder)

    def open_queue(self, name: str) -> Queue:
        """Two workers write steps into a journal, the third writes the state whole each time."""
        return Queue.open(
            self.folder / "state.json",
            options=QueueOptions(
                limits=LIMITS,
                say=lambda _: None,
                now=lambda: self.clock,
                journal_from=500 if name == WHOLE else 0,
            ),
        )

    def fresh(self, task: str) -> None:
        self.state[task] = TaskState.PENDING
        self.attempts[task] = self.deaths[task] = 0
        self.due.pop(task, None)
        self.holder.pop(task, None)

    def free_dead(self) -> None:
        """What every claim does first."""
        for task, lease in list(self.holder.items()):
            if lease.worker not in self.lives:
                self.died(task)

    def died(self, task: str) -> None:
        del self.holder[task]
        self.deaths[task] += 1
        killer = self.deaths[task] >= LIMITS.deaths
        self.state[task] = TaskState.FAILED if killer else TaskState.PENDING
        self.due[task] = None

    def claimable(self) -> list[str]:
        found = []
        for task, state in self.state.items():
            grounded = all(
                self.state[other] in (TaskState.DONE, TaskState.ABSENT) for other in NEEDS[task]
            )
            due = self.due.get(task)
            back = state is TaskState.FAILED and due is not None and due <= self.clock
            if grounded and (state is TaskState.PENDING or back):
                found.append(task)
        return sorted(found, key=lambda task: self.deaths[task])

    def start(self, name: str) -> None:
        host = self.queues[name].options.host
        self.lives[name] = WorkerLife(self.queues[name].lock_dir, name, host, 60).__enter__()
        self.queues[name].begin(name)
        for task, lease in list(self.holder.items()):
            if lease.worker == name:
                self.died(task)

    def take(self, name: str) -> Lease | None:
        """Claim as a living worker, and hold it against the model."""
        lease = self.queues[name].claim(name)
        self.free_dead()
        options = self.claimable()
        assert (lease.id if lease else None) == (options[0] if options else None)
        if lease is not None:
            assert lease.token not in self.tokens
            self.tokens.add(lease.token)
            self.state[lease.id], self.holder[lease.id] = TaskState.IN_PROGRESS, lease
            self.due.pop(lease.id, None)
        return lease

    @precondition(lambda self: len(self.lives) < len(NAMES))
    @rule(which=WHICH)
    def start_worker(self, which: int) -> None:
        dead = [name for name in NAMES if name not in self.lives]
        self.start(dead[which % len(dead)])

    @precondition(lambda self: self.lives)
    @rule(which=WHICH)
    def kill_worker(self, which: int) -> None:
        # the kernel's lock goes, the state keeps the task
        self.lives.pop(self.living(which)).__exit__()

    def living(self, which: int) -> str:
        return sorted(self.lives)[which % len(self.lives)]

    @precondition(lambda self: self.lives)
    @rule(target=leases, which=WHICH)
    def claim(self, which: int) -> object:
        lease = self.take(self.living(which))
        return multiple() if lease is None else lease

    @precondition(lambda self: self.lives)
    @rule(which=WHICH, number=st.integers(1, 2))
    def claim_and_complete(self, which: int, number: int) -> None:
        for _ in range(number):
            lease = self.take(self.living(which))
            if lease is not None:
                self.end(lease, TaskResult.DONE)

    def good(self, lease: Lease) -> bool:
        return self.holder.get(lease.id) == lease

    @rule(lease=leases, result=st.sampled_from(TaskResult))
    def complete(self, lease: Lease, result: TaskResult) -> None:
        self.end(lease, result)

    def end(self, lease: Lease, result: TaskResult) -> None:
        try:
            self.queues[lease.worker].complete(lease, Outcome(result), 1.0)
        except LeaseLost:
            assert not self.good(lease)
            return
        assert self.good(lease)
        del self.holder[lease.id]
        self.state[lease.id] = TaskState(result.value)

    @rule(lease=leases, final=st.booleans())
    def fail(self, lease: Lease, final: bool) -> None:
        try:
            self.queues[lease.worker].fail(lease, "no luck", final=final)
        except LeaseLost:
            assert not self.good(lease)
            return
        assert self.good(lease)
        task = lease.id
        del self.holder[task]
        self.state[task] = TaskState.FAILED
        self.attempts[task] += 1
        again = not final and self.attempts[task] < LIMITS.attempts
        self.due[task] = self.clock + LIMITS.delay(self.attempts[task]) if again else None

    @rule(lease=consumes(leases))
    def hand_back(self, lease: Lease) -> None:
        try:
            self.queues[lease.worker].hand_back(lease)
        except LeaseLost:
            assert not self.good(lease)
            return
        assert self.good(lease)
        del self.holder[lease.id]
        self.state[lease.id] = TaskState.PENDING

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        self.clock += timedelta(seconds=seconds)

    @rule()
    def retry_failed(self) -> None:
        self.queues["A"].retry_failed()
        for task, state in self.state.items():
            if state is TaskState.FAILED:
                self.fresh(task)

    @precondition(lambda self: self.lives)
    @rule(damage=st.sampled_from([b"", b"{", None]))
    def damage(self, damage: bytes | None) -> None:
        path = self.queues["A"].path
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        name = next(iter(self.lives))
        self.queues[name].begin(name)  # the first to come makes it anew
        self.tokens.clear()  # tokens are unique within one making
        for task in self.state:
            self.fresh(task)

    @precondition(lambda self: not self.lives)
    @rule(basis=st.sampled_from(["a", "b"]))
    def another_plan(self, basis: str) -> None:
        changed = self.settings != {"basis": basis}
        self.settings = {"basis": basis}
        for queue in self.queues.values():
            queue.sync(plan(basis), self.settings)
        for task, state in self.state.items():
            if changed or state is TaskState.ABSENT:
                self.fresh(task)
        for task, state in self.state.items():  # in order: hourly steps before the factors
            open_ground = any(
                self.state[other] not in (TaskState.DONE, TaskState.ABSENT) for other in NEEDS[task]
            )
            if state in (TaskState.DONE, TaskState.ABSENT) and open_ground:
                self.fresh(task)

    @invariant()
    def the_file_tells_what_the_model_knows(self) -> None:
        path = self.queues["A"].path
        json.loads(path.read_bytes())
        book = self.open_queue("A").snapshot()
        told = {entry.id: entry for entry in book.entries}
        assert {task: entry.state for task, entry in told.items()} == self.state
        held = {
            task: (entry.worker, entry.token)
            for task, entry in told.items()
            if entry.state is TaskState.IN_PROGRESS
        }
        assert held == {task: (lease.worker, lease.token) for task, lease in self.holder.items()}


QueueMachine.TestCase.settings = settings(
    max_examples=600 if SOAK else 120, stateful_step_count=50, deadline=None
)


class TestQueueAgainstItsModel(QueueMachine.TestCase):  # type: ignore[misc, name-defined]
    """Runs the machine."""

    pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]  # noqa: RUF012
