"""One symbol-year of minutes to all hourly columns, against a plain loop over its hours.

Ours: twelve month files read, every column computed, the symbol's table and its stages written; in
a fresh process with compiled kernels on disk, imports and loading the kernels not counted.
The peer is the usual way: pandas groups the minutes by hour, NumPy and pandas compute each group.
It runs over one month, reads and writes as ours does, and is scaled to the year. Both are taken in
turns; figures are medians of CPU seconds.

    bench_factors.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period, months_between
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.symbol_table import (
    build_symbol_table,
    read_inputs,
    table_fingerprint,
    write_symbol_table,
)

SYMBOL = Symbol(Market.UM, "BTCUSDT")
YEAR = DateRange(date(2023, 1, 1), date(2023, 12, 31))
WARM = DateRange(date(2023, 1, 1), date(2023, 1, 31))
MINUTES = 525_600
EPS = 1e-12

BAR_S = 0.8
BAR_TIMES = 40
BAR_MB = 600


def simulate(layout: Layout) -> None:
    noise = np.random.default_rng(1)
    close = np.round(100 * np.exp(np.cumsum(noise.standard_normal(MINUTES) * 5e-4)), 3)
    opened = np.concatenate(([100.0], close[:-1]))
    start = datetime(2023, 1, 1, tzinfo=UTC)
    year = pl.DataFrame(
        {
            "minute": pl.datetime_range(
                start, start + timedelta(minutes=MINUTES - 1), "1m", eager=True
            ),
            "open": opened,
            "high": np.round(np.maximum(opened, close) * (1 + noise.exponential(2e-4, MINUTES)), 3),
            "low": np.round(np.minimum(opened, close) * (1 - noise.exponential(2e-4, MINUTES)), 3),
            "close": close,
            "volume": np.round(noise.gamma(0.4, 50.0, MINUTES), 1),
        }
    )
    for month in months_between(YEAR.start, YEAR.end):
        rows = year.filter(pl.col("minute").dt.month() == month.start.month)
        path = layout.month_file(DataType.KLINES, "1m", SYMBOL.exchange, month)
        Artifact(path, Fingerprint("klines:1m", 1, ())).write(rows, {})


def build(layout: Layout, span: DateRange) -> None:
    """The factors step of a run, as it is done there."""
    fingerprint = table_fingerprint(layout, SYMBOL, span)
    table = build_symbol_table(SYMBOL, read_inputs(layout, SYMBOL, span), span)
    write_symbol_table(table, layout, SYMBOL, fingerprint)


def ours(root: Path) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak MB of a process that builds the year."""
    code = (
        "import resource,time,sys;from pathlib import Path;"
        f"sys.path.insert(0,{str(PROJECT / 'scripts')!r});import bench_factors as b;"
        f"layout=b.Layout(Path({str(root)!r}));b.build(layout,b.WARM);"
        "c,t=time.process_time(),time.perf_counter();b.build(layout,b.YEAR);"
        "print(time.process_time()-c,time.perf_counter()-t,"
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    cpu, wall, peak = map(float, out.stdout.split())
    return cpu, wall, peak


def usual(bars: pd.DataFrame) -> pd.DataFrame:
    """The same statistics hour by hour, as scripts do it."""
    rows = []
    for hour, group in bars.groupby(bars["minute"].dt.floor("h")):
        rows.append({"datetime": hour} | usual_hour(group))
    t = pd.DataFrame(rows).set_index("datetime")
    volume, close, before = t["volume"], t["close"], t["close"].shift()
    t["vwap"] = t["vwap"].ffill()
    t["gap_seconds"] = t.index.to_series().diff().dt.total_seconds()
    t["under_maintenance"] = (t["gap_seconds"] > 3605).astype(int)
    t["cooldown"] = t["under_maintenance"].rolling("2h", closed="both").max().astype(int)
    t["is_spike"] = np.log(close / before).abs() > 0.5
    window = volume.rolling(168, min_periods=24)
    t["is_volume_spike"] = ((volume - window.mean()) / (window.std() + 1e-8)).abs() > 5
    t["is_mature"] = np.arange(len(t)) >= 24
    flags = (t["cooldown"] == 0) & t["is_mature"] & ~t["is_spike"] & ~t["is_volume_spike"]
    t["is_valid"] = (flags & (t["kept"] >= 50)).astype(int)
    t["volume_clean"] = volume.clip(upper=volume.quantile(0.99))
    t["volume_clean_pit"] = np.minimum(volume, volume.expanding().quantile(0.99))
    t["rv_stability_24h"] = t["rv"] / (t["rv"].rolling(24).mean() + EPS)
    t["vol_regime"] = t["rv"] / t["rv"].rolling(168).mean()
    t["turnover"] = volume / volume.rolling(24).mean()
    reach = [t["high"] - t["low"], (t["high"] - before).abs(), (t["low"] - before).abs()]
    t["efficiency"] = t["rv"] / (pd.concat(reach, axis=1).max(axis=1).rolling(24).mean() / close)
    for rows_back in (1, 24, 168):
        t[f"returns_{rows_back}"] = close.pct_change(rows_back)
    return t


def usual_hour(g: pd.DataFrame) -> dict[str, float]:
    o, h, low, c, v = (g[name].to_numpy() for name in ("open", "high", "low", "close", "volume"))
    minute = g["minute"].dt.minute.to_numpy()
    out = {"open": o[0], "high": h.max(), "low": low.min(), "close": c[-1], "volume": v.sum()}
    out["vwap"] = ((h + low + c) / 3 * v).sum() / max(v.sum(), EPS)
    r = np.diff(np.log(np.maximum(c, EPS)), prepend=np.log(max(c[0], EPS)))
    head = c[minute < 45]
    if head.size:
        out["head"] = np.log(head[-1]) - np.log(o[0])
        out["tail"] = np.log(c[-1]) - np.log(head[-1])
        out["tail_minus_head"] = out["tail"] - out["head"]
        out["tail_share"] = out["tail"] / ((out["head"] + out["tail"]) or np.nan)
    local = g["minute"].iloc[[0, -1]].dt.tz_convert("America/New_York")
    out["us_open"] = np.log(c[29] / o[0]) if local.iloc[0].hour == 10 and len(c) > 29 else np.nan
    top = v >= np.quantile(v, 0.8)
    out["top"], out["top_r"] = top.mean(), r[top].sum()
    out["amihud"] = (r / np.maximum(v * c, EPS)).sum()
    out["amihud_abs"] = (np.abs(r) / np.maximum(v * c, EPS)).sum()
    x = np.arange(len(c))
    for name, price in (("close", c), ("high", h), ("low", low)):
        y = np.log(np.maximum(price, EPS))
        slope, start = np.polyfit(x, y, 1)
        left = ((y - slope * x - start) ** 2).sum()
        r2 = 1 - left / max(((y - y.mean()) ** 2).sum(), EPS)
        out |= {f"beta_{name}": 60 * slope, f"r2_{name}": r2, f"qrs_{name}": 60 * slope * r2}
    ratio = h / np.maximum(low, EPS)
    keep = (ratio <= 1.2) & (c > 0)
    h, low, c, v, r, minute, ratio = (a[keep] for a in (h, low, c, v, r, minute, ratio))
    out |= {"n": len(o), "kept": len(c), "mean": v.mean(), "std": v.std(), "ratio": ratio.std()}
    out["log_ratio"] = np.log(ratio).std()
    up, down = (r[r > 0] ** 2).sum(), (r[r < 0] ** 2).sum()
    out |= {"up": np.sqrt(up), "down": np.sqrt(down), "share": up / max(up + down, EPS)}
    out |= {"rv": r.std() * np.sqrt(60), "rv_l2": np.sqrt((r**2).sum())}
    returns, volumes = pd.Series(r[1:]), pd.Series(v / max(v.sum(), EPS))
    out |= {"skew": returns.skew(), "kurt": returns.kurt()}
    out |= {"skew_v": volumes.skew(), "kurt_v": volumes.kurt()}
    out["liq"] = (np.abs(r[1:]) / np.maximum(v[1:], EPS)).mean()
    for name, inside in (("last", minute >= 55), ("top10", minute < 10), ("first", minute < 5)):
        out[f"liq_{name}"] = v[inside].sum() / max(v.sum(), EPS)
    out["depth"] = ((h - low) / np.maximum(v, EPS)).mean()
    out["spread"] = ((h - low) / np.maximum(c, EPS)).std()
    out["tail_var"] = (r[minute >= 50] ** 2).sum() / max((r**2).sum(), EPS)
    out["tail_risk"] = np.sqrt(out["tail_var"])
    out |= {"cv": v.std() / (v.mean() + EPS), "rv_per_vol": out["rv"] / (v.mean() + EPS)}
    out |= {"down_share": down / max(up + down, EPS), "largest": ratio.max()}
    out["skratio"] = out["skew"] / (abs(out["kurt"]) + EPS)
    out["skratio_v"] = out["skew_v"] / (abs(out["kurt_v"]) + EPS)
    growth = np.clip(v[1:] / np.maximum(v[:-1], EPS) - 1, -10, 10)
    pairs = ((r[1:], v[1:]), (r[1:], growth), (c, v), (c[1:], v[:-1]), (c[:-1], v[1:]))
    for i, (a, b) in enumerate((*pairs, (c[1:], growth))):
        out[f"corr_{i}"] = np.corrcoef(a, b)[0, 1]
    for name, values in (("", r[1:]), ("bi", np.abs(r[1:]))):
        order = np.argsort(values)
        reached = np.cumsum(v[1:][order])
        for q in (0.6, 0.7, 0.8, 0.9, 0.95) if not name else (0.9,):
            place = min(np.searchsorted(reached, q * reached[-1]), len(order) - 1)
            out[f"doc_{q}{name}"] = values[order[place]]
    bins, _ = np.histogram(r[1:], bins=25, weights=v[1:])
    centred = bins - bins.mean()
    out |= {"doc_std": bins.std(), "doc_skew": (centred**3).mean() / (bins.std() ** 3 + EPS)}
    out["doc_kurt"] = (centred**4).mean() / (bins.std() ** 4 + EPS) - 3
    ranked = np.sort(bins)[::-1]
    for count in (5, 10, 25):
        out[f"doc_top{count}"] = ranked[:count].sum() / max(bins.sum(), EPS)
    return out


def peer(root: Path) -> float:
    """CPU seconds of the plain loop over a month, scaled to the year."""
    path = Layout(root).month_file(DataType.KLINES, "1m", SYMBOL.exchange, Period.month(YEAR.start))
    began = time.process_time()
    bars = pd.read_parquet(path)
    table = usual(bars)
    table.to_parquet(root / "plain.parquet")
    table.to_csv(root / "plain.csv")
    return (time.process_time() - began) * MINUTES / len(bars)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        simulate(Layout(root))
        ours(root)  # compiles what is not on disk yet
        mine, plain = [], []
        for _ in range(options.rounds):
            mine.append(ours(root))
            plain.append(peer(root))
    cpu, wall, peak = (statistics.median(column) for column in zip(*mine, strict=True))
    loop = statistics.median(plain)
    print(f"a symbol-year of minutes ({MINUTES:,}) to all its hourly columns")
    print(f"ours       {cpu:6.2f} CPU s ({wall:.2f} s wall), at most {BAR_S} wanted")
    print(f"plain loop {loop:6.2f} CPU s: {loop / cpu:.0f} times ours, {BAR_TIMES} wanted")
    print(f"peak       {peak:6.0f} MB, at most {BAR_MB} wanted")


if __name__ == "__main__":
    main()
