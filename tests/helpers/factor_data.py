"""Simulated inputs of symbol tables, with the odd hours that definitions are about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import METRICS, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.features.factors.assemble import NEEDED, Inputs
from alphaqcm.pipeline.features.factors.orderflow import COUNTS, MINUTE_PRICES
from alphaqcm.pipeline.features.factors.segments import TIME
from alphaqcm.pipeline.reading.aggtrades.model import FLOW_SUMS
from alphaqcm.pipeline.reading.csv_reader import read_archive
from alphaqcm.pipeline.storage.artifact import Fingerprint
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.symbol_table import (
    SymbolTable,
    build_symbol_table,
    write_symbol_table,
)

SYMBOL = Symbol(Market.UM, "BTCUSDT")

# how many minutes an odd hour has; the hours between are whole
ODD_HOURS = {3: 1, 4: 2, 5: 9, 6: 10, 7: 11, 8: 12, 9: 3, 30: 13}
OUTAGE = range(40, 45)
NO_VOLUME = (11, 12)
CONSTANT_PRICE = (13,)
CONSTANT_VOLUME = (14,)
WIDE_RANGES = {15: 55, 16: 5}  # hour -> rows with a range that cannot be real
NO_PRICE = (17,)
ALL_ZERO = (18,)
LATE_ONLY = (19,)  # minutes from 45 on
FEW_RETURNS = (20,)
DEAD_FROM_MINUTE_50 = (21,)
JUMP = 60


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def empty(field: str) -> pl.DataFrame:
    return pl.DataFrame(schema=NEEDED[field])


def klines(span: DateRange, seed: int, *, odd: bool = True, price: float = 100.0) -> pl.DataFrame:
    """1m klines of every day of `span`; hours are counted from its start."""
    noise = np.random.default_rng(seed)
    n = ((span.end - span.start).days + 1) * 1440
    step = noise.standard_normal(n) * 6e-4 * np.where(noise.random(n) < 0.7, 1, 0)
    close = np.round(price * np.exp(np.cumsum(step)), 3)
    opened = np.concatenate(([price], close[:-1]))
    high = np.round(np.maximum(opened, close) * (1 + noise.exponential(2e-4, n)), 3)
    low = np.round(np.minimum(opened, close) * (1 - noise.exponential(2e-4, n)), 3)
    volume = np.round(noise.gamma(0.4, 50.0, n), 1)
    volume[noise.random(n) < 0.1] = 0.0
    index = np.arange(n)
    hour, minute = index // 60, index % 60
    keep = np.ones(n, bool)
    if odd:
        for odd_hour, count in ODD_HOURS.items():
            chosen = noise.permutation(60)[:count]
            keep &= (hour != odd_hour) | np.isin(minute, chosen)
        keep &= ~np.isin(hour, OUTAGE)
        keep &= ~np.isin(hour, LATE_ONLY) | (minute >= 45)
        volume[np.isin(hour, NO_VOLUME)] = 0.0
        volume[np.isin(hour, CONSTANT_VOLUME)] = 0.1
        for odd_hour in CONSTANT_PRICE:
            close[hour == odd_hour] = 0.7
        for odd_hour, rows in WIDE_RANGES.items():
            wide = (hour == odd_hour) & (minute < rows)
            high[wide] = low[wide] * 1.25
        close[np.isin(hour, NO_PRICE) & (minute % 7 == 0)] = 0.0
        for odd_hour in ALL_ZERO:
            flat = hour == odd_hour
            opened[flat] = high[flat] = low[flat] = close[flat] = volume[flat] = 0.0
        for odd_hour in FEW_RETURNS:
            close[hour == odd_hour] = np.where(minute[hour == odd_hour] < 30, 2.0, 2.002)
        dead = np.isin(hour, DEAD_FROM_MINUTE_50) & (minute >= 50)
        close[dead] = 5.0
        close[hour >= JUMP] *= 3.0
    start = midnight(span.start)
    return pl.DataFrame(
        {
            "minute": pl.Series([start + timedelta(minutes=int(i)) for i in index], dtype=TIME),
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
        }
    ).filter(pl.Series(keep))


def aggtrades(bars: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Minutes of order flow for two thirds of the bars' minutes; odd zeros among them."""
    noise = np.random.default_rng(seed + 1000)
    traded = pl.Series(noise.random(bars.height) < 0.66)
    rows = bars.filter(traded, pl.col("minute").dt.hour() != 17)
    n = rows.height
    columns: dict[str, object] = {"minute": rows["minute"]}
    for name in FLOW_SUMS:
        values = noise.integers(0, 40, n) if name in COUNTS else noise.gamma(0.5, 900.0, n)
        values = np.where(noise.random(n) < 0.3, 0, values)
        columns[name] = values.astype(np.float64)
    columns["trade_count"] = (
        columns["taker_buy_trade_count"] + columns["taker_sell_trade_count"] + 1
    )
    for name in MINUTE_PRICES:
        columns[name] = np.round(100 + noise.standard_normal(n), 2)
    quiet = rows["minute"].dt.hour().to_numpy() == 4
    for name in FLOW_SUMS:
        columns[name] = np.where(quiet & (name != "trade_count"), 0.0, columns[name])
    columns["price_first"] = np.where(quiet, 100.25, columns["price_first"])
    columns["price_last"] = np.where(quiet, 100.25, columns["price_last"])
    return pl.DataFrame(columns).cast(pl.Schema(NEEDED["aggtrades"]))


def settlements(span: DateRange, seed: int, hours: int = 8) -> pl.DataFrame:
    """Settlements from the first of the month on, a few ms late; none for 32 hours in between."""
    noise = np.random.default_rng(seed + 2000)
    first = midnight(span.start.replace(day=1))
    count = ((span.end - first.date()).days + 1) * 24 // hours
    quiet = midnight(span.start) + timedelta(days=3)
    kept = [
        i
        for i in range(count)
        if not quiet <= first + timedelta(hours=hours * i) < quiet + timedelta(hours=32)
    ]
    return pl.DataFrame(
        {
            "calc_time": [
                first + timedelta(hours=hours * i, milliseconds=int(noise.integers(0, 18)))
                for i in kept
            ],
            "funding_interval_hours": [None if i % 11 == 5 else float(hours) for i in kept],
            "last_funding_rate": [round(float(noise.normal(0, 3e-4)), 8) for _ in kept],
        },
        schema=NEEDED["funding"],
    )


def metrics(span: DateRange, seed: int) -> pl.DataFrame:
    """5-minute rows by file date, period-end labels, with nulls and a missing day."""
    noise = np.random.default_rng(seed + 3000)
    rows = []
    for offset in range((span.end - span.start).days + 1):
        day = span.start + timedelta(days=offset)
        if offset == 3:
            continue
        for i in range(288):
            known = midnight(day) + timedelta(minutes=5 * (i + 1))
            values = [
                None if noise.random() < 0.2 else round(float(noise.gamma(2.0, 1000.0)), 3)
                for _ in METRICS
            ]
            rows.append((known, day, *values))
    return pl.DataFrame(rows, schema=NEEDED["metrics"], orient="row")


def bars_1h(span: DateRange, seed: int) -> pl.DataFrame:
    """1h closes of the price triad, one in nine missing."""
    noise = np.random.default_rng(seed + 4000)
    hours = range(((span.end - span.start).days + 1) * 24)
    kept = [h for h in hours if noise.random() > 0.11]
    return pl.DataFrame(
        {
            "open_time": [midnight(span.start) + timedelta(hours=h) for h in kept],
            "close": [round(float(100 + noise.standard_normal()), 4) for _ in kept],
        },
        schema=NEEDED["mark"],
    )


def inputs(span: DateRange, seed: int = 1, *, odd: bool = True, funding_hours: int = 8) -> Inputs:
    """Everything a symbol table is made of."""
    bars = klines(span, seed, odd=odd)
    return Inputs(
        klines=bars,
        aggtrades=aggtrades(bars, seed),
        mark=bars_1h(span, seed),
        index=bars_1h(span, seed + 1),
        premium=bars_1h(span, seed + 2),
        funding=settlements(span, seed, funding_hours),
        metrics=metrics(span, seed),
    )


def only_klines(bars: pl.DataFrame) -> Inputs:
    """Inputs of nothing but minutes."""
    rest = {field: empty(field) for field in NEEDED if field != "klines"}
    return Inputs(klines=bars.select(list(NEEDED["klines"])), **rest)


def real_klines(real: Path, exchange: str) -> pl.DataFrame:
    """Binance's own minutes of 2024-02."""
    key = f"data/futures/um/monthly/klines/{exchange}/1m/{exchange}-1m-2024-02.zip"
    frame = read_archive(real / "archive" / key, ArchiveFile.parse(key)).frame
    return frame.rename({"open_time": "minute"})


@dataclass(frozen=True)
class SmallRoot:
    """A data root with the symbol tables of a few simulated symbols."""

    layout: Layout
    symbols: list[Symbol]
    tables: dict[str, SymbolTable]
    span: DateRange


def small_root(folder: Path, *, days: int = 9) -> SmallRoot:
    """Four symbols: one listed late, one without metrics, one without any row."""
    span = DateRange(date(2024, 2, 26), date(2024, 2, 26) + timedelta(days=days - 1))
    layout = Layout(folder)
    made = {}
    symbols = []
    for seed, name in enumerate(("ZZZUSDT", "AAAUSDT", "1000SHIBUSDT", "GONEUSDT")):
        symbol = Symbol(Market.UM, name)
        given = inputs(span, seed + 1, odd=seed == 0)
        if name == "AAAUSDT":
            given = Inputs(
                **{field: getattr(given, field) for field in NEEDED if field != "metrics"},
                metrics=empty("metrics"),
            )
        if name == "1000SHIBUSDT":
            late = pl.col("minute") >= midnight(span.end)
            given = Inputs(
                **{field: getattr(given, field) for field in NEEDED if field != "klines"},
                klines=given.klines.filter(late),
            )
        if name == "GONEUSDT":
            given = only_klines(empty("klines"))
        table = build_symbol_table(symbol, given, span)
        made[symbol.table] = table
        symbols.append(symbol)
        write_symbol_table(table, layout, symbol, Fingerprint("symbol_table", 1, ()))
    return SmallRoot(layout, symbols, made, span)
