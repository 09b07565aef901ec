"""The wide table's live columns at each hour: a part of the live client, told on its bus.

    1m candles and trades of the bus -> minutes -> `HourEngine` -> FactorRow a symbol, FactorHour

A symbol's hour is whole when all its minutes have their candle (or are known to have none) and all
their trades. An hour is told when all symbols that trade have it whole, or some time after its end
with the late ones named; a late one's own row follows when it is whole.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import polars as pl

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.events import (
    Bus,
    ClosedBar,
    Control,
    ControlKind,
    Event,
    FactorHour,
    FactorRow,
    LiveTrade,
)
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US
from alphaqcm.pipeline.features.stream.hour_engine import HourEngine, HourRows
from alphaqcm.pipeline.reading.aggtrades.minutes import Workspace
from alphaqcm.pipeline.reading.aggtrades.trade_rows import MinuteBuilder

INTERVAL = "1h"
EXPIRE_SEC = 40.0
_BARS = "1m"
_WHOLE = (1 << 60) - 1
_MANY = 200  # trades of a symbol that wait
_NAMED = 10
_PATIENCE_US = 3 * HOUR_US  # for the missing hour of a symbol, while later ones are kept


@dataclass(slots=True)
class _Hour:
    """Which minutes of a symbol's hour are there, a bit each."""

    bars: int = 0
    trades: int = 0

    @property
    def whole(self) -> bool:
        """Whether all are."""
        return self.bars == self.trades == _WHOLE

    @property
    def traded_minutes(self) -> int:
        """Minutes from the hour's start on that have all their trades."""
        return (~self.trades & (self.trades + 1)).bit_length() - 1


@dataclass(slots=True)
class _Symbol:
    builder: MinuteBuilder
    condensed_us: int = 0  # up to where trades were made to minutes
    hours: dict[int, _Hour] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)  # trades told, by minute
    wanted: dict[int, int] = field(default_factory=dict)  # trades of a minute by its candle

    def forget(self, until_us: int) -> None:
        """Drop the hours that end at or before a moment."""
        self.hours = {at: hour for at, hour in self.hours.items() if at >= until_us}
        self.counts = Counter({at: n for at, n in self.counts.items() if at >= until_us})
        self.wanted = {at: n for at, n in self.wanted.items() if at >= until_us}


class FactorEngine:
    """Subscribe `on_event` to the bus and keep `run` running.

    `trading` tells the symbols that are followed and trade. `counts` are rows and hours told,
    late symbols, minutes that came after their hour.
    """

    def __init__(
        self,
        engine: HourEngine,
        market: Market,
        bus: Bus,
        clock: ExchangeClock,
        trading: Callable[[], Collection[str]],
        alert: Callable[[str, str], None],
        *,
        expire_sec: float = EXPIRE_SEC,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._engine, self._market, self._bus, self._clock = engine, market, bus, clock
        self._trading, self._alert, self._expire_sec = trading, alert, expire_sec
        space = Workspace()
        self._symbols = {
            name: _Symbol(MinuteBuilder(Series(market, DataType.AGGTRADES, name, ""), space=space))
            for name in engine.symbols
        }
        self._ready: dict[int, list[str]] = {}  # whole and not computed
        self._closed: dict[int, set[str]] = {}  # computed and not told
        begins = [engine.next_us(name) for name in engine.symbols]
        self._told_us = min(begins, default=0) - HOUR_US  # the last hour that was told
        self._flushing = False

    def on_event(self, event: Event) -> None:
        """Take in what closes; computes at the end of the turn of the event loop."""
        if isinstance(event, LiveTrade):
            if event.symbol in self._symbols:
                self._trade(event)
        elif isinstance(event, ClosedBar):
            if event.interval == _BARS and event.symbol in self._symbols:
                self._bar(event)
        elif isinstance(event, Control) and event.symbol in self._symbols:
            if event.kind is ControlKind.TRADED:
                if not event.detail.get("exact", True):
                    self.counts["inexact minutes"] += 1
                self._traded(event.symbol, event.time_us)
            elif event.kind is ControlKind.GAP:
                self._mark(event.symbol, event.time_us, bars=True, trades=True)

    def recorded(
        self, symbol: str, bars: Iterable[ClosedBar], flow: pl.DataFrame, whole: Iterable[int],
        rest: Iterable[LiveTrade],
    ) -> None:  # fmt: skip
        """What was recorded before this start: candles, minutes of trades and which are whole.

        `rest` are trades of minutes that are not. Call `settle` when all symbols have theirs.
        """
        for bar in bars:
            self._bar(bar)
        self._engine.add_flow(symbol, flow)
        for minute_us in whole:
            self._mark(symbol, minute_us, trades=True)
        for trade in rest:
            self._trade(trade)

    def fill(self, symbol: str, bars: Iterable[ClosedBar]) -> None:
        """Candles of a start's history, which the bus does not tell."""
        if symbol in self._symbols:
            next_us = self._engine.next_us(symbol)
            for bar in bars:
                if bar.open_time_us >= next_us and bar.interval == _BARS:
                    self._bar(bar)

    def settle(self) -> None:
        """Compute the hours that were recorded whole; they are not told."""
        self._compute()
        for hour_us in sorted(self._closed):
            if hour_us + HOUR_US + self._expire_sec * 1e6 < self._clock.now() * 1e6:
                self._engine.publish(hour_us)
                del self._closed[hour_us]
                self._told_us = hour_us

    async def run(self) -> None:
        """Tell each hour at the latest when its time is over, until cancelled."""
        while True:
            hour_us = int(self._clock.now() - self._expire_sec) * 1_000_000 // HOUR_US * HOUR_US
            await self._clock.sleep_until((hour_us + HOUR_US) / 1e6 + self._expire_sec)
            if self._told_us < hour_us:
                self._compute()
                self._tell(hour_us, self._missing(hour_us))

    def _bar(self, bar: ClosedBar) -> None:
        values = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        self._engine.add_bar(bar.symbol, bar.open_time_us, values)
        known = self._symbols[bar.symbol]
        known.wanted[bar.open_time_us] = bar.trade_num
        self._mark(bar.symbol, bar.open_time_us, bars=True)
        if known.counts[bar.open_time_us] == bar.trade_num:
            self._traded(bar.symbol, bar.open_time_us + MINUTE_US)

    def _trade(self, trade: LiveTrade) -> None:
        known, minute_us = self._symbols[trade.symbol], trade.time_us // MINUTE_US * MINUTE_US
        known.builder.push(trade)
        known.counts[minute_us] += trade.last_id - trade.first_id + 1
        if known.counts[minute_us] == known.wanted.get(minute_us):
            self._traded(trade.symbol, minute_us + MINUTE_US)

    def _traded(self, symbol: str, until_us: int) -> None:
        self._mark(symbol, until_us - MINUTE_US, trades=True)

    def _mark(
        self, symbol: str, minute_us: int, *, bars: bool = False, trades: bool = False
    ) -> None:
        hour_us = minute_us // HOUR_US * HOUR_US
        next_us = self._engine.next_us(symbol)
        if hour_us < next_us:
            self.counts["after its hour"] += 1
            return
        hours = self._symbols[symbol].hours
        hour = hours.setdefault(hour_us, _Hour())
        bit = 1 << (minute_us - hour_us) // MINUTE_US
        hour.bars |= bit * bars
        hour.trades |= bit * trades
        if trades and hour_us == next_us:
            self._condense(symbol, hour_us)
        if hour.whole and hour_us == next_us and symbol not in self._ready.get(hour_us, ()):
            self._ready.setdefault(hour_us, []).append(symbol)
            self._flush_soon()

    def _condense(self, symbol: str, hour_us: int) -> None:
        """Make minutes of the trades up to the first minute that may get more of them.

        Not of every few trades: a call costs as much as a hundred of them.
        """
        known = self._symbols[symbol]
        hour = known.hours[hour_us]
        until_us = hour_us + hour.traded_minutes * MINUTE_US
        enough = hour.trades == _WHOLE or known.builder.waiting >= _MANY
        if enough and until_us > known.condensed_us:
            known.condensed_us = until_us
            self._engine.add_flow_columns(symbol, known.builder.close_columns(until_us))

    def _flush_soon(self) -> None:
        """Symbols close by the hundred: they are computed together."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # before the start: `settle` computes
            return
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._compute()
        for hour_us in sorted(self._closed):
            missing = self._missing(hour_us)
            if all(self._is_cold(symbol, hour_us) for symbol in missing):
                self._tell(hour_us, missing)

    def _compute(self) -> None:
        """Compute what is whole, hour after hour."""
        while self._ready:
            hour_us = min(self._ready)
            symbols = self._ready.pop(hour_us)
            own = self._engine.close(symbols, hour_us)
            for symbol in symbols:
                known = self._symbols[symbol]
                known.forget(hour_us + HOUR_US)
                following = known.hours.get(hour_us + HOUR_US)
                if following is None:
                    continue
                self._condense(symbol, hour_us + HOUR_US)
                if following.whole:
                    self._ready.setdefault(hour_us + HOUR_US, []).append(symbol)
            if hour_us <= self._told_us:  # late: its own columns, the others were told without it
                self._engine.publish(hour_us)
                self._tell_rows(hour_us, own)
            else:
                self._closed.setdefault(hour_us, set()).update(symbols)

    def _missing(self, hour_us: int) -> list[str]:
        """Symbols that trade and do not have the hour."""
        there = self._closed.get(hour_us, set())
        return sorted((set(self._trading()) & set(self._symbols)) - there)

    def _is_cold(self, symbol: str, hour_us: int) -> bool:
        """Whether an earlier hour is missing, of which nothing is on its way."""
        next_us = self._engine.next_us(symbol)
        return next_us < hour_us and next_us not in self._symbols[symbol].hours

    def _tell(self, hour_us: int, late: list[str]) -> None:
        rows: HourRows = self._engine.publish(hour_us, late)
        self._closed.pop(hour_us, None)
        self._told_us = max(self._told_us, hour_us)
        self._tell_rows(hour_us, rows.frame)
        self._bus.publish(FactorHour(self._market, INTERVAL, hour_us, rows.frame.height, rows.late))
        self.counts["hours"] += 1
        self.counts["late"] += len(late)
        for symbol in self._symbols:
            if self._is_cold(symbol, hour_us):
                self._drop(symbol, hour_us - _PATIENCE_US)
        if late:
            cold = sum(self._is_cold(symbol, hour_us) for symbol in late)
            named = ", ".join(late[:_NAMED]) + (" …" if len(late) > _NAMED else "")
            why = f"; {cold} lack earlier hours: update the data root" if cold else ""
            self._alert("factors", f"{len(late)} symbols without their factors: {named}{why}")

    def _drop(self, symbol: str, before_us: int) -> None:
        """Keep no more of a symbol that cannot go on than may still be made whole."""
        self._symbols[symbol].forget(before_us)
        self._symbols[symbol].builder.close(before_us)
        self._engine.drop(symbol, before_us)

    def _tell_rows(self, hour_us: int, frame: pl.DataFrame) -> None:
        """A row a symbol; times are microseconds since the epoch."""
        times = pl.selectors.datetime().dt.timestamp("us")
        for row in frame.with_columns(times).iter_rows(named=True):
            name = self._engine.exchange_name(row["symbol"])
            self._bus.publish(FactorRow(self._market, name, INTERVAL, hour_us, row))
        self.counts["rows"] += frame.height
