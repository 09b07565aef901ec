"""Cost of many small files: `alphaqcm run` beside the plainest loop over the same files.

Makes an archive tree of tiny ZIPs: every type of um, `--months` month files in all (a month of one
type and symbol each; metrics as daily files), one row a day. The plain loop reads each ZIP, takes
its SHA-256, unzips it, parses it with polars and writes a synced parquet. Then the first run, the
run that finds nothing to do, and the lock held by a claim and a completion of a queue of that
run's tasks. Printed: CPU ms (user and system, with all children) a file, and the ratio. Last, the
whole job of 90 symbols and 62 months: bookkeeping by these figures, trades by `--rows-a-second`.

    python scripts/bench_many_files.py [--months 1000 10000] [--metrics-days 30] [--workers 1]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

import polars as pl
from bench_queue import Timed

from alphaqcm.data_collection.build.run.task_graph import planned, run_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.queue.liveness import WorkerLife
from alphaqcm.data_collection.queue.options import QueueOptions
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period, months_between
from alphaqcm.pipeline.domain.registry import DataType, Market, Partition, spec_of
from alphaqcm.pipeline.domain.series_type import SeriesType, types_of

TYPES = tuple(SeriesType.parse(name) for name in types_of(Market.UM))
START = date(2021, 1, 1)
CHUNKS = 18  # months of a symbol; the number of symbols follows
JOB_SYMBOLS, JOB_MONTHS, JOB_DAYS = 90, 62, 1887
JOB_ROWS = 25e9  # rows of trades: 0.3 TB zipped at 12.6 bytes a row
BAR_RATIO, BAR_NO_OP, BAR_LOCK = 3.0, 0.3, 5.0
ROUNDS = 40


@dataclass(frozen=True)
class Job:
    """A number of symbols and months."""

    symbols: int
    months: int
    metrics_days: int

    @property
    def span(self) -> DateRange:
        """The days of these months."""
        month = START.month - 1 + self.months
        return DateRange(
            START, date(START.year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The symbols."""
        return tuple(f"SYM{number:03}USDT" for number in range(self.symbols))

    def files(self) -> Iterator[ArchiveFile]:
        """Every archive file."""
        for name in self.names:
            for one in TYPES:
                series = one.series(Market.UM, name)
                for month in months_between(self.span.start, self.span.end):
                    if Partition.MONTHLY in spec_of(one.type).partitions:
                        yield series.file(month)
                    else:
                        days = list(month.days())[: self.metrics_days]
                        yield from (series.file(Period.day(day)) for day in days)


def text(file: ArchiveFile) -> str:
    """A row a day, or a few in a daily file."""
    spec = spec_of(file.series.type)
    lines = [",".join(column.name for column in spec.columns)]
    for number, day in enumerate(file.period.days()):
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        epoch = int(moment.timestamp()) * 1000
        if spec.type is DataType.METRICS:
            for minutes in (5, 10, 15):
                stamp = moment + timedelta(minutes=minutes)
                lines.append(f"{stamp:%Y-%m-%d %H:%M:%S},{file.series.symbol},5.5,16.5,1,1,1,1")
        elif spec.type is DataType.FUNDING:
            lines.append(f"{epoch},8,0.0001")
        elif spec.type is DataType.AGGTRADES:
            at = number + 1
            lines.append(f"{at},10.5,2,{at},{at},{epoch + 17},true")
        else:
            # the very trade that the aggTrades tell
            lines.append(f"{epoch},10.5,10.5,10.5,10.5,2,{epoch + 59_999},21,1,0,0,0")
    return "\n".join(lines) + "\n"


def make(job: Job, archive: Path) -> int:
    """Write the archive tree; returns the number of ZIPs."""
    count = 0
    for file in job.files():
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as members:
            members.writestr(file.name.replace(".zip", ".csv"), text(file))
        path = archive / file.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stream.getvalue())
        digest = hashlib.sha256(stream.getvalue()).hexdigest()
        (archive / file.checksum_key).write_text(f"{digest}  {file.name}\n")
        count += 1
    return count


def plain_loop(archive: Path, out: Path) -> None:
    """Read, SHA-256, unzip, polars, synced parquet: file by file."""
    out.mkdir(parents=True)
    for number, path in enumerate(sorted(archive.rglob("*.zip"))):
        data = path.read_bytes()
        told = path.with_name(f"{path.name}.CHECKSUM").read_text().split()[0]
        if hashlib.sha256(data).hexdigest() != told:
            raise SystemExit(f"{path}: another SHA-256")
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            frame = pl.read_csv(members.read(members.namelist()[0]))
        with (out / f"{number}.parquet").open("wb") as stream:
            frame.write_parquet(stream)
            stream.flush()
            os.fsync(stream.fileno())


def cpu_of(*words: object) -> tuple[float, float]:
    """CPU seconds and seconds of a process of this interpreter and its children."""
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    used = os.times()
    cpu = used.children_user + used.children_system - before.children_user - before.children_system
    return cpu, time.perf_counter() - began


def lock_held(job: Job, folder: Path) -> None:
    """Print what a claim and a completion cost where another worker writes in between."""
    settings = RunSettings(Market.UM, job.names, job.span, folder, types=types_of(Market.UM))
    tasks = planned(list(run_tasks(settings)), {}, settings)
    options = QueueOptions(say=lambda _: None)
    ours, other = (Queue.open(folder / "held.json", options=options) for _ in range(2))
    ours.sync(tasks, {"bench": True})
    other.join()
    timed = Timed(ours)
    outcome = Outcome(TaskResult.DONE, 12, 44_640, 123_456_789, 0, "a/b/c/2024-02.parquet")
    claims, completions, cpu = [], [], []
    lives = [WorkerLife(ours.lock_dir, name, ours.options.host) for name in "AB"]
    with lives[0], lives[1]:
        for _ in range(ROUNDS):
            foreign = other.claim("B")
            before = time.process_time()
            timed.held.clear()
            lease = ours.claim("A")
            claims += timed.held
            spent = time.process_time() - before
            assert lease is not None and foreign is not None
            other.complete(foreign, outcome, 1.0)
            before = time.process_time()
            timed.held.clear()
            ours.complete(lease, outcome, 1.0)
            completions += timed.held
            cpu.append(spent + time.process_time() - before)
    claim, completion = (statistics.median(times) * 1e3 for times in (claims, completions))
    print(
        f"  queue of {len(tasks):,} tasks: lock held {claim:.1f} ms a claim, {completion:.1f} ms a "
        f"completion (bar {BAR_LOCK:.0f}); {statistics.median(cpu) * 1e3:.1f} CPU ms both"
    )


@dataclass(frozen=True)
class Measured:
    """CPU seconds a file."""

    files: int
    run: float
    no_op: float


def measure(job: Job, folder: Path, options: argparse.Namespace) -> Measured:
    """All figures of one size."""
    archive, root = folder / "archive", folder / "root"
    count = make(job, archive)
    kinds = len(TYPES)
    print(
        f"{job.symbols * job.months * kinds:,} months of {job.symbols} symbols and {kinds} types, "
        f"{count:,} ZIPs",
        flush=True,
    )
    plain, _ = cpu_of(__file__, "--plain", archive, folder / "plain")
    shutil.rmtree(folder / "plain")
    print(f"  plain loop  {plain / count * 1e3:6.2f} CPU ms a file", flush=True)
    words = ["-m", "alphaqcm", "run", "--source", archive, "--workers", options.workers]
    words += ["--start", job.span.start, "--data-root"]
    short = ["--symbols", job.names[0], "--end", START.replace(day=28)]
    cpu_of(*words, folder / "short", *short)  # compiles what is not compiled yet
    names = folder / "symbols.txt"
    names.write_text("\n".join(job.names))
    words += [root, "--symbols-file", names, "--end", job.span.end]
    first, wall = cpu_of(*words)
    print(
        f"  run         {first / count * 1e3:6.2f} CPU ms a file, {first / plain:.1f} times the "
        f"plain loop (bar {BAR_RATIO:.0f}); {first:.0f} CPU s, {wall:.0f} s",
        flush=True,
    )
    again, wall = cpu_of(*words)
    print(
        f"  run again   {again / count * 1e3:6.2f} CPU ms a file (bar {BAR_NO_OP}); "
        f"{again:.1f} CPU s, {wall:.1f} s",
        flush=True,
    )
    lock_held(job, folder)
    return Measured(count, first / count, again / count)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--metrics-days", type=int, default=30, help="daily files a month")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rows-a-second", type=float, default=8.3e6, help="of bench_aggtrades")
    parser.add_argument("--plain", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        plain_loop(*options.plain)
        return
    for months in options.months:
        symbols = max(1, round(months / CHUNKS / len(TYPES)))
        job = Job(symbols, max(1, round(months / len(TYPES) / symbols)), options.metrics_days)
        with tempfile.TemporaryDirectory(dir=PROJECT / "AlphaQCM_data") as name:
            last = measure(job, Path(name), options)
    files = JOB_SYMBOLS * (JOB_MONTHS * (len(TYPES) - 1) + JOB_DAYS)
    print(
        f"{JOB_SYMBOLS} symbols, {JOB_MONTHS} months, {files:,} ZIPs: by the last figures "
        f"{files * last.run / 60:.0f} CPU minutes of many files, "
        f"{JOB_ROWS / options.rows_a_second / 60:.0f} of {JOB_ROWS / 1e9:.0f} billion rows of "
        f"trades; a run that finds nothing to do {files * last.no_op:.0f} CPU s"
    )


if __name__ == "__main__":
    main()
