"""What distribution costs: Dask against the local queue, the graph at size, publishing to a store.

usage: python scripts/bench_scale.py [dask] [overhead] [graph] [publish]      (default: all four)

    dask       the same months of trades by the local queue and by as many processes of Dask
    overhead   what the scheduler and our waves add to a task of known length, on 32 threads
    graph      building the graph of the whole archive, and feeding it in waves: time and memory
    publish    the wide table into an S3 server on loopback, against local time and a plain upload

Everything runs on generated data in a temporary folder; each ratio is of two measurements of this
run. docs/scale.md has figures of one machine and what follows from them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphaqcm.data_collection.archive.objects.object_store import ObjectStore
from alphaqcm.data_collection.build.run.dask_cluster import Cluster
from alphaqcm.data_collection.build.run.dask_executor import ClusterOptions, DaskExecutor
from alphaqcm.data_collection.build.run.remote_task import Done
from alphaqcm.data_collection.build.run.task_graph import planned, run_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.queue.state import Planned
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.series_type import types_of

CORES = os.cpu_count() or 1
TRADES = int(os.environ.get("TRADES", "400000"))  # a day of the busiest symbol
TURNS = int(os.environ.get("TURNS", "3"))


def main() -> None:
    chosen = sys.argv[1:] or ["graph", "overhead", "dask", "publish"]
    with tempfile.TemporaryDirectory(prefix="alphaqcm-bench-") as folder:
        for name in chosen:
            print(f"== {name}", flush=True)
            BENCHES[name](Path(folder))


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def run(*words: object) -> None:
    command = [sys.executable, "-m", "alphaqcm", *map(str, words), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def bench_dask(folder: Path) -> None:
    """60 months of trades: 5 symbols of 12 months, a day of trades in each."""
    months = [date(2023, month, 15) for month in range(1, 13)]
    symbols = universe(5)
    for day in months:
        write_sample(
            folder / "archive",
            SampleSpec(symbols=symbols, start=day, days=1, trades_per_day=TRADES, compression=1),
        )
    words = [
        "run", "--symbols", ",".join(symbols), "--start", months[0], "--end", months[-1],
        "--source", folder / "archive", "--workers", CORES,
    ]  # fmt: skip
    seconds: dict[str, list[float]] = {"local": [], "dask": []}
    for turn in range(TURNS):
        for executor, taken in seconds.items():
            root = folder / f"{executor}{turn}"
            taken.append(
                timed(lambda e=executor, r=root: run(*words, "--data-root", r, "--executor", e))  # type: ignore[misc]
            )
    local, dask = min(seconds["local"]), min(seconds["dask"])
    print(
        f"local queue {local:.1f} s, dask {dask:.1f} s, ratio {dask / local:.2f} (best of {TURNS})"
    )


@dataclass(frozen=True)
class Sleep:
    """A task of known length, in place of `RemoteTask`."""

    seconds: float

    def __call__(self, task: Planned) -> Done:
        """Sleep."""
        time.sleep(self.seconds)
        return Done(Outcome(TaskResult.DONE))


@contextmanager
def threads(count: int) -> Iterator[Cluster]:
    """A cluster of threads: what is measured is the scheduler and the feeding, not the machine."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=count,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            resources={"download": count, "cpu": count, "memory": count * 1e9},
            silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield Cluster(client, 1, int(1e9))


def bench_overhead(_folder: Path) -> None:
    for seconds, count in ((0.0, 4_000), (0.1, 4_000), (1.0, 640)):
        tasks = [
            Planned(f"month/klines:1m/S{n}USDT/2024-01", 1, "", (f"x{n}",)) for n in range(count)
        ]
        executor = DaskExecutor(ClusterOptions(1), print)
        with threads(32) as cluster:
            list(executor.run_on(cluster, tasks[:64], Sleep(0)))
            began, used = time.perf_counter(), time.process_time()
            list(executor.run_on(cluster, tasks, Sleep(seconds)))
            taken, used = time.perf_counter() - began, time.process_time() - used
        ideal = seconds * count / 32
        print(
            f"{count:,} tasks of {seconds} s on 32 threads: {taken:.1f} s, ideal {ideal:.1f} s, "
            f"{(taken - ideal) / count * 1000:.2f} ms a task, {used / count * 1000:.2f} ms of CPU "
            f"of scheduler and client; threads used {ideal / taken:.0%}"
        )


def bench_graph(_folder: Path) -> None:
    """The whole archive: 700 symbols of um and 3,000 of spot, all their years."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    tasks: list[Planned] = []
    for market, count in ((Market.UM, 700), (Market.SPOT, 3_000)):
        settings = RunSettings(
            market,
            tuple(f"S{number}USDT" for number in range(count)),
            DateRange(date(2020, 1, 1), date(2025, 12, 31)),
            Path("/nowhere"),
            types=types_of(market),
        )
        tasks += [
            replace(one, id=f"{market}:{one.id}", needs=tuple(f"{market}:{n}" for n in one.needs))
            for one in planned(run_tasks(settings), {}, settings)
        ]
    built = time.perf_counter() - began
    from alphaqcm.data_collection.build.run.dask_executor import WAVE, Plan

    began = time.perf_counter()
    plan, held, most, done = Plan(tasks), [], 0, 0
    while True:
        held += plan.take(WAVE - len(held))
        if not held:
            break
        most = max(most, len(held))
        for _ in plan.settle(held.pop(), ok=True):
            raise AssertionError("nothing failed")
        done += 1
    fed = time.perf_counter() - began
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{len(tasks):,} tasks: graph {built:.1f} s, fed in waves of {most:,} in {fed:.1f} s "
        f"({fed / done * 1e6:.0f} µs a task), {memory:,.0f} MB of memory"
    )


def bench_publish(folder: Path) -> None:
    """8 symbols of 44,880 hours; `SYMBOLS=90` for the size of the real table.

    The server is moto, which joins the parts of an object in memory, four times its size; for a
    large table `SERVER=rclone`, which writes files. Median of TURNS alternating runs.
    """
    import hashlib

    from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint
    from alphaqcm.pipeline.storage.file_store import LOCAL
    from alphaqcm.pipeline.tables.table_file import TableOptions, write_table
    from tests.helpers.s3_servers import BUCKET, moto, rclone

    count, hours = int(os.environ.get("SYMBOLS", "8")), 44_880
    frame = table_frame(hours)
    names = [f"S{number:03}_USDT:USDT" for number in range(count)]

    def publish(store: object, path: Path) -> None:
        frames = ((name, with_symbol(frame, name)) for name in names)
        artifact = Artifact(path, Fingerprint("final", 1, ()), store)  # type: ignore[arg-type]
        write_table(frames, artifact, TableOptions())

    chosen = os.environ.get("SERVER", "moto")
    with moto() if chosen == "moto" else rclone(folder / "server") as server:
        os.environ.update(server.environment)
        root = folder / "passing"
        store = ObjectStore(f"s3://{BUCKET}/bench", root)
        local_table, stored_table = folder / "final.parquet", root / "final.parquet"
        seconds: dict[str, list[float]] = {"local": [], "store": [], "plain": []}
        publish(LOCAL, local_table)  # what is loaded and compiled once is in nobody's time
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        publish(store, stored_table)
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        for _ in range(TURNS):
            seconds["local"].append(timed(lambda: publish(LOCAL, local_table)))
            seconds["store"].append(timed(lambda: publish(store, stored_table)))
            seconds["plain"].append(timed(lambda: store.upload(root / "plain", local_table)))
        with local_table.open("rb") as stream:
            same = hashlib.file_digest(stream, "sha256").hexdigest() == store.sha256(stored_table)
    size = local_table.stat().st_size / 1e6
    rests = [
        max(0.0, stored - plain) / local
        for local, stored, plain in zip(*seconds.values(), strict=True)
    ]
    local, stored, plain = (median(taken) for taken in seconds.values())
    print(
        f"{count} symbols x {hours:,} hours, {size:,.0f} MB, {chosen}: local {local:.1f} s, store "
        f"{stored:.1f} s, plain upload {plain:.1f} s; without it {median(rests):.2f} of the local "
        f"time ({', '.join(f'{rest:.2f}' for rest in rests)}); {more:,.0f} MB of memory more; "
        f"same bytes: {same}"
    )


def table_frame(hours: int) -> "pl.DataFrame":  # noqa: F821, UP037 - polars is imported when needed
    import numpy as np
    import polars as pl

    from alphaqcm.pipeline.features.columns import REGISTRY, DType

    rng = np.random.default_rng(7)
    kinds = {
        DType.INT64: pl.Int64, DType.INT32: pl.Int32, DType.INT16: pl.Int16, DType.INT8: pl.Int8,
    }  # fmt: skip
    columns: dict[str, pl.Series] = {}
    for name, spec in REGISTRY.items():
        if spec.dtype is DType.STRING:
            columns[name] = pl.Series([""] * hours)
        elif spec.dtype is DType.TIME:
            start = np.datetime64("2020-01-01T00", "us")
            times = start + np.arange(hours) * np.timedelta64(1, "h")
            columns[name] = pl.Series(times).dt.replace_time_zone("UTC")
        elif spec.dtype is DType.BOOLEAN:
            columns[name] = pl.Series(rng.random(hours) < 0.5)
        elif spec.dtype in kinds:
            columns[name] = pl.Series(rng.integers(0, 60, hours)).cast(kinds[spec.dtype])
        else:
            columns[name] = pl.Series(rng.random(hours).round(6))
    return pl.DataFrame(columns)


def with_symbol(frame: "pl.DataFrame", name: str) -> "pl.DataFrame":  # noqa: F821, UP037
    import polars as pl

    return frame.with_columns(pl.lit(name).alias("symbol"))


BENCHES = {
    "graph": bench_graph,
    "overhead": bench_overhead,
    "dask": bench_dask,
    "publish": bench_publish,
}

if __name__ == "__main__":
    main()
