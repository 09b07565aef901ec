"""Adding one day to a table of many symbols and years: time and memory, beside a full rebuild.

The years before are noise: a table, and for every month and type one month file that all symbols
share (so the report's reading of them is helped by the page cache; nothing else is). The running
month is a simulated archive, whose days are published one after another. Then the checks' report
over the same root.

    bench_update.py [--symbols 90] [--years 5] [--days 3]
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphaqcm.data_collection.build.last_run import load_settings, save_settings
from alphaqcm.data_collection.build.run.task_graph import month_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.reconciliation_cache import reconciled
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.build.update.change_index import (
    ChangeIndex,
    listing_marks,
    mark_of,
    month_file,
)
from alphaqcm.data_collection.build.update.symbol_jobs import input_digests
from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from alphaqcm.pipeline.checks.cross import hours_of_minutes
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period, months_between
from alphaqcm.pipeline.domain.registry import METRICS, DataType, Market
from alphaqcm.pipeline.domain.series_type import SeriesType, parse_typed
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.domain.time import epoch_us
from alphaqcm.pipeline.features.columns import COLUMNS, REGISTRY, VERSION, DType
from alphaqcm.pipeline.features.factors.assemble import NEEDED, Inputs
from alphaqcm.pipeline.reading.aggtrades.model import SCHEMA as AGG_MINUTES
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, Input
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.symbol_table import build_symbol_table, table_fingerprint
from alphaqcm.pipeline.tables.table_file import write_table
from alphaqcm.pipeline.tables.wide_table import DEFAULTS, LAYER

MONTH = date(2024, 2, 1)
KNOWN = 14  # days of the running month that the table has


@dataclass(frozen=True)
class Run:
    """One command: seconds, CPU seconds of all its processes, peak MB of all together."""

    wall: float
    cpu: float
    peak: float


def alphaqcm(*words: str) -> Run:
    began, before = time.perf_counter(), os.times()
    peak = 0.0
    with subprocess.Popen(
        [sys.executable, "-m", "alphaqcm", *words],
        cwd=Path(__file__).resolve().parent.parent,
        stdout=subprocess.DEVNULL,
    ) as process:
        own = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _together(own))
            time.sleep(0.5)  # looking costs the process looked at
    assert process.returncode == 0, words
    used = os.times()
    cpu = used.children_user + used.children_system - before.children_user - before.children_system
    return Run(time.perf_counter() - began, cpu, peak)


def _together(own: psutil.Process) -> float:
    """Proportional memory: a page shared by processes counts once."""
    total = 0
    for process in [own, *own.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6


def noise_table(settings: RunSettings) -> Iterator[tuple[str, pl.DataFrame]]:
    first = epoch_us(settings.span.start)
    hours = ((settings.span.end - settings.span.start).days + 1) * 24
    times = pl.Series(np.arange(hours) * 3_600_000_000 + first)
    for number, name in enumerate(
        sorted(settings.symbols, key=lambda name: table_name(name).encode())
    ):
        noise = np.random.default_rng(number)
        columns = []
        for column in COLUMNS:
            dtype = REGISTRY[column].dtype
            if column == "symbol":
                values = pl.Series([table_name(name)]).new_from_index(0, hours)
            elif dtype is DType.TIME:
                values = times.cast(dtype.polars)
            elif dtype is DType.FLOAT:
                drawn = noise.lognormal(size=hours)
                # a table of the simulated archive takes 794 bytes a row, all noise would take 993
                values = pl.Series(drawn.round(1) if len(columns) % 4 == 0 else drawn)
            else:
                values = pl.Series(noise.integers(0, 2, hours)).cast(dtype.polars)
            columns.append(values.alias(column))
        yield table_name(name), pl.DataFrame(columns)


def table_name(name: str) -> str:
    return Symbol(Market.UM, name).table


def prepare(root: Path, source: Path, count: int, years: int, days: int) -> RunSettings:
    """A data root that knows `years` and the first days of the running month."""
    everything = source.with_name("everything")
    last = MONTH + timedelta(days=KNOWN - 1)
    spec = SampleSpec(
        symbols=universe(count),
        start=MONTH,
        days=KNOWN + days,
        trades_per_day=1_500,
        compression=1,
    )
    write_sample(everything, spec)
    publish(everything, source, last)
    words = ["--symbols", ",".join(spec.symbols), "--source", str(source), "--data-root", str(root)]
    alphaqcm("run", *words, "--start", str(MONTH), "--end", str(last), "--workers", "2")
    short = load_settings(root / "_tmp")
    settings = replace(short, span=DateRange(MONTH.replace(year=MONTH.year - years), last))
    years_before(settings)
    with open_task_runner(settings) as steps:
        marks = listing_marks(steps)
    prints = {
        table_name(name): table_fingerprint(settings.layout, Symbol(Market.UM, name), settings.span)
        for name in settings.symbols
    }
    inputs = tuple(Input(name, prints[name].digest) for name in sorted(prints, key=str.encode))
    parameters = (
        *DEFAULTS.parameters,
        ("end", settings.span.end.isoformat()),
        ("start", settings.span.start.isoformat()),
    )
    write_table(
        noise_table(settings),
        settings.layout.final_table(),
        Fingerprint(LAYER, VERSION, inputs, parameters),
        DEFAULTS,
        {"metrics_last": dict.fromkeys(prints)},
    )
    ChangeIndex(
        {task.id: mark_of(mark, month_file(settings, task)) for task, mark in marks.items()},
        {name: input_digests(found) for name, found in prints.items()},
    ).write(settings.layout.temp / "update.json")
    save_settings(settings)
    return settings


def publish(everything: Path, source: Path, last: date) -> None:
    """Show in `source` the files of the days up to `last`."""
    for path in everything.rglob("*.zip*"):
        key = path.relative_to(everything).as_posix()
        target = source / key
        if ArchiveFile.parse(key).period.end <= last + timedelta(days=1) and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)


def years_before(settings: RunSettings) -> None:
    """Month files of noise for every month before the running one, shared by all symbols."""
    first, *others = settings.symbols
    before = DateRange(settings.span.start, MONTH - timedelta(days=1))
    tasks = [
        task
        for name in settings.types
        for task in month_tasks(SeriesType.parse(name), first, before)
    ]
    for task in tasks:
        (month,) = task.months(before)
        path = month_file(settings, task)
        series = task.series(settings.market)
        key = series.file(month).key
        fingerprint = Fingerprint(f"month/{series.type}", 1, (Input(key, "0" * 64),))
        frame = noise_month(str(task.type), month)
        report = {"counters": {}} if series.type is DataType.AGGTRADES else {"files": {}}
        Artifact(path, fingerprint).write(frame, report)
        for other in others:
            share(path, month_file(settings, replace(task, symbol=other)))
    for month in months_between(before.start, before.end):
        reconciled(settings.layout, first, month)
        path = settings.layout.reconciled_file(first, month)
        for other in others:
            share(path, settings.layout.reconciled_file(other, month))


def share(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, target)


@functools.cache
def minutes_of(month: Period) -> pl.DataFrame:
    """Minutes of noise; everything else of the month follows from them."""
    noise = np.random.default_rng(month.start.toordinal())
    times = np.arange(month.start_us, month.end_us, 60_000_000)
    price = 100 * np.exp(np.cumsum(noise.normal(0, 1e-4, len(times))))
    volume = noise.lognormal(size=len(times))
    return pl.DataFrame(
        {
            "minute": pl.Series(times).cast(pl.Datetime("us", "UTC")),
            "open": price,
            "high": price * 1.0002,
            "low": price * 0.9998,
            "close": price * 1.0001,
            "volume": volume,
            "quote_volume": volume * price,
            "count": np.full(len(times), 5),
            "taker_buy_volume": volume / 2,
            "taker_buy_quote_volume": volume * price / 2,
        }
    )


def noise_month(type_name: str, month: Period) -> pl.DataFrame:
    """A whole month file of one type."""
    minutes = minutes_of(month)
    data_type, interval = parse_typed(type_name)
    if type_name == "klines:1m":
        return minutes
    if data_type is DataType.AGGTRADES:
        known = {
            "base_volume": "volume",
            "quote_volume": "quote_volume",
            "taker_buy_qty": "taker_buy_volume",
            "taker_buy_quote": "taker_buy_quote_volume",
            "raw_trade_count": "count",
            "price_first": "open",
            "price_high": "high",
            "price_low": "low",
            "price_last": "close",
        }
        ids = pl.col("minute").dt.epoch("s") // 60
        named = [pl.col(source).alias(name) for name, source in known.items()]
        times = [pl.col("minute").alias(name) for name in ("first_ts", "last_ts")]
        ends = [ids.alias(name) for name in ("first_agg_trade_id", "last_agg_trade_id")]
        there = minutes.select("minute", *named, *times, *ends)
        others = [name for name in AGG_MINUTES if name not in there.columns]
        return there.with_columns(pl.lit(1.5).alias(name) for name in others).select(
            list(AGG_MINUTES)
        )
    if interval == "1h":
        hours = hours_of_minutes(minutes)
        moment = hours["hour"].cast(pl.Datetime("us", "UTC")).alias("open_time")
        return hours.drop("hour").insert_column(0, moment)
    step = 8 * 3_600_000_000 if data_type is DataType.FUNDING else 300_000_000
    times = np.arange(month.start_us, month.end_us, step)
    moment = pl.Series(times).cast(pl.Datetime("us", "UTC"))
    noise = np.random.default_rng(1)
    if data_type is DataType.FUNDING:
        rate = noise.normal(0, 1e-4, len(times))
        return pl.DataFrame(
            {"calc_time": moment, "funding_interval_hours": 8.0, "last_funding_rate": rate}
        )
    values = {name: noise.lognormal(size=len(times)) for name in METRICS}
    known_time = moment + timedelta(minutes=5)
    return pl.DataFrame({"known_time": known_time, "file_date": moment.dt.date(), **values})


def symbol_year() -> float:
    """CPU seconds of the factors of a year of minutes."""
    minutes = 525_600
    noise = np.random.default_rng(1)
    price = 100 * np.exp(np.cumsum(noise.normal(0, 3e-4, minutes)))
    close = price * np.exp(noise.normal(0, 1e-4, minutes))
    times = pl.Series(np.arange(minutes) * 60_000_000 + epoch_us(date(2023, 1, 1)))
    klines = pl.DataFrame(
        {
            "minute": times.cast(pl.Datetime("us", "UTC")),
            "open": price,
            "high": np.maximum(price, close) * 1.0002,
            "low": np.minimum(price, close) * 0.9998,
            "close": close,
            "volume": noise.lognormal(size=minutes),
        }
    )
    empty = {name: pl.DataFrame(schema=columns) for name, columns in NEEDED.items()}
    inputs = Inputs(**{**empty, "klines": klines})
    span = DateRange(date(2023, 1, 1), date(2023, 12, 31))
    used = []
    for _ in range(3):
        began = time.process_time()
        build_symbol_table(Symbol(Market.UM, "BTCUSDT"), inputs, span)
        used.append(time.process_time() - began)
    return statistics.median(used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=90)
    parser.add_argument("--years", type=int, default=5)
    parser.add_argument("--days", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, source = Path(folder) / "root", Path(folder) / "source"
        settings = prepare(root, source, options.symbols, options.years, options.days)
        report(options, settings, source)


def report(options: argparse.Namespace, settings: RunSettings, source: Path) -> None:
    layout = Layout(settings.root)
    size = layout.final_table().stat().st_size / 1e9
    print(f"{options.symbols} symbols, {options.years} years: {size:.2f} GB of parquet")
    began = time.perf_counter()
    write_table(noise_table(settings), layout.root / "again.parquet", None, DEFAULTS)
    anew = time.perf_counter() - began
    (layout.root / "again.parquet").unlink()
    runs: list[Run] = []
    root = ["--data-root", str(settings.root)]
    for number in range(options.days):
        day = settings.span.end + timedelta(days=number + 1)
        publish(source.with_name("everything"), source, day)
        runs.append(alphaqcm("update", "--through", str(day), "--workers", "2", *root))
    show("one day added", runs)
    copied = statistics.median(copy_of(layout.final_table()) for _ in range(3))
    ours = statistics.median(run.wall for run in runs)
    print(f"  = {ours / copied:.1f} times copying and hashing the table ({copied:.1f} s)")
    year = symbol_year()
    factors = year * options.years * options.symbols / 2
    print(
        f"a full rebuild, from month files at hand: about {factors + anew:.0f} s "
        f"(factors {year:.2f} CPU s a symbol-year on 2 cores, and {anew:.1f} s for the table)"
    )
    page = ["--html", str(layout.root / "report.html"), "--json", str(layout.root / "report.json")]
    show("the report of the checks", [alphaqcm("check", *page, *root)])


def copy_of(table: Path) -> float:
    """Seconds in which the table is copied, synced and hashed: the least that a new one costs."""
    target = table.with_suffix(".copy")
    began = time.perf_counter()
    shutil.copyfile(table, target)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
        hashlib.file_digest(stream, "sha256")
    seconds = time.perf_counter() - began
    target.unlink()
    return seconds


def show(what: str, runs: Sequence[Run]) -> None:
    walls = sorted(run.wall for run in runs)
    print(
        f"{what}: {statistics.median(walls):.1f} s ({walls[0]:.1f} to {walls[-1]:.1f}), "
        f"{statistics.median(run.cpu for run in runs):.1f} CPU s, "
        f"at most {max(run.peak for run in runs):.0f} MB"
    )


if __name__ == "__main__":
    main()
