"""Cost of the shared queue: lock held a claim and a completion, tasks a second of 4 workers.

The peer in the same run is the plain way: the whole state through `json` in and out each time.
Figures are medians; both are taken in turns.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from data_collection.leases import WorkerLife  # noqa: E402
from data_collection.queue_options import QueueOptions  # noqa: E402
from data_collection.queue_state import Planned, State  # noqa: E402
from data_collection.shared_queue import Queue  # noqa: E402
from data_collection.tasks import Outcome, Result, Task, TaskKind  # noqa: E402
from data_collection.worker import work  # noqa: E402

TASKS = 6_000
ROUNDS = 60
WORKERS = 4
SECONDS = 6.0


def plan() -> list[Planned]:
    symbols, months = 100, TASKS // 100
    return [
        Planned(
            Task(
                TaskKind.MONTH, "aggTrades", f"SYM{s:03}USDT", f"{2018 + m // 12}-{m % 12 + 1:02}"
            ),
            size=(s + 1) * 1_000_000 + m,
            basis=f"{2018 + m // 12}-{m % 12 + 1:02}-01..28 0123abcd",
        )
        for s in range(symbols)
        for m in range(months)
    ]


class Timed:
    """Times how long the lock is held, by wrapping the queue's own lock."""

    def __init__(self, queue: Queue) -> None:
        self.held: list[float] = []
        lock = queue._file._lock
        acquire, release = lock.acquire, lock.release

        def timed_acquire(*args: object, **named: object) -> object:
            got = acquire(*args, **named)  # type: ignore[arg-type]
            self.began = time.perf_counter()
            return got

        def timed_release(*args: object, **named: object) -> None:
            self.held.append(time.perf_counter() - self.began)
            release(*args, **named)  # type: ignore[arg-type]

        lock.acquire, lock.release = timed_acquire, timed_release  # type: ignore[method-assign]


def plain_step(path: Path) -> float:
    """Read all, change one task, write all, with the standard library."""
    began = time.perf_counter()
    state = json.loads(path.read_bytes())
    name = next(n for n, told in state["tasks"].items() if told["state"] == State.PENDING)
    state["tasks"][name]["attempts"] = 1
    temp = path.with_suffix(".plain")
    with temp.open("w") as stream:
        json.dump(state, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    temp.replace(path.with_suffix(".plain.json"))
    return time.perf_counter() - began


def lock_held(folder: Path) -> None:
    state = folder / "held.json"
    ours, other = (Queue.open(state, options=QueueOptions(say=lambda _: None)) for _ in range(2))
    ours.sync(plan(), {"bench": True})
    other.join()
    timed = Timed(ours)
    claims, completions, plain = [], [], []
    outcome = Outcome(Result.DONE, True, 44_640, 123_456_789, 0, "a/b/c/2024-02.parquet")
    lives = [WorkerLife(ours.lock_dir, name, ours.options.host) for name in "AB"]
    with lives[0], lives[1]:
        for _ in range(ROUNDS):
            timed.held.clear()
            lease = ours.claim("A")
            claims += timed.held
            foreign = other.claim("B")  # somebody else changes the file in between
            timed.held.clear()
            ours.complete(lease, outcome, 1.0)
            completions += timed.held
            other.complete(foreign, outcome, 1.0)
            plain.append(plain_step(state))
    size = state.stat().st_size
    middle = [statistics.median(times) * 1e3 for times in (claims, completions, plain)]
    print(f"state of {TASKS:,} tasks, {size / 1e6:.2f} MB; lock held, median of {ROUNDS}:")
    print(f"  claim      {middle[0]:6.2f} ms   (limit 10 ms)")
    print(f"  completion {middle[1]:6.2f} ms   (limit 10 ms)")
    print(f"  plain json {middle[2]:6.2f} ms   = {middle[2] / max(middle[:2]):.1f} times ours")


def contend(state: str, name: str, seconds: float) -> None:
    """A worker whose tasks cost nothing; says how many it did."""
    stop = time.monotonic() + float(seconds)

    def perform(task: Task, commit: object) -> Outcome:
        if time.monotonic() > stop:
            raise KeyboardInterrupt
        return Outcome(Result.DONE, True, 1, 1)

    queue = Queue.open(Path(state), options=QueueOptions(say=lambda _: None))
    queue.join()
    with Path(os.devnull).open("w") as sink:
        from data_collection.event_log import Log

        print(work(queue, name, perform, log=Log(name, sink.write)).done)


def throughput(folder: Path) -> None:
    state = folder / "contended.json"
    Queue.open(state).sync(plan(), {"bench": True})
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, "contend", str(state), f"W{n}", str(SECONDS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(WORKERS)
    ]
    done = [int(worker.communicate()[0]) for worker in workers]
    print(f"{WORKERS} contending workers: {sum(done) / SECONDS:.0f} tasks/s together {done}")
    print("  (limit 50 tasks/s; one claim and one completion each)")


def main() -> None:
    with tempfile.TemporaryDirectory(dir=PROJECT / "AlphaQCM_data") as name:
        lock_held(Path(name))
        throughput(Path(name))


if __name__ == "__main__":
    if sys.argv[1:2] == ["contend"]:
        contend(*sys.argv[2:])  # type: ignore[arg-type]
    else:
        main()
