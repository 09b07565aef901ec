"""Many worker processes on one queue: contended, killed at random, their state file damaged."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import QueueState, TaskState
from alphaqcm.data_collection.queue.state_file import Damaged
from alphaqcm.pipeline.storage.atomic_write import clean_temps
from tests.conftest import SOAK
from tests.helpers import queue_workers as workers

pytestmark = pytest.mark.process

TASKS = 2_000 if SOAK else 667
KILLS = 50 if SOAK else 17

_READER = """
import sys
from pathlib import Path
from alphaqcm.data_collection.queue.state import TaskState
from alphaqcm.data_collection.queue.shared_queue import Queue
queue, stop = Queue.open(Path(sys.argv[1])), Path(sys.argv[2])
reads = done = tokens = 0
while not stop.exists():
    book = queue.snapshot()
    counts = book.counts()
    assert sum(counts.values()) == int(sys.argv[3])
    assert counts[TaskState.DONE] >= done and book.last_token >= tokens
    reads, done, tokens = reads + 1, counts[TaskState.DONE], book.last_token
print(reads)
"""


def until(condition: Callable[[], bool], timeout: float = 120.0) -> None:
    give_up = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.01)


def commits(out: Path) -> Counter[str]:
    return Counter(line.split()[0] for line in (out / "commits.log").read_text().splitlines())


def logged(folder: Path, event: str) -> Counter[str]:
    text = "".join(path.read_text() for path in folder.glob("*.log"))
    return Counter(re.findall(rf"event={event} task=(\S+)", text))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "out").mkdir()
    yield tmp_path
    workers.end_all()


def test_eight_workers_do_each_task_once_and_the_state_is_whole_at_every_read(place: Path):
    state, stop = place / "state.json", place / "stop"
    queue = Queue.open(state)
    tasks = workers.plan(TASKS, 1, months_only=True)
    queue.sync(tasks, {})
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(state), str(stop), str(TASKS)],
        cwd=workers.PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    crew = [
        workers.start(workers.Config(str(state), f"W{n}", str(place / "out"), pause=0.01))
        for n in range(8)
    ]
    ends = [workers.finish(process, timeout=250) for process in crew]
    stop.touch()
    reads, _ = reader.communicate(timeout=30)
    assert [code for code, _ in ends] == [0] * 8, ends
    assert reader.returncode == 0
    assert int(reads) > TASKS / 10
    assert commits(place / "out") == {item.id: 1 for item in tasks}
    assert queue.snapshot().last_token == TASKS  # nothing was ever claimed twice


def test_workers_killed_at_random_lose_nothing_and_commit_nothing_twice(place: Path):
    symbols, months = (24, 20) if SOAK else (10, 18)
    calm = workers.undisturbed(place / "calm", symbols, months)
    queue = Queue.open(place / "state.json")
    queue.sync(workers.plan(symbols, months), {})
    last = workers.plan(1, months)[-1].id  # the smallest symbol's: it waits for the kills
    chance = random.Random()

    def begin(name: str) -> subprocess.Popen[str]:
        config = workers.Config(
            str(queue.path),
            name,
            str(place / "out"),
            pause=0.4,
            pause_least=0.1,
            hold=last,
            journal_from=0,
        )
        return workers.start(config, place / f"{name}.log")

    crew = {name: begin(name) for name in "ABC"}
    claims = 0
    for _ in range(KILLS):
        until(lambda: queue.snapshot().last_token > claims)  # noqa: B023
        time.sleep(chance.uniform(0, 2))
        book = queue.snapshot()
        claims = book.last_token
        held = [entry for entry in book.entries if entry.state is TaskState.IN_PROGRESS]
        alone = len(held) == 1 and held[0].id == last  # else nobody would ever claim again
        name = held[0].worker if alone else chance.choice("ABC")
        assert crew[name].poll() is None, (place / f"{name}.log").read_text()
        crew[name].kill()
        crew[name].wait()
        crew[name] = begin(name)
    (place / "go").touch()
    ends = [process.wait(timeout=120) for process in crew.values()]
    assert ends == [0, 0, 0]
    assert queue.snapshot().counts()[TaskState.DONE] == len(workers.plan(symbols, months))
    assert max(logged(place, "done").values()) == 1
    assert logged(place, "refused") == {}
    clean_temps(place / "out")
    assert workers.read_files(place / "out") == calm


def test_a_state_damaged_while_workers_use_it_costs_work_but_no_result(place: Path):
    calm = workers.undisturbed(place / "calm", 6, 12)
    queue = Queue.open(place / "state.json", options=workers.options(workers.Config("", "", "")))
    queue.sync(workers.plan(6, 12), {})
    crew = [
        workers.start(
            workers.Config(str(queue.path), name, str(place / "out"), pause=0.1),
            place / f"{name}.log",
        )
        for name in "AB"
    ]
    for damage in (b"", b"{", os.urandom(500), None):
        before = _book(queue)
        until(lambda: (book := _book(queue)) is not None and book != before)  # noqa: B023
        time.sleep(0.5)
        if damage is None:
            queue.path.unlink()
        else:
            queue.path.write_bytes(damage)
    assert [process.wait(timeout=120) for process in crew] == [0, 0]
    assert queue.snapshot().counts()[TaskState.DONE] == len(workers.plan(6, 12))
    assert 1 <= len(list(place.glob("state.json.damaged-*"))) <= 3
    clean_temps(place / "out")
    assert workers.read_files(place / "out") == calm


def _book(queue: Queue) -> QueueState | None:
    try:
        return queue.snapshot()
    except Damaged:
        return None


@pytest.mark.parametrize("days", [-1.0, 1.0])
def test_a_clock_that_is_a_day_wrong_takes_no_lease(place: Path, days: float):
    queue = Queue.open(place / "state.json")
    queue.sync(workers.plan(8, 6), {})
    crew = [
        workers.start(
            workers.Config(
                str(queue.path), name, str(place / "out"), pause=0.1, days_off=off, stale=60.0
            )
        )
        for name, off in (("A", 0.0), ("B", days), ("C", 0.0))
    ]
    ends = [workers.finish(process) for process in crew]
    assert [code for code, _ in ends] == [0, 0, 0], ends
    assert set(commits(place / "out").values()) == {1}
    assert queue.snapshot().last_token == len(workers.plan(8, 6))
