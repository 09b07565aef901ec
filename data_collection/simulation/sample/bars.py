"""Bars: klines from trades or drawn directly, hours from minutes, and the reference prices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphaqcm.data_collection.simulation.sample.instruments import Instrument
from alphaqcm.data_collection.simulation.sample.price_process import MINUTES
from alphaqcm.data_collection.simulation.sample.table import Cells, Floats, Ints, Mask, Style, Table
from alphaqcm.data_collection.simulation.sample.trades import Trades
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US

REFERENCE_DECIMALS = 8


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of whole days, none left out; `there` tells which of them the archive has."""

    start: Ints  # us
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    quote: Ints
    count: Ints
    buy_volume: Ints
    buy_quote: Ints
    there: Mask
    length: int = MINUTE_US  # us


def from_trades(trades: Trades, contract: Instrument, start: int, before: int) -> Bars:
    """The minutes of the day that starts at `start`; `before` is the last close."""
    quote = trades.quote(contract)
    minute = (trades.time - start) // MINUTE_US
    edges = np.searchsorted(minute, np.arange(MINUTES + 1))
    busy = np.flatnonzero(edges[1:] > edges[:-1])
    first = edges[busy]

    def each(values: Ints, reduce: np.ufunc) -> Ints:
        result = np.zeros(MINUTES, dtype=np.int64)
        if len(busy):
            result[busy] = reduce.reduceat(values, first)
        return result

    buys = np.where(trades.sell, 0, 1)
    close = np.zeros(MINUTES, dtype=np.int64)
    close[busy] = trades.price[edges[busy + 1] - 1]
    last_busy = np.maximum.accumulate(_marks(busy))
    close = np.where(last_busy >= 0, close[last_busy], before)
    idle = np.ones(MINUTES, dtype=np.bool_)
    idle[busy] = False
    opening = close.copy()
    opening[busy] = trades.price[first]
    return Bars(
        start=start + np.arange(MINUTES, dtype=np.int64) * MINUTE_US,
        open=opening,
        high=np.where(idle, close, each(trades.price, np.maximum)),
        low=np.where(idle, close, each(trades.price, np.minimum)),
        close=close,
        volume=each(trades.quantity, np.add),
        quote=each(quote, np.add),
        count=each(trades.fills, np.add),
        buy_volume=each(trades.quantity * buys, np.add),
        buy_quote=each(quote * buys, np.add),
        there=np.ones(MINUTES, dtype=np.bool_),
    )


def _marks(busy: Ints) -> Ints:
    marks = np.full(MINUTES, -1, dtype=np.int64)
    marks[busy] = busy
    return marks


def hours(minutes: Bars) -> Bars:
    """The hours of `minutes`, from those minutes that are there."""
    there = minutes.there.reshape(-1, 60)
    any_there = there.any(axis=1)
    rows = np.arange(len(there))
    first = there.argmax(axis=1)
    last = 59 - there[:, ::-1].argmax(axis=1)

    def total(values: Ints) -> Ints:
        return np.asarray(np.where(there, values.reshape(-1, 60), 0).sum(axis=1), dtype=np.int64)

    highest = np.where(there, minutes.high.reshape(-1, 60), np.iinfo(np.int64).min).max(axis=1)
    lowest = np.where(there, minutes.low.reshape(-1, 60), np.iinfo(np.int64).max).min(axis=1)
    return Bars(
        start=minutes.start[::60],
        open=minutes.open.reshape(-1, 60)[rows, first],
        high=highest,
        low=lowest,
        close=minutes.close.reshape(-1, 60)[rows, last],
        volume=total(minutes.volume),
        quote=total(minutes.quote),
        count=total(minutes.count),
        buy_volume=total(minutes.buy_volume),
        buy_quote=total(minutes.buy_quote),
        there=np.asarray(any_there, dtype=np.bool_),
        length=HOUR_US,
    )


def from_samples(samples: Ints, start: Ints) -> Bars:
    """Minutes of a reference price from its samples, (minutes, samples a minute)."""
    zero = np.zeros(len(samples), dtype=np.int64)
    return Bars(
        start=start,
        open=samples[:, 0],
        high=samples.max(axis=1),
        low=samples.min(axis=1),
        close=samples[:, -1],
        volume=zero,
        quote=zero,
        count=zero,
        buy_volume=zero,
        buy_quote=zero,
        there=np.ones(len(samples), dtype=np.bool_),
    )


def reference(log_price: Floats, premium: Floats) -> dict[DataType, Ints]:
    """Samples of the three reference prices, in 1e-8, from the last price and its premium.

    index = price / (1 + premium); the mark price follows the index plus a smoothed premium.
    """
    scale = 10.0**REFERENCE_DECIMALS
    index = np.rint(np.exp(log_price) / (1 + premium) * scale).astype(np.int64)
    smooth = premium.mean(axis=1, keepdims=True)
    mark = np.rint(index * (1 + smooth)).astype(np.int64)
    return {
        DataType.MARK: mark,
        DataType.INDEX: index,
        DataType.PREMIUM: np.rint(premium * scale).astype(np.int64),
    }


def table(bars: Bars, data_type: DataType, contract: Instrument, market: Market) -> Table:
    """The rows of a kline file."""
    spot = market is Market.SPOT
    prices, lots = contract.price_decimals, contract.quantity_decimals
    quote_scale = REFERENCE_DECIMALS if contract.contract_size else prices + lots
    if data_type is not DataType.KLINES:
        prices, lots, quote_scale = REFERENCE_DECIMALS, 0, 0

    def decimal(values: Ints, scale: int) -> Cells:
        return Cells(values, Style.DECIMAL, scale, 8 if spot else scale)

    shut = bars.start + bars.length - 1
    missing_next = bars.there[:-1] & ~bars.there[1:]
    # beside an outage the archive's close time is wrong, and can lie before the open time
    shut[:-1][missing_next] = bars.start[:-1][missing_next] - 1
    rows = Table(
        bars.start,
        {
            "open_time": Cells(bars.start, Style.EPOCH),
            "open": decimal(bars.open, prices),
            "high": decimal(bars.high, prices),
            "low": decimal(bars.low, prices),
            "close": decimal(bars.close, prices),
            "volume": decimal(bars.volume, lots),
            "close_time": Cells(shut, Style.EPOCH),
            "quote_volume": decimal(bars.quote, quote_scale),
            "count": Cells(bars.count),
            "taker_buy_volume": decimal(bars.buy_volume, lots),
            "taker_buy_quote_volume": decimal(bars.buy_quote, quote_scale),
            "ignore": Cells(np.zeros(len(bars.start), dtype=np.int64)),
        },
    )
    return rows if bars.there.all() else rows.take(bars.there)


def trade_table(trades: Trades, contract: Instrument, market: Market) -> Table:
    """The rows of an aggTrades file."""
    spot = market is Market.SPOT
    cm_places = 1 if contract.contract_size else contract.quantity_decimals
    cells = {
        "agg_trade_id": Cells(trades.agg_id),
        "price": Cells(
            trades.price,
            Style.DECIMAL,
            contract.price_decimals,
            8 if spot else contract.tick_decimals,
        ),
        "quantity": Cells(
            trades.quantity, Style.DECIMAL, contract.quantity_decimals, 8 if spot else cm_places
        ),
        "first_trade_id": Cells(trades.first_id),
        "last_trade_id": Cells(trades.last_id),
        "transact_time": Cells(trades.time, Style.EPOCH),
        "is_buyer_maker": Cells(trades.sell.astype(np.int64), Style.FLAG),
    }
    if spot:
        cells["is_best_match"] = Cells(np.ones(len(trades), dtype=np.int64), Style.FLAG)
    return Table(trades.time, cells)
