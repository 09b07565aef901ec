"""What the monitor shows, computed from a queue's state and its workers' signs of life. Pure.

Bytes and rows of a finished task are spread evenly over the time it took, so that a speed counts
only what fell into its window. Work that is under way counts when it is finished.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.queue.liveness import Heartbeat
from alphaqcm.data_collection.queue.state import QueueState, TaskRecord, TaskState
from alphaqcm.pipeline.domain.period import Year
from alphaqcm.pipeline.domain.time import from_stamp

NOW = 300.0  # seconds: the window of the speed now
HOUR = 3600.0
_LEEWAY = timedelta(seconds=60)  # stamps further ahead are of a clock that is wrong
_SILENT = 30.0  # seconds without a heartbeat after which a living worker looks stopped
_FORGET = 86_400.0  # seconds after which a dead worker is no longer shown
_LITTLE_DISK = 0.03  # of the disk

Focus = Callable[[Task], bool]
"""Which tasks a monitor is about."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker as seen from outside: its last beat, that beat's age, whether it is alive."""

    beat: Heartbeat
    age: float  # seconds
    alive: bool


@dataclass(frozen=True, slots=True)
class Worker:
    """A line of the monitor: a worker, what it does and for how long."""

    name: str
    host: str
    status: str  # working, waiting, silent, dead, finished, stopped, error
    task: str
    seconds: float  # at its task; since its last sign of life when it is not alive
    done: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Speed:
    """What was finished in a window of `window` seconds, a second."""

    window: float
    bytes: float
    rows: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that failed, or an archive file of a finished one that cannot be used."""

    task: str
    reason: str
    attempts: int = 0
    next_try: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the monitor shows."""

    at: datetime
    settings: dict[str, Any]
    steps: dict[str, dict[TaskState, int]]  # tasks by step and state
    totals: dict[TaskState, int]
    blocked: int  # pending, but something they need failed
    workers: tuple[Worker, ...]
    speed_now: Speed
    speed_hour: Speed
    seconds_left: float | None  # seconds until the end; None when it cannot be told
    left_is_least: bool  # some kind of task was never finished: its time is not counted
    newest: tuple[tuple[str, str], ...]  # (time, output), the newest first
    failures: tuple[Failure, ...]
    problems: tuple[Failure, ...]
    disk_free: int
    disk_total: int
    over: bool
    ended: datetime | None = None  # when the last task ended, where it is over
    warnings: tuple[str, ...] = field(default=())

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return sum(self.totals.values())

    @property
    def settled(self) -> int:
        """How many are done or absent."""
        return self.totals[TaskState.DONE] + self.totals[TaskState.ABSENT]


def take_snapshot(
    state: QueueState,
    views: Sequence[WorkerView],
    disk: tuple[int, int],
    now: datetime,
    *,
    focus: Focus,
    stall: float,
) -> Snapshot:
    """The snapshot of a queue at `now`; `disk` is (free, total) bytes, `stall` in seconds."""
    entries = [entry for entry in state.entries if focus(Task.parse(entry.id))]
    totals = _count(entries)
    workers = tuple(_workers(state, views))
    at_work = sum(worker.status in ("working", "waiting") for worker in workers)
    alive = sum(view.alive for view in views)
    unreachable = state.unreachable()
    live = [e for e in entries if _is_open(e) and e.id not in unreachable]
    seconds, least = _work_left(entries, live, now)
    ended = None if live else _last_end(entries, now)
    until = ended or now  # what was measured at the end stays: nothing is slower afterwards
    snapshot = Snapshot(
        at=now,
        settings=dict(state.settings),
        steps=_steps(entries),
        totals=totals,
        blocked=sum(entry.id in unreachable for entry in entries),
        workers=workers,
        speed_now=_speed(entries, views, until, NOW),
        speed_hour=_speed(entries, views, until, HOUR),
        seconds_left=seconds / at_work if seconds is not None and at_work else None,
        left_is_least=least,
        newest=_newest(entries),
        failures=tuple(
            Failure(entry.id, entry.reason, entry.attempts, entry.next_try)
            for entry in entries
            if entry.state is TaskState.FAILED
        ),
        problems=tuple(
            Failure(entry.id, problem) for entry in entries for problem in entry.problems
        ),
        disk_free=disk[0],
        disk_total=disk[1],
        over=not live,
        ended=ended,
    )
    warnings = _warnings(snapshot, entries, alive, now, stall)
    return replace(snapshot, warnings=tuple(warnings))


def step_name(task: Task) -> str:
    """The line of the table a task counts in."""
    if task.stage is Stage.MONTH:
        return f"{'years' if isinstance(task.period, Year) else 'months'} {task.type}"
    return "hourly files" if task.stage is Stage.HOURLY else "factors"


def _steps(entries: Iterable[TaskRecord]) -> dict[str, dict[TaskState, int]]:
    found: dict[str, Counter[TaskState]] = defaultdict(Counter)
    order: dict[str, tuple[int, str]] = {}
    stages = list(Stage)
    for entry in entries:
        task = Task.parse(entry.id)
        name = step_name(task)
        found[name][entry.state] += 1
        order[name] = (stages.index(task.stage), name)
    return {
        name: {state: found[name][state] for state in TaskState}
        for name in sorted(found, key=order.__getitem__)
    }


def _count(entries: Iterable[TaskRecord]) -> dict[TaskState, int]:
    found = Counter(entry.state for entry in entries)
    return {state: found[state] for state in TaskState}


def _is_open(entry: TaskRecord) -> bool:
    waits = entry.state is TaskState.FAILED and bool(entry.next_try)
    return entry.state in (TaskState.PENDING, TaskState.IN_PROGRESS) or waits


def _workers(state: QueueState, views: Sequence[WorkerView]) -> Iterable[Worker]:
    done: Counter[str] = Counter()
    size: Counter[str] = Counter()
    held: dict[str, TaskRecord] = {}
    for entry in state.entries:
        if entry.state is TaskState.DONE:
            done[entry.worker] += 1
            size[entry.worker] += entry.bytes
        elif entry.state is TaskState.IN_PROGRESS:
            held[entry.worker] = entry
    shown = []
    for view in views:
        name = view.beat.worker
        if not view.alive and view.age > _FORGET and name not in held:
            continue
        task = held[name].id if name in held else ""
        at_it = bool(task) and view.beat.task == task
        busy = view.beat.task_seconds + view.age if at_it else 0.0
        shown.append(
            Worker(
                name=name,
                host=view.beat.host,
                status=_status(view, task),
                task=task,
                seconds=busy if view.alive else view.age,
                done=done[name],
                bytes=size[name] + (view.beat.task_bytes if at_it and view.alive else 0),
            )
        )
    seen = {worker.name for worker in shown}
    for name, entry in sorted(held.items()):
        if name not in seen:
            shown.append(Worker(name, entry.host, "dead", entry.id, 0.0, done[name], size[name]))
    rank = {"working": 0, "silent": 0, "waiting": 0, "dead": 1}
    return sorted(shown, key=lambda worker: (rank.get(worker.status, 2), worker.name))


def _status(view: WorkerView, task: str) -> str:
    if view.beat.ended:
        return view.beat.ended
    if not view.alive:
        return "dead"
    if view.age > _SILENT:
        return "silent"
    return "working" if task else "waiting"


def _speed(
    entries: Iterable[TaskRecord], views: Iterable[WorkerView], now: datetime, window: float
) -> Speed:
    """What was done in the last `window` seconds; of tasks at work, what they have brought."""
    total_bytes = total_rows = 0.0
    first = now
    for view in views:
        if view.alive and (seconds := view.beat.task_seconds):
            first = min(first, now - timedelta(seconds=seconds))
            total_bytes += view.beat.task_bytes * min(window / seconds, 1.0)
    for entry in entries:
        if entry.state is not TaskState.DONE:
            continue
        end = from_stamp(entry.at)
        if end > now + _LEEWAY:
            continue
        begin = end - timedelta(seconds=entry.seconds)
        first = min(first, begin)
        opened = now - timedelta(seconds=window)
        inside = (min(end, now) - max(begin, opened)).total_seconds()
        if inside < 0 or end < opened:
            continue
        share = inside / entry.seconds if entry.seconds > 0 else 1.0
        total_bytes += entry.bytes * min(share, 1.0)
        total_rows += (entry.rows if entry.bytes else 0) * min(share, 1.0)
    window = max(1.0, min(window, (now - first).total_seconds()))
    return Speed(window, total_bytes / window, total_rows / window)


def _work_left(
    entries: Iterable[TaskRecord], live: Sequence[TaskRecord], now: datetime
) -> tuple[float | None, bool]:
    """Seconds of work for one worker, and whether kinds never finished so far are left out."""
    seconds: defaultdict[str, float] = defaultdict(float)
    weight: Counter[str] = Counter()
    for entry in entries:
        if entry.state is TaskState.DONE:
            seconds[step_name(Task.parse(entry.id))] += entry.seconds
            weight[step_name(Task.parse(entry.id))] += entry.size or 1
    left, least = 0.0, False
    for entry in live:
        name = step_name(Task.parse(entry.id))
        if not weight[name]:
            least = True
            continue
        need = seconds[name] / weight[name] * (entry.size or 1)
        if entry.state is TaskState.IN_PROGRESS:
            need = max(0.0, need - max(0.0, (now - from_stamp(entry.at)).total_seconds()))
        left += need
    return (left if weight.total() or not live else None), least


def _newest(entries: Iterable[TaskRecord], number: int = 5) -> tuple[tuple[str, str], ...]:
    made = [(entry.at, entry.output) for entry in entries if entry.built and entry.output]
    return tuple(sorted(made, reverse=True)[:number])


def _warnings(
    snapshot: Snapshot, entries: Iterable[TaskRecord], alive: int, now: datetime, stall: float
) -> Iterable[str]:
    if not snapshot.over and not alive:
        left = snapshot.tasks - snapshot.settled
        yield f"no worker is alive and {left} tasks are open: start one"
    for worker in snapshot.workers:
        if worker.status == "silent":
            yield f"worker {worker.name} gives no sign of life: is it stopped (Ctrl-Z)?"
        elif worker.status == "dead" and worker.task:
            yield f"worker {worker.name} died; the next worker to ask takes its task over"
    last = _last_end(entries, now)
    if not snapshot.over and last is not None and (now - last).total_seconds() > stall:
        minutes = (now - last).total_seconds() / 60
        yield f"stalled: no task was begun or finished for {minutes:.0f} minutes"
    if snapshot.disk_total and snapshot.disk_free < _LITTLE_DISK * snapshot.disk_total:
        yield f"only {snapshot.disk_free / 1e9:.1f} GB are left on the disk"


def _last_end(entries: Iterable[TaskRecord], now: datetime) -> datetime | None:
    """When a task was last begun or finished; None where there was none yet."""
    ends = [from_stamp(entry.at) for entry in entries if entry.at]
    return max((end for end in ends if end <= now + _LEEWAY), default=None)
