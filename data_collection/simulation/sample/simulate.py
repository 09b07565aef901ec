"""One symbol's archive as tables, block of days by block of days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby

import numpy as np

from alphaqcm.data_collection.simulation.sample import bars as bar
from alphaqcm.data_collection.simulation.sample.bars import Bars
from alphaqcm.data_collection.simulation.sample.funding_metrics import Funding, metrics
from alphaqcm.data_collection.simulation.sample.instruments import Instrument, instrument
from alphaqcm.data_collection.simulation.sample.market_events import MarketEvents, inside
from alphaqcm.data_collection.simulation.sample.price_process import MINUTES, Grid, Walk, rng
from alphaqcm.data_collection.simulation.sample.spec import BAR_TYPES, SampleSpec
from alphaqcm.data_collection.simulation.sample.table import Floats, Ints, Table
from alphaqcm.data_collection.simulation.sample.trades import Tape, Trades
from alphaqcm.pipeline.domain.registry import DataType

Kind = tuple[DataType, str]
"""A type and its interval, empty where it has none."""

QUIET = 8
"""Samples a minute of the reference prices where no trades are drawn."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some days of one symbol."""

    days: tuple[date, ...]
    tables: dict[Kind, Table]


def blocks(spec: SampleSpec, symbol: str) -> Iterator[Block]:
    """The symbol's days in order: one at a time, or a month at a time without trades."""
    contract = instrument(symbol, spec.market)
    fate = MarketEvents.of(symbol, contract.funding_hours, spec.traps)
    walk = Walk(spec.seed, contract, fate)
    maker = _Maker(spec, contract, fate)
    days = list(spec.all_days())
    if not spec.minutes_only:
        for day in days:
            yield maker.block(walk.block([day]))
        return
    for _, month in groupby(days, key=lambda day: (day.year, day.month)):
        yield maker.block(walk.block(list(month)))


class _Maker:
    """Turns blocks of the path into tables; keeps what goes on from block to block."""

    def __init__(self, spec: SampleSpec, contract: Instrument, fate: MarketEvents) -> None:
        self._spec, self._contract, self._fate = spec, contract, fate
        self._tape = Tape(spec.seed, contract, fate, spec.trades_per_day)
        self._funding = Funding(spec.seed, contract, fate)
        self._close = 0  # nothing traded yet

    def block(self, grid: Grid) -> Block:
        spec, contract = self._spec, self._contract
        if grid.starts[0] <= self._fate.listed or not self._close:
            self._close = self._first_price(grid)
        wanted = spec.simulated
        tables: dict[Kind, Table] = {}
        if spec.minutes_only:
            minutes, log_price = self._drawn(grid)
        else:
            trades, moments, logs = self._tape.day(grid, grid.days[0])
            minutes = bar.from_trades(trades, contract, int(grid.starts[0]), self._close)
            seconds = grid.starts[0] + np.arange(MINUTES * 60) * 1_000_000
            log_price = np.interp(seconds, moments, logs).reshape(-1, 60)
            self._trades(trades, tables)
        self._close = int(minutes.close[-1])
        minutes = replace(minutes, there=self._fate.has_bars(minutes.start))
        references = self._references(grid, minutes, log_price)
        for data_type in BAR_TYPES:
            if data_type in wanted:
                rows = minutes if data_type is DataType.KLINES else references[data_type]
                tables[data_type, "1h"] = bar.table(
                    bar.hours(rows), data_type, contract, spec.market
                )
                if data_type is DataType.KLINES or not spec.minutes_only:
                    tables[data_type, "1m"] = bar.table(rows, data_type, contract, spec.market)
        if DataType.FUNDING in wanted:
            tables[DataType.FUNDING, ""] = self._funding.rows(grid)
        if DataType.METRICS in wanted:
            marks = references[DataType.MARK].close
            tables[DataType.METRICS, ""] = metrics(
                grid, minutes, marks, contract, self._fate, spec.market
            )
        return Block(grid.days, tables)

    def _first_price(self, grid: Grid) -> int:
        """The price before the first trade: of the listing, else of the sample's start."""
        contract = self._contract
        minute = min(int(np.searchsorted(grid.starts, self._fate.listed)), len(grid.starts) - 1)
        price = float(np.exp(grid.log_price[minute])) * 10.0**contract.price_decimals
        return max(1, round(price / contract.tick)) * contract.tick

    def _trades(self, trades: Trades, tables: dict[Kind, Table]) -> None:
        if DataType.AGGTRADES in self._spec.simulated:
            tables[DataType.AGGTRADES, ""] = bar.trade_table(
                trades, self._contract, self._spec.market
            )

    def _references(self, grid: Grid, minutes: Bars, log_price: Floats) -> dict[DataType, Bars]:
        """Mark, index and premium minutes; a dead symbol's stand still."""
        per_minute = log_price.shape[1]
        moments = np.arange(len(minutes.start) * per_minute) / per_minute
        edges = np.arange(len(grid.premium))
        premium = np.interp(moments, edges, grid.premium).reshape(log_price.shape)
        dead = inside(minutes.start, self._fate.dead)
        if dead.any():
            last = minutes.close[dead] / 10.0**self._contract.price_decimals
            log_price[dead] = np.log(last)[:, None]
            premium[dead] = 0.0
        samples = bar.reference(log_price, premium)
        return {
            data_type: replace(bar.from_samples(values, minutes.start), there=minutes.there)
            for data_type, values in samples.items()
        }

    def _drawn(self, grid: Grid) -> tuple[Bars, Floats]:
        """Minutes without trades behind them, and samples of the log price within them."""
        contract = self._contract
        draws = np.concatenate(
            [
                rng(self._spec.seed, f"{contract.symbol} minutes", day).standard_normal(
                    (5, MINUTES)
                )
                for day in grid.days
            ],
            axis=1,
        )
        unit = 10.0**contract.price_decimals
        ticks = np.maximum(1, np.rint(np.exp(grid.log_price) * unit / contract.tick))
        price = ticks.astype(np.int64) * contract.tick
        mean = self._spec.trades_per_day * contract.activity / MINUTES * grid.activity
        count = np.rint(mean * np.exp(0.5 * draws[2])).astype(np.int64)
        count *= self._fate.trading(grid.starts)
        traded = count > 0
        known = np.maximum.accumulate(np.where(traded, np.arange(len(count)), -1))
        close = np.where(known >= 0, price[1:][known], self._close)
        opening = np.concatenate([[self._close], close[:-1]])
        opening = np.where(traded, opening, close)
        spread = np.abs(draws[:2]) * 3e-4 * np.sqrt(grid.activity) * (price[1:] / contract.tick)
        reach = np.rint(spread).astype(np.int64) * contract.tick * traded
        high = np.maximum(opening, close) + reach[0]
        low = np.maximum(contract.tick, np.minimum(opening, close) - reach[1])
        notional = count * 1_500.0 * np.exp(0.4 * draws[3])
        share = np.clip(0.5 + 0.15 * draws[4], 0.02, 0.98)
        typical = (high + low + close) // 3 // contract.tick * contract.tick
        if contract.contract_size:
            volume = np.rint(notional / contract.contract_size).astype(np.int64)
        else:
            lots = 10.0**contract.quantity_decimals
            volume = np.rint(notional / (typical / unit) * lots).astype(np.int64)
        volume = np.maximum(volume, count)
        bought = np.rint(volume * share).astype(np.int64)
        buy_quote, quote = (self._quote(amount, typical) for amount in (bought, volume))
        minutes = Bars(
            start=grid.starts,
            open=opening,
            high=high,
            low=low,
            close=close,
            volume=volume,
            quote=quote,
            count=count,
            buy_volume=bought,
            buy_quote=buy_quote,
            there=np.ones(len(close), dtype=np.bool_),
        )
        moments = np.arange(len(close) * QUIET) / QUIET
        edges = np.arange(len(grid.log_price))
        return minutes, np.interp(moments, edges, grid.log_price).reshape(-1, QUIET)

    def _quote(self, quantity: Ints, price: Ints) -> Ints:
        size = self._contract.contract_size
        if size:
            coins = quantity * (size * 10 ** (8 + self._contract.price_decimals))
            return np.asarray(coins // price, dtype=np.int64)
        return quantity * price
