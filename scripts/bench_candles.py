"""Speed of candles: fetch at real clock speed against its floor, resample against polars, memory.

usage: bench_candles.py [memory|resample|fetch …]      (all without a word)

The fetch's floor is what the weight limit alone would take: with W the weight, u what was used of
this minute, L 95 % of the limit and K = ceil((W + u) / L) windows, the time to the next minute and
K - 2 whole minutes. It runs against the simulated exchange in a process of its own, then once more
with whole days from an archive of the same candles, which has to beat the floor.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from alphaqcm.data_collection.build.candles.resample import (
    ResampleJob,
    StoreSource,
    resample_store,
)
from alphaqcm.data_collection.build.candles.store import CandleStore, Covered
from alphaqcm.pipeline.candles.resample import WindowRule
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA, QUANTITIES, parse_offsets
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market

SYMBOLS, ROWS = 300, 4_340
BEGIN_MS = 1_772_000_100_000 // 300_000 * 300_000
SPOT, UM = 375, 298
START = "2026-03-10T12:03:20Z"


def start_exchange(folder: Path, *words: str) -> tuple[subprocess.Popen[bytes], str]:
    log = folder / "exchange.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "alphaqcm", "exchange", "--port", "0", *words], stdout=stream
        )
    while not (found := re.search(r"http://\S+", log.read_text())):
        time.sleep(0.1)
    return process, found[0]


def run_measured(folder: Path, words: list[str], url: str) -> tuple[str, float, str]:
    """What a command printed, its seconds, and its memory and processor time in words."""
    told = folder / "told.txt"
    environment = {**os.environ, "ALPHAQCM_TEST_CLOCK": url}
    began = time.perf_counter()
    with told.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "alphaqcm", *words], env=environment, stdout=stream,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)}: {told.read_text()}")
    cost = f"{usage.ru_maxrss / 1024:.0f} MB, {usage.ru_utime + usage.ru_stime:.0f} s of processor"
    return told.read_text(), time.perf_counter() - began, cost


def bench_fetch(folder: Path) -> None:
    """15 days of two markets at real clock speed: over REST, then with an archive before it."""
    process, url = start_exchange(
        folder, "--spot", str(SPOT), "--um", str(UM), "--trades-per-minute", "1",
        "--speed", "1", "--start", START,
    )  # fmt: skip
    words = ["candles", "fetch", "--exchange", url, "--days", "15", "--data-root"]
    try:
        told, took, cost = run_measured(folder, [*words, str(folder / "rest")], url)
        floor = max(float(one) for one in re.findall(r"at least (\d+) s", told))
        print(f"fetch: {took:6.1f} s, floor {floor:6.1f} s ({took - floor:+.1f} s), {cost}")
        print("   " + "\n   ".join(told.splitlines()))
        tree = archive_of(folder / "rest", folder / "archive")
        words += [str(folder / "seeded"), "--seed-from-archive", "--source", str(tree)]
        told, took, cost = run_measured(folder, words, url)
        print(f"fetch --seed-from-archive: {took:6.1f} s, {took / floor:.2f} of REST's floor, "
              f"{cost}")  # fmt: skip
        print("   " + "\n   ".join(told.splitlines()))
    finally:
        process.terminate()
        process.wait()


def archive_of(root: Path, tree: Path) -> Path:
    """Daily files of what was fetched, as the archive has them; the local tree it lies in."""
    names = ["open_time", *CANDLE_SCHEMA]
    for market, trade_type in ((Market.SPOT, "spot"), (Market.UM, "usdt_futures")):
        store = CandleStore(root, trade_type, "5m")
        for symbol in store.symbols():
            rows = pl.read_parquet(store.path(symbol)).with_columns(
                open_time=pl.col("candle_begin_time").dt.epoch("ms"),
                day=pl.col("candle_begin_time").dt.date(),
            )
            for (day,), part in rows.partition_by("day", as_dict=True).items():
                if part.height == 288:
                    file = Series(market, DataType.KLINES, symbol, "5m").file(Period.day(day))
                    write_daily(tree, file, part.select(names))
    return tree


def write_daily(tree: Path, file: ArchiveFile, rows: pl.DataFrame) -> None:
    lines = "".join(
        f"{row[0]},{','.join(map(repr, row[3:8]))},{row[0] + 299_999},{row[8]!r},{row[9]},"
        f"{row[10]!r},{row[11]!r},0\n"
        for row in rows.iter_rows()
    )
    path = tree / file.key
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(file.name.replace(".zip", ".csv"), lines)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tree / file.checksum_key).write_text(f"{digest}  {file.name}\n")


def candle_rows(rng: np.random.Generator) -> pl.DataFrame:
    begins = (BEGIN_MS + np.arange(ROWS) * 300_000) * 1000
    prices = np.round(100 + np.cumsum(rng.normal(0, 0.1, ROWS)), 2)
    values: dict[str, np.ndarray] = {
        "candle_end_time": begins + 300_000_000,
        "candle_begin_time": begins,
        "open": prices,
        "high": prices + 0.5,
        "low": prices - 0.5,
        "close": np.roll(prices, -1),
        **{name: np.round(rng.random(ROWS) * 1e4, 3) for name in QUANTITIES},
        "trade_num": rng.integers(0, 9000, ROWS),
    }
    return pl.DataFrame(values).select(pl.col(n).cast(t) for n, t in CANDLE_SCHEMA.items())


def fill_store(root: Path, symbols: int) -> CandleStore:
    store = CandleStore(root, "usdt_futures", "5m")
    rng = np.random.default_rng(1)
    covered = [Covered(BEGIN_MS, BEGIN_MS + ROWS * 300_000, "rest", "2026-03-10T00:00:00Z")]
    for number in range(symbols):
        store.add(f"S{number:03d}USDT", [candle_rows(rng)], covered)
    return store


def job_of(store: CandleStore, target: Path) -> ResampleJob:
    """Into a fresh folder: a file system may write out at once what replaces another file."""
    offsets = parse_offsets("all", WindowGrid.of("5m", "1h"))
    return ResampleJob(StoreSource(store), target, "1h", offsets, WindowRule.STRICT)


def polars_resample(store: CandleStore, target: Path) -> None:
    """The same files by group_by_dynamic: whole windows at every offset, one file a symbol."""
    files = [store.path(symbol) for symbol in store.symbols()]
    long = pl.concat(
        [pl.read_parquet(file).with_columns(symbol=pl.lit(file.stem)) for file in files]
    )
    sums = [pl.col(name).sum() for name in QUANTITIES]
    for number in range(12):
        hours = (
            long.group_by_dynamic(
                "candle_begin_time", every="1h", offset=f"{5 * number}m", group_by="symbol"
            )
            .agg(
                pl.col("candle_end_time").last(),
                pl.col("open").first(),
                pl.col("high").max(),
                pl.col("low").min(),
                pl.col("close").last(),
                *sums,
                pl.len().alias("parts"),
            )
            .filter(pl.col("parts") == 12)
            .drop("parts")
        )
        folder = target / f"{5 * number}m"
        folder.mkdir(parents=True)
        hours.write_parquet(target / f"{5 * number}m.parquet", compression="uncompressed")
        for (symbol,), part in hours.partition_by(
            "symbol", as_dict=True, include_key=False
        ).items():
            part.write_parquet(folder / f"{symbol}.parquet", compression="uncompressed")


def bench_resample(folder: Path) -> None:
    """Ours and the peer in turns, the best of three each; processor time is less noisy."""
    store = fill_store(folder / "resample", SYMBOLS)
    ours, theirs = [], []
    for turn in range(3):
        job = job_of(store, folder / f"ours{turn}")
        ours.append(_timed(lambda job=job: resample_store(job, lambda _: None)))
        target = folder / f"peer{turn}"
        theirs.append(_timed(lambda target=target: polars_resample(store, target)))
    print(f"resample of {SYMBOLS} symbols x {ROWS} candles x 12 offsets, seconds:")
    for number, name in enumerate(("wall", "processor")):
        one, other = (min(times[number] for times in found) for found in (ours, theirs))
        print(
            f"  {name:<10}{one:6.2f}  polars group_by_dynamic {other:6.2f}  ratio {one / other:.2f}"
        )


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def bench_memory(folder: Path) -> None:
    """The most memory of a fetch and of a resample, by number of symbols."""
    for symbols in (100, 700):
        process, url = start_exchange(
            folder, "--spot", "1", "--um", str(symbols), "--trades-per-minute", "1",
            "--speed", "60", "--start", START,
        )  # fmt: skip
        words = ["candles", "fetch", "--exchange", url, "--days", "4", "--market", "um"]
        try:
            target = str(folder / f"fetched{symbols}")
            _, took, cost = run_measured(folder, [*words, "--data-root", target], url)
            print(f"fetch of {symbols} symbols: {cost} ({took:.0f} s)", flush=True)
        finally:
            process.terminate()
            process.wait()
    for symbols in (100, 700):
        store = fill_store(folder / f"memory{symbols}", symbols)
        pid = os.fork()
        if pid == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            resample_store(job_of(store, folder / f"made{symbols}"), lambda _: None)
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            told = f"{after / 1024:.0f} MB, {(after - before) / 1024:.0f} of it by resample"
            print(f"resample of {symbols} symbols: {told}", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)


def main() -> None:
    benches = {"memory": bench_memory, "resample": bench_resample, "fetch": bench_fetch}
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or list(benches):
            benches[name](Path(folder))


if __name__ == "__main__":
    main()
