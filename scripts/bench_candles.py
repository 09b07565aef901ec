"""Speed of candles: a fetch at real clock speed against its floor, resample against polars.

usage: bench_candles.py [fetch|resample|memory …]      (all without a word)

The fetch's floor is what the weight limit alone would take: with W the weight, u what was used of
this minute, L 95 % of the limit and K = ceil((W + u) / L) windows, the time to the next minute and
K - 2 whole minutes. It runs against the simulated exchange in a process of its own.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
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

SYMBOLS, ROWS = 300, 4_340
BEGIN_MS = 1_772_000_100_000 // 300_000 * 300_000
SPOT, UM = 375, 298


def start_exchange(folder: Path, *words: str) -> tuple[subprocess.Popen[bytes], str]:
    log = folder / "exchange.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "alphaqcm", "exchange", "--port", "0", *words], stdout=stream
        )
    while not (found := re.search(r"http://\S+", log.read_text())):
        time.sleep(0.1)
    return process, found[0]


def bench_fetch(folder: Path) -> None:
    """15 days of two markets at real clock speed, and again from the floor's second run."""
    process, url = start_exchange(
        folder, "--spot", str(SPOT), "--um", str(UM), "--trades-per-minute", "1"
    )
    environment = {**os.environ, "ALPHAQCM_TEST_CLOCK": url}
    words = [sys.executable, "-m", "alphaqcm", "candles", "fetch", "--exchange", url]
    try:
        for run in ("first", "second"):  # the second finds the exchange's candles made
            began = time.perf_counter()
            done = subprocess.run(
                [*words, "--days", "15", "--data-root", str(folder / run)],
                env=environment, capture_output=True, text=True, check=True,
            )  # fmt: skip
            took = time.perf_counter() - began
            floors = [float(one) for one in re.findall(r"at least (\d+) s", done.stdout)]
            print(f"fetch, {run} run: {took:6.1f} s, floor {max(floors):6.1f} s")
            print("   " + "\n   ".join(done.stdout.splitlines()))
    finally:
        process.terminate()
        process.wait()


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
    """The most memory of a resample, by number of symbols."""
    for symbols in (50, 300):
        store = fill_store(folder / f"memory{symbols}", symbols)
        pid = os.fork()
        if pid == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            resample_store(job_of(store, folder / f"made{symbols}"), lambda _: None)
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            told = f"{after / 1024:.0f} MB, {(after - before) / 1024:.0f} of it by resample"
            print(f"{symbols} symbols: {told}", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)


def main() -> None:
    benches = {"memory": bench_memory, "resample": bench_resample, "fetch": bench_fetch}
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or list(benches):
            benches[name](Path(folder))


if __name__ == "__main__":
    main()
