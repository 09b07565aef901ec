"""The start of the live columns: the wide table of a data root, then what was recorded since."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from alphaqcm.data_collection.build.last_run import load_settings
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.events import BarSource, Bus, ClosedBar, LiveTrade
from alphaqcm.data_collection.live.factor_engine import FactorEngine
from alphaqcm.data_collection.live.record.day_parts import DayParts, Kind, read_rows
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import EPOCH_US_FROM, DataType, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.domain.time import DAY_US, MINUTE_US, epoch_us
from alphaqcm.pipeline.reading.aggtrades.trade_rows import aggregate_rows, trade_frame
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.live_start import warm_engine


def open_factors(
    data_root: Path,
    market: Market,
    bus: Bus,
    clock: ExchangeClock,
    trading: Callable[[], Collection[str]],
    alert: Callable[[str, str], None],
) -> FactorEngine:
    """The live columns, warm: after the table's last day, and after what was recorded since then.

    Takes seconds for a large table. Raises `TableError`, `LayerError`, `UsageError` where the root
    cannot be gone on from.
    """
    settings = load_settings(Layout(data_root, market).temp, market)
    end = settings.span.end
    symbols = [Symbol(market, name) for name in settings.symbols]
    engine = warm_engine(settings.layout, symbols, end)
    factors = FactorEngine(engine, market, bus, clock, trading, alert)
    parts = DayParts(data_root, market)
    for symbol in engine.symbols:
        _take_recorded(factors, parts, symbol, end, clock)
    factors.settle()
    return factors


def _take_recorded(
    factors: FactorEngine, parts: DayParts, symbol: str, end: date, clock: ExchangeClock
) -> None:
    """The minutes that were recorded after the table's last day."""
    days = list(_days(end + timedelta(days=1), clock))
    bars = [
        bar
        for day in days
        for bar in _bars(parts.path(Kind.KLINES, symbol, day), parts.market, symbol)
    ]
    trades = {
        trade.agg_id: trade
        for day in days
        for trade in _trades(parts.path(Kind.AGG_TRADES, symbol, day), parts.market, symbol)
    }
    if not bars:
        return
    series = Series(parts.market, DataType.AGGTRADES, symbol, "")
    flow = aggregate_rows(trade_frame(trades.values()), series).frame
    minutes = flow["minute"].cast(pl.Int64).to_list()
    counts = dict(zip(minutes, flow["raw_trade_count"].to_list(), strict=True))
    # a minute's trades are all there when they are as many as its candle has
    whole = {bar.open_time_us for bar in bars if bar.trade_num == counts.get(bar.open_time_us, 0)}
    kept = flow.filter(pl.Series([minute in whole for minute in minutes], dtype=pl.Boolean))
    rest = [one for one in trades.values() if one.time_us // MINUTE_US * MINUTE_US not in whole]
    factors.recorded(symbol, bars, kept, sorted(whole), rest)


def _days(first: date, clock: ExchangeClock) -> Iterator[int]:
    yield from range(epoch_us(first) // DAY_US, int(clock.now() * 1e6) // DAY_US + 1)


def _bars(path: Path, market: Market, symbol: str) -> Iterator[ClosedBar]:
    """A part's candles; one that is there twice counts as it was recorded last."""
    if not path.exists():
        return
    found = {row[0]: row for row in read_rows(path)}
    for row in found.values():
        open_, high, low, close, volume = (float(text) for text in row[1:6])
        yield ClosedBar(
            market, symbol, "1m", int(row[0]) * 1000, open_, high, low, close, volume,
            float(row[7]), int(row[8]), float(row[9]), float(row[10]), BarSource.ARCHIVE_DAILY,
        )  # fmt: skip


def _trades(path: Path, market: Market, symbol: str) -> Iterator[LiveTrade]:
    if not path.exists():
        return
    for row in read_rows(path):
        time = int(row[5])
        yield LiveTrade(
            market, symbol, int(row[0]), int(row[3]), int(row[4]),
            time if time >= EPOCH_US_FROM else time * 1000, float(row[1]), float(row[2]),
            row[6].lower() == "true",
        )  # fmt: skip
