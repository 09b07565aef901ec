"""Cost of the shared queue: lock held a claim and a completion, tasks a second, two workers.

The peers in the same run: the plain way, the whole state through `json` in and out each time; and
for two workers against one, two plain computing processes against one. All figures are medians,
taken in turns.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from datetime import date
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from alphaqcm.data_collection.build.run.task_graph import planned, run_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.task import Stage
from alphaqcm.data_collection.queue.liveness import WorkerLife
from alphaqcm.data_collection.queue.options import QueueOptions
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import Planned, TaskState
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.data_collection.queue.worker import work
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.series_type import types_of

ROUNDS = 60
WORKERS = 4
SECONDS = 6.0
MONTHS = 120  # enough that starting a worker does not count for much


def plan() -> list[Planned]:
    """A run of 85 symbols and 8 months of every type: months, hourly steps, factors."""
    symbols = tuple(f"SYM{number:03}USDT" for number in range(85))
    span = DateRange(date(2024, 1, 1), date(2024, 8, 31))
    settings = RunSettings(Market.UM, symbols, span, Path("root"), types=types_of(Market.UM))
    tasks = list(run_tasks(settings))
    months = [task for task in tasks if task.stage is Stage.MONTH]
    return planned(tasks, {task.id: 1_000_000 + n for n, task in enumerate(months)}, settings)


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
    name = next(n for n, told in state["tasks"].items() if told["state"] == TaskState.PENDING)
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
    outcome = Outcome(TaskResult.DONE, True, 44_640, 123_456_789, 0, "a/b/c/2024-02.parquet")
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
    print(f"state of {len(plan()):,} tasks, {size / 1e6:.2f} MB; lock held, median of {ROUNDS}:")
    print(f"  claim      {middle[0]:6.2f} ms   (limit 10 ms)")
    print(f"  completion {middle[1]:6.2f} ms   (limit 10 ms)")
    print(f"  plain json {middle[2]:6.2f} ms   = {middle[2] / max(middle[:2]):.1f} times ours")


def contend(state: str, name: str, seconds: float) -> None:
    """A worker whose tasks cost nothing; says how many it did."""
    stop = time.monotonic() + float(seconds)

    def perform(task: str, commit: object) -> Outcome:
        if time.monotonic() > stop:
            raise KeyboardInterrupt
        return Outcome(TaskResult.DONE, True, 1, 1)

    queue = Queue.open(Path(state), options=QueueOptions(say=lambda _: None))
    queue.join()
    with Path(os.devnull).open("w") as sink:
        from alphaqcm.data_collection.process.event_log import Log

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


def make_months(archive: Path) -> None:
    """A month of simulated trades, published under the names of several symbols."""
    write_sample(
        archive, SampleSpec(("BTCUSDT",), days=29, start=date(2024, 2, 1), trades_per_day=40_000)
    )
    first = Series(Market.UM, DataType.AGGTRADES, "BTCUSDT").file(Period.parse("2024-02"))
    made = archive / first.key
    with zipfile.ZipFile(made) as source:
        size = source.infolist()[0].file_size
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    for number in range(MONTHS):
        file = Series(Market.UM, DataType.AGGTRADES, f"SYM{number:03}USDT").file(first.period)
        path = archive / file.key
        path.parent.mkdir(parents=True)
        path.hardlink_to(made)
        (archive / file.checksum_key).write_text(f"{digest}  {file.name}\n")
    print(f"{MONTHS} months of {size / 1e6:.0f} MB of CSV each")


def months_by(workers: int, folder: Path, archive: Path) -> float:
    """Seconds in which so many workers process all months, from their first start to their end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = "".join(f"SYM{number:03}USDT\n" for number in range(MONTHS))
    (folder / "symbols.txt").write_text(names)
    words = ["--symbols-file", "symbols.txt", "--start", "2024-02-01", "--end", "2024-02-29"]
    script = PROJECT / "data_collection" / "run_aggtrades_queue.py"
    began = time.perf_counter()
    crew = [
        subprocess.Popen(
            [sys.executable, str(script), "--worker-id", f"W{n}", *words, "--source", str(archive)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        for n in range(workers)
    ]
    codes = [process.wait() for process in crew]
    seconds = time.perf_counter() - began
    if any(codes):
        raise SystemExit(f"workers ended with {codes}")
    return seconds


def spin_by(workers: int) -> float:
    """Seconds in which so many plain processes do a fixed amount of computing together."""
    began = time.perf_counter()
    turns = 60_000_000 // workers
    loop = f"x = 0\nfor i in range({turns}): x += i"
    crew = [subprocess.Popen([sys.executable, "-S", "-c", loop]) for _ in range(workers)]
    for process in crew:
        process.wait()
    return time.perf_counter() - began


def two_workers(folder: Path) -> None:
    archive, place = folder / "archive", folder / "place"
    make_months(archive)
    months_by(2, place, archive)  # compiles what is not compiled yet
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(3):
        times["one"].append(months_by(1, place, archive))
        times["spin one"].append(spin_by(1))
        times["two"].append(months_by(2, place, archive))
        times["spin two"].append(spin_by(2))
    middle = {name: statistics.median(values) for name, values in times.items()}
    plain = middle["spin two"] / middle["spin one"]
    print(f"sample months: two workers {middle['two']:.1f} s, one {middle['one']:.1f} s: ", end="")
    print(f"two / one = {middle['two'] / middle['one']:.2f}")
    print(f"  (limit 0.60 where plain processes reach 0.52; they reached {plain:.2f})")


def main() -> None:
    with tempfile.TemporaryDirectory(dir=PROJECT / "AlphaQCM_data") as name:
        lock_held(Path(name))
        throughput(Path(name))
        two_workers(Path(name))


if __name__ == "__main__":
    if sys.argv[1:2] == ["contend"]:
        contend(*sys.argv[2:])  # type: ignore[arg-type]
    else:
        main()
