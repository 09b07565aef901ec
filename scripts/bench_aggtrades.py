"""Measure aggTrades to minutes: against inflate alone, pandas in chunks and polars streaming.

Makes its own ZIPs of random trades (about 13 MB a million rows). Every peer reads the same ZIP in
the same process, turn by turn; printed are medians and their spread.

    python scripts/bench_aggtrades.py [--millions 10 40] [--rounds 5]
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.reading.aggtrades import aggregate_file, load_kernels
from alphaqcm.pipeline.reading.aggtrades.stream import read_pieces
from alphaqcm.pipeline.reading.zip_member import open_member

NAME = "BTCUSDT-aggTrades-2024-02.zip"
FILE = ArchiveFile.from_name(NAME, Market.UM)
COLUMNS = "agg_trade_id price quantity first_trade_id last_trade_id transact_time is_buyer_maker"
CHUNK = 1_000_000
BARS = {"inflate": 1.9, "pandas": 1 / 3.5, "polars": 0.5}


def write_trades(path: Path, rows: int, *, ordered: bool = True, seed: int = 7) -> None:
    """A month of random trades in one ZIP, a million rows at a time; or all of them shuffled."""
    rng = np.random.default_rng(seed)
    start, end = FILE.period.start_us // 1000, FILE.period.end_us // 1000
    times = np.sort(rng.integers(start, end, rows))
    times[1::2] = times[: len(times[1::2]) * 2 : 2]  # half of them share the millisecond before
    fills = np.cumsum(rng.geometric(0.5, rows)) + 4_600_000_000
    firsts = np.concatenate(([4_600_000_001], fills[:-1] + 1))
    order = np.arange(rows) if ordered else rng.permutation(rows)
    prices = np.round(43_000 + np.cumsum(rng.normal(0, 0.3, rows)), 1)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        archive.open(NAME.replace(".zip", ".csv"), "w", force_zip64=True) as stream,
    ):
        for at in range(0, rows, CHUNK):
            part = order[at : at + CHUNK]
            frame = pl.DataFrame(
                {
                    "agg_trade_id": part + 2_000_000_000,
                    "price": prices[part],
                    "quantity": np.round(rng.lognormal(-3.5, 1.6, len(part)) + 0.001, 3),
                    "first_trade_id": firsts[part],
                    "last_trade_id": fills[part],
                    "transact_time": times[part],
                    "is_buyer_maker": rng.random(len(part)) < 0.5,
                }
            )
            buffer = io.BytesIO()
            frame.write_csv(buffer, include_header=at == 0)
            stream.write(buffer.getvalue())


def ours(path: Path) -> None:
    aggregate_file(path, FILE)


def inflate(path: Path) -> None:
    """Pieces of 1 MB from isal with the CRC, in this thread alone: the fastest way known here."""
    with closing(read_pieces(open_member(path), 0, 0)) as pieces:
        for _ in pieces:
            pass


def with_pandas(path: Path) -> None:
    """Vectorised, a million rows a chunk."""
    import pandas as pd

    sums = []
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as stream:
        for rows in pd.read_csv(stream, chunksize=CHUNK):
            amount = rows["price"] * rows["quantity"]
            sell = rows["is_buyer_maker"]
            parts = pd.DataFrame(
                {
                    "minute": rows["transact_time"] // 60_000,
                    "base": rows["quantity"],
                    "quote": amount,
                    "buy_qty": rows["quantity"].where(~sell, 0.0),
                    "sell_qty": rows["quantity"].where(sell, 0.0),
                    "buy": amount.where(~sell, 0.0),
                    "sell": amount.where(sell, 0.0),
                    "buy_sq": (amount * amount).where(~sell, 0.0),
                    "sell_sq": (amount * amount).where(sell, 0.0),
                    "sells": sell.astype("int64"),
                    "whale_buy": amount.where(~sell & (amount >= 50_000), 0.0),
                    "whale_sell": amount.where(sell & (amount >= 50_000), 0.0),
                    "retail_buy": amount.where(~sell & (amount <= 1_000), 0.0),
                    "retail_sell": amount.where(sell & (amount <= 1_000), 0.0),
                    "raw": rows["last_trade_id"] - rows["first_trade_id"] + 1,
                }
            )
            by_minute = parts.groupby("minute", sort=True)
            prices = rows["price"].groupby(parts["minute"])
            sums.append(
                pd.concat([by_minute.sum(), prices.agg(["first", "last", "max", "min"])], axis=1)
            )
    pd.concat(sums).groupby(level=0).sum()


def with_polars(path: Path) -> None:
    """The CSV extracted (isal, no copy kept in memory), then the streaming engine."""
    with tempfile.NamedTemporaryFile(suffix=".csv", dir=path.parent) as csv:
        with closing(read_pieces(open_member(path), 0, 0)) as pieces:
            for piece in pieces:
                csv.write(memoryview(piece.buffer)[: piece.size])
        csv.flush()
        amount, sell = pl.col("price") * pl.col("quantity"), pl.col("is_buyer_maker")
        lazy = (
            pl.scan_csv(csv.name)
            .group_by(pl.col("transact_time") // 60_000)
            .agg(
                pl.len().alias("count"),
                pl.col("quantity").sum().alias("base"),
                amount.sum().alias("quote"),
                (pl.col("quantity") * ~sell).sum().alias("buy_qty"),
                (pl.col("quantity") * sell).sum().alias("sell_qty"),
                (amount * ~sell).sum().alias("buy"),
                (amount * sell).sum().alias("sell"),
                (amount * amount * ~sell).sum().alias("buy_sq"),
                (amount * amount * sell).sum().alias("sell_sq"),
                sell.sum().alias("sells"),
                (amount * (~sell & (amount >= 50_000))).sum().alias("whale_buy"),
                (amount * (sell & (amount >= 50_000))).sum().alias("whale_sell"),
                (amount * (~sell & (amount <= 1_000))).sum().alias("retail_buy"),
                (amount * (sell & (amount <= 1_000))).sum().alias("retail_sell"),
                pl.col("price").first().alias("first"),
                pl.col("price").last().alias("last"),
                pl.col("price").max().alias("high"),
                pl.col("price").min().alias("low"),
                (pl.col("last_trade_id") - pl.col("first_trade_id") + 1).sum().alias("raw"),
            )
        )
        lazy.collect(engine="streaming")


@dataclass
class Times:
    """Seconds of every round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def add(self, job: Callable[[Path], None], path: Path) -> None:
        """Run `job` once more."""
        wall, cpu = time.perf_counter(), time.process_time()
        job(path)
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)


def show(name: str, times: Times, rows: int) -> None:
    cpu, wall = statistics.median(times.cpu), statistics.median(times.wall)
    print(
        f"  {name:<8} CPU {cpu:7.3f} s ({min(times.cpu):.3f} to {max(times.cpu):.3f}), "
        f"{cpu / rows * 1e9:6.1f} ns a row; wall {wall:7.3f} s "
        f"({min(times.wall):.3f} to {max(times.wall):.3f})"
    )


def compare(path: Path, rows: int, rounds: int) -> None:
    """Every reader in turn, `rounds` times."""
    jobs = {"inflate": inflate, "ours": ours, "pandas": with_pandas, "polars": with_polars}
    times = {name: Times() for name in jobs}
    for job in (inflate, ours):
        job(path)  # the file into the page cache, the compiled code into memory
    for _ in range(rounds):
        for name, job in jobs.items():
            times[name].add(job, path)
    print(f"{rows / 1e6:g} million rows, {path.stat().st_size / 1e6:.0f} MB zipped")
    for name in jobs:
        show(name, times[name], rows)
    own = statistics.median(times["ours"].cpu)
    for name, bar in BARS.items():
        ratio = own / statistics.median(times[name].cpu)
        print(f"  CPU of ours to {name:<8} {ratio:.2f} (bar {bar:.2f})")
    walls = [a / b for a, b in zip(times["ours"].wall, times["inflate"].wall, strict=True)]
    print(
        f"  wall of ours to inflate {statistics.median(walls):.2f}, best {min(walls):.2f} "
        f"(bar 1.30 in the good state), {min(walls):.2f} to {max(walls):.2f}"
    )


_CHILD = """
import sys, time
begin = time.perf_counter()
from pathlib import Path
from alphaqcm.pipeline.reading.aggtrades import aggregate_file, load_kernels
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import Market
load_kernels(lambda: print("compiles", end=" "))
ready = time.perf_counter() - begin
cpu = time.process_time()
if len(sys.argv) > 1:
    path = Path(sys.argv[1])
    result = aggregate_file(path, ArchiveFile.from_name(path.name, Market.UM), spill=path.parent)
    print(result.counters.sorted_files, end=" ")
cpu = time.process_time() - cpu
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(f"{ready:.3f} {cpu:.2f} {int(status['VmHWM'].split()[0]) // 1024}")
"""


def child(*words: str) -> list[str]:
    """What a fresh process says."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[10, 40], metavar="N")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, help="where the ZIPs are made (system's temp folder)"
    )
    arguments = parser.parse_args()
    load_kernels(lambda: print("compiling for this machine, once"))
    starts = sorted(float(child()[0]) for _ in range(5))
    print(f"start-up of a worker with the compiled code cached: {starts[2]:.2f} s (bar 1.50)")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temp:
        for millions in arguments.millions:
            rows = int(millions * 1e6)
            path = Path(temp) / NAME
            write_trades(path, rows)
            rounds = arguments.rounds if millions <= 10 else max(2, arguments.rounds // 2)
            compare(path, rows, rounds)
            print(f"  peak memory of a process {child(str(path))[-1]} MB (bar 300)")
        rows = int(min(arguments.millions) * 1e6)
        write_trades(path, rows, ordered=False)
        _, _, cpu, peak = child(str(path))
        print(f"{rows / 1e6:g} million rows shuffled: CPU {cpu} s, peak {peak} MB (bar 1000)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
