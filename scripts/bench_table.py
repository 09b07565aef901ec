"""The final table against a plain copy: time and peak memory.

Simulated symbol tables (own columns, as they lie on disk) are built into the final parquet in a
process of its own, in turn with a process in which polars copies that parquet. Prints the medians,
their ratio and the peak memory of both; then the time of the CSVs of a few symbols, apart.

    bench_table.py [--symbols 90] [--hours 44880] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.features.columns import REGISTRY, SYMBOL_COLUMNS, DType
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.final_csv import write_final_csvs
from alphaqcm.pipeline.tables.symbol_table import SymbolReport
from alphaqcm.pipeline.tables.wide_table import build_final

FIRST_US = 1_577_836_800_000_000
SPAN = DateRange(date(2020, 1, 1), date(2025, 2, 12))


def symbols(count: int) -> list[Symbol]:
    return [Symbol(Market.UM, f"S{i:03d}USDT") for i in range(count)]


def simulate(layout: Layout, count: int, hours: int) -> None:
    """Tables of noise: the hardest case for compression, so the fairest for a copy."""
    for i, symbol in enumerate(symbols(count)):
        noise = np.random.default_rng(i)
        rows = hours - (i % 7) * (hours // 20)  # later listings
        columns = []
        for name in SYMBOL_COLUMNS:
            dtype = REGISTRY[name].dtype
            if name == "symbol":
                columns.append(pl.Series(name, [symbol.table]).new_from_index(0, rows))
            elif dtype is DType.TIME:
                hour = np.arange(hours - rows, hours) * 3_600_000_000 + FIRST_US
                columns.append(pl.Series(name, hour).cast(dtype.polars))
            elif dtype is DType.FLOAT:
                columns.append(pl.Series(name, noise.lognormal(size=rows)))
            else:
                columns.append(pl.Series(name, noise.integers(0, 2, rows)).cast(dtype.polars))
        frame = pl.DataFrame([c.alias(n) for c, n in zip(columns, SYMBOL_COLUMNS, strict=True)])
        path = layout.symbol_table(symbol)
        path.parent.mkdir(parents=True, exist_ok=True)
        report = SymbolReport(f"{i}", frame.height, None)
        Artifact(path, Fingerprint("symbol_table", i, ())).write(frame, asdict(report))


def build(root: Path, count: int) -> None:
    layout = Layout(root)
    layout.final_table().unlink(missing_ok=True)
    build_final(layout, symbols(count), SPAN)


def copy(root: Path) -> None:
    path = Layout(root).final_table()
    target = root / "copy.parquet"
    pl.scan_parquet(path).sink_parquet(target, compression="zstd")
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
    target.unlink()


def timed(what: str, root: Path, count: int) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of one process that does it."""
    code = (
        "import resource,sys,time,importlib.util,pathlib;"
        f"s=importlib.util.spec_from_file_location('b',{str(Path(__file__))!r});"
        "m=importlib.util.module_from_spec(s);s.loader.exec_module(m);"
        f"t=time.perf_counter();r=pathlib.Path({str(root)!r});"
        + (f"m.build(r,{count});" if what == "build" else "m.copy(r);")
        + "u=resource.getrusage(resource.RUSAGE_SELF);"
        "print(time.perf_counter()-t,u.ru_utime+u.ru_stime,u.ru_maxrss/1024)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    wall, cpu, peak = map(float, out.stdout.split())
    return wall, cpu, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=90)
    parser.add_argument("--hours", type=int, default=44_880)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        simulate(Layout(root), options.symbols, options.hours)
        timed("build", root, options.symbols)
        size = Layout(root).final_table().stat().st_size / 1e9
        print(f"{options.symbols} symbols x {options.hours} hours, {size:.2f} GB of parquet")
        runs: dict[str, list[tuple[float, float, float]]] = {"build": [], "copy": []}
        for _ in range(options.rounds):
            for what in runs:
                runs[what].append(timed(what, root, options.symbols))
        middle = {
            what: [statistics.median(column) for column in zip(*found, strict=True)]
            for what, found in runs.items()
        }
        for what, (wall, cpu, peak) in middle.items():
            print(f"{what:6s} wall {wall:6.1f} s, CPU {cpu:6.1f} s, peak {peak:6.0f} MB")
        ratio = middle["build"][0] / middle["copy"][0]
        print(f"build / polars copy: {ratio:.2f} of the time, 2 wanted")
        print("peak wanted: 1,500 MB at most, at 90 symbols x 44,880 hours")

        few = Layout(root / "few")
        simulate(few, 2, options.hours)
        build(few.root, 2)
        began = time.perf_counter()
        write_final_csvs(few)
        print(f"CSVs: {(time.perf_counter() - began) / 2:.2f} s a symbol")


if __name__ == "__main__":
    main()
