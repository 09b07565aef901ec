"""How long the whole um archive takes on 1 to 512 workers: a simulation with measured task lengths.

usage: python scripts/simulate_cluster.py [--figure docs/scale.svg]

First the length of each kind of task is measured here, on generated files: seconds of CPU a task,
and bytes of ZIPs a second where it reads trades or minutes. Then the graph of 700 symbols and six
years is made as a run makes it, with sizes of months drawn as those of the archive are spread (few
are large), and done by W workers: a free one takes the heaviest task whose needs are settled, and
the scheduler, which does one thing at a time, needs its milliseconds for each. Downloads are not
in it: they overlap, and docs/scale.md counts them apart.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphaqcm.data_collection.build.run.task_graph import planned, run_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import no_gate
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.queue.state import Planned
from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.series_type import types_of

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SYMBOLS, YEARS = 700, 6
OVERHEAD = 0.003
"""Seconds of the scheduler a task; scripts/bench_scale.py measures them."""

MEDIANS = {"aggTrades": (12e6, 1.5, 1.5e9), "klines:1m": (1.6e6, 0.3, 4e6)}
"""Bytes of a month's ZIP: median, spread (of the logarithm), largest. Others are some kilobytes."""


@dataclass(frozen=True)
class Length:
    """Seconds of CPU: of the task itself, and for each byte of ZIPs behind it."""

    fixed: float
    a_byte: float = 0.0


def kind(task: Task) -> str:
    """What a task's length depends on."""
    if task.stage is Stage.MONTH:
        name = str(task.type)
        return name if name in MEDIANS else "other months"
    return task.stage.value


def measure() -> dict[str, Length]:
    """Seconds of CPU by kind, from two archives of a month that differ in their trades alone."""
    seconds: list[dict[str, list[float]]] = []
    sizes: list[float] = []
    for trades in (2_000, 60_000):
        spec = SampleSpec(
            symbols=universe(1), start=date(2024, 1, 1), days=31, trades_per_day=trades
        )
        with tempfile.TemporaryDirectory(prefix="alphaqcm-simulate-") as name:
            folder = Path(name)
            write_sample(folder / "source", spec)
            settings = RunSettings(
                spec.market,
                spec.symbols,
                DateRange(spec.first, spec.last),
                folder / "root",
                str(folder / "source"),
                types=types_of(spec.market),
            )
            for turn in range(2):  # the first compiles
                found: dict[str, list[float]] = defaultdict(list)
                with open_task_runner(settings) as runner:
                    tasks = list(run_tasks(settings))
                    months = [task for task in tasks if task.stage is Stage.MONTH]
                    told = runner.sizes(months)
                    if turn:
                        for path in (folder / "root").rglob("*"):
                            if path.is_file() and path.suffix in (".parquet", ".csv"):
                                path.unlink()
                    for task in tasks:
                        began = time.process_time()
                        runner.perform(task, no_gate)
                        found[kind(task)].append(time.process_time() - began)
            seconds.append(found)
            sizes.append(sum(size for id_, size in told.items() if "aggTrades" in id_))
    small, large = ({name: float(np.mean(all_)) for name, all_ in one.items()} for one in seconds)
    a_byte = (large["aggTrades"] - small["aggTrades"]) / (sizes[1] - sizes[0])
    lengths = {name: Length(fixed) for name, fixed in small.items()}
    lengths["aggTrades"] = Length(max(0.0, small["aggTrades"] - a_byte * sizes[0]), a_byte)
    return lengths


def archive(lengths: Mapping[str, Length]) -> tuple[list[Planned], dict[str, float]]:
    """The graph, heaviest symbols as they fall, and each task's seconds."""
    settings = RunSettings(
        Market.UM,
        tuple(f"S{number}USDT" for number in range(SYMBOLS)),
        DateRange(date(2020, 1, 1), date(2020 + YEARS - 1, 12, 31)),
        Path("/nowhere"),
        types=types_of(Market.UM),
    )
    noise = np.random.default_rng(11)
    of_symbol = np.exp(noise.normal(size=SYMBOLS))  # a symbol is large in all of its months
    listed = noise.integers(0, YEARS * 12, SYMBOLS)  # and begins in one of them
    tasks, sizes, seconds = [], {}, {}
    for task in run_tasks(settings):
        number = int(task.symbol[1:-4])
        size = 0.0
        if task.stage is Stage.MONTH and task.period is not None:
            month = (task.period.start.year - 2020) * 12 + task.period.start.month - 1
            if month < listed[number] and kind(task) in MEDIANS:
                continue
        if kind(task) in MEDIANS and task.stage is Stage.MONTH:
            median, spread, most = MEDIANS[kind(task)]
            size = min(most, median * of_symbol[number] ** spread)
        tasks.append(task)
        sizes[task.id] = int(size)
        one = lengths[kind(task)]
        seconds[task.id] = one.fixed + one.a_byte * size
    months = {task.symbol: 0 for task in tasks}
    for task in tasks:
        months[task.symbol] += kind(task) in MEDIANS
    for task in tasks:  # what reads layers grows with the months that it reads
        if task.stage is not Stage.MONTH:
            seconds[task.id] *= max(1.0, months[task.symbol] / 2)  # of minutes and of trades
    return planned(tasks, sizes, settings), seconds


def makespan(tasks: Sequence[Planned], seconds: Mapping[str, float], workers: int) -> float:
    """Until all is done: heaviest first, needs before, the scheduler one thing at a time."""
    names = {task.id for task in tasks}
    left = {task.id: sum(name in names for name in task.needs) for task in tasks}
    users: dict[str, list[Planned]] = defaultdict(list)
    for task in tasks:
        for name in task.needs:
            users[name].append(task)
    ready = [(-task.size, n, task) for n, task in enumerate(tasks) if not left[task.id]]
    heapq.heapify(ready)
    order = len(tasks)
    running: list[tuple[float, int, Planned]] = []
    now = scheduler = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, number, task = heapq.heappop(ready)
            scheduler = max(scheduler, now) + OVERHEAD
            heapq.heappush(running, (scheduler + seconds[task.id], number, task))
        now, _, task = heapq.heappop(running)
        for user in users[task.id]:
            left[user.id] -= 1
            if not left[user.id]:
                order += 1
                heapq.heappush(ready, (-user.size, order, user))
    return now


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--figure", type=Path, help="write the speed-up as an SVG")
    arguments = words.parse_args()
    lengths = measure()
    print("measured, in seconds of CPU:")
    for name, one in sorted(lengths.items()):
        rate = f", {1 / one.a_byte / 1e6:.0f} MB of ZIPs a second" if one.a_byte else ""
        print(f"  {name:<14}{one.fixed:.3f}{rate}")
    tasks, seconds = archive(lengths)
    whole = sum(seconds.values())
    longest = max(seconds.values())
    print(
        f"{len(tasks):,} tasks, {sum(t.size for t in tasks if not t.needs) / 1e12:.2f} TB of ZIPs, "
        f"{whole / 3600:.1f} hours of CPU, the longest task {longest:.0f} s"
    )
    print("workers      hours  speed-up  busy")
    times = {count: makespan(tasks, seconds, count) for count in WORKERS}
    for count, taken in times.items():
        gain = times[1] / taken
        print(f"{count:>7}{taken / 3600:>11.2f}{gain:>10.1f}{gain / count:>6.0%}")
    if arguments.figure:
        draw(arguments.figure, {count: times[1] / taken for count, taken in times.items()})


def draw(path: Path, gains: Mapping[int, float]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "alphaqcm"
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot(list(gains), list(gains), color="0.7", linestyle="--", label="ideal")
    axes.plot(list(gains), list(gains.values()), marker="o", label="simulated")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("workers")
    axes.set_ylabel("speed-up over one worker")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
