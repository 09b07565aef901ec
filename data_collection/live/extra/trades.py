"""Aggregated trades of all symbols, told in order and without gaps; gaps are read over REST.

A minute's trades are complete when they are as many as its candle counted: that, too, shows what
a stream did not bring, when no later trade does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from alphaqcm.data_collection.errors import BadSymbol, Banned, NoAnswer
from alphaqcm.data_collection.exchange.client import RestClient
from alphaqcm.data_collection.exchange.endpoints import Endpoint
from alphaqcm.data_collection.exchange.governor import Priority
from alphaqcm.data_collection.live.events import (
    Bus,
    ClosedBar,
    Control,
    ControlKind,
    Event,
    LiveTrade,
)
from alphaqcm.data_collection.live.extra.trade_line import MINUTE_US, TradeLine
from alphaqcm.data_collection.live.sockets.frames import TRADE, TradeEvent
from alphaqcm.pipeline.domain.registry import Market

_PAGE = 1000
_SETTLE = 1.0  # seconds in which frames that changed places come by themselves
_ROUNDS, _ROUND_WAIT = 3, 5.0  # seconds
_WORKERS = 2  # a page of trades weighs 20


class RestTrade(msgspec.Struct):
    """One row of REST's aggTrades."""

    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741
    T: int
    m: bool


ROWS = msgspec.json.Decoder(list[RestTrade])


@dataclass(slots=True)
class _Open:
    """A minute that waits for its trades."""

    minute_us: int
    trades: int


@dataclass(slots=True)
class Trades:
    """Hears frames and closed 1m candles; publishes `LiveTrade`, and `Control` TRADED."""

    market: Market
    bus: Bus
    client: RestClient
    alert: Callable[[str, str, str], None]
    lines: dict[str, TradeLine] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    _open: dict[str, list[_Open]] = field(default_factory=dict)
    _asked: dict[str, None] = field(default_factory=dict)
    _line: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def hear(self, raw: bytes, received_ns: int) -> None:
        """A frame of a trade. Raises msgspec's error for an odd one."""
        event = TRADE.decode(raw)
        self._offer(event.s, _live(self.market, event.s, event, received_ns))

    def on_event(self, event: Event) -> None:
        """A closed 1m candle says how many trades its minute has."""
        if isinstance(event, ClosedBar) and event.interval == "1m" and event.symbol in self.lines:
            line = self.lines[event.symbol]
            if event.trade_num and line.expected is None:
                return  # no trade was heard yet
            minutes = self._open.setdefault(event.symbol, [])
            minutes.append(_Open(event.open_time_us, event.trade_num))
            self._complete(event.symbol)
            if self._open[event.symbol]:
                self._ask(event.symbol)

    def add(self, symbol: str, last_id: int | None = None) -> None:
        """Follow a symbol's trades, from the one after `last_id` where that is known."""
        expected = None if last_id is None else last_id + 1
        self.lines.setdefault(symbol, TradeLine(expected))

    def remove(self, symbol: str) -> None:
        """Follow a symbol's trades no more."""
        self.lines.pop(symbol, None)
        self._open.pop(symbol, None)

    @property
    def open(self) -> int:
        """Symbols of which trades are being read."""
        return len(self._asked)

    async def run(self) -> None:
        """Read what is missing until cancelled."""
        while not self._line.empty():
            self._line.get_nowait()
        for symbol in self._asked:
            self._line.put_nowait(symbol)
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(self._work())

    def _offer(self, symbol: str, trade: LiveTrade) -> None:
        line = self.lines.get(symbol)
        if line is None:
            return
        ready = line.offer(trade)
        for one in ready:
            self.bus.publish(one)
        self.counted["told"] += len(ready)
        if line.waiting:
            self._ask(symbol)
        elif self._open.get(symbol):
            self._complete(symbol)

    def _complete(self, symbol: str, *, give_up: bool = False) -> None:
        """Tell the minutes whose trades are all there; `give_up` tells them in any case."""
        line, minutes = self.lines[symbol], self._open.get(symbol, [])
        while minutes:
            first = minutes[0]
            if first.trades and first.minute_us < line.since_us:
                minutes.pop(0)  # it began before the first trade that was heard
                continue
            have = line.counts.get(first.minute_us, 0)
            if have < first.trades and not give_up:
                return
            minutes.pop(0)
            exact = have == first.trades
            if not exact:
                self.counted["inexact"] += 1
            self.bus.publish(
                Control(
                    ControlKind.TRADED, self.market, symbol, first.minute_us + MINUTE_US,
                    {"exact": exact},
                )
            )  # fmt: skip

    def _ask(self, symbol: str) -> None:
        if symbol not in self._asked:
            self._asked[symbol] = None
            self._line.put_nowait(symbol)

    async def _work(self) -> None:
        while True:
            symbol = await self._line.get()
            await self.client.clock.sleep(_SETTLE)
            try:
                await self._mend(symbol)
            finally:
                self._asked.pop(symbol, None)

    async def _mend(self, symbol: str) -> None:
        done = 0
        while (line := self.lines.get(symbol)) and (line.waiting or self._open.get(symbol)):
            try:
                rows = await self._page(symbol, line)
            except BadSymbol:
                return
            except Banned as ban:
                self.alert("banned", f"{ban}", "")
                await self.client.clock.sleep_until(ban.until)
                continue
            except NoAnswer as error:
                self.alert("rest", f"{error}", "")
                rows = 0
            if symbol not in self.lines:
                return
            self._complete(symbol)
            if rows == _PAGE:
                continue
            done += 1
            if done >= _ROUNDS:
                self._give_up(symbol)
                return
            if line.waiting or self._open.get(symbol):
                await self.client.clock.sleep(_ROUND_WAIT)

    async def _page(self, symbol: str, line: TradeLine) -> int:
        """Read the trades from the first missing one on; how many there were."""
        if line.expected is None:
            return 0
        asked: dict[str, str | int] = {"symbol": symbol, "fromId": line.expected, "limit": _PAGE}
        self.counted["pages"] += 1
        rows = await self.client.ask(
            self.market, Endpoint.AGG_TRADES, ROWS, asked, priority=Priority.REPAIR
        )
        if rows and rows[0].a > line.expected:
            self._left_out(symbol, line.skip_to(rows[0].a))
        for row in rows:
            before = line.expected
            self._offer(symbol, _live(self.market, symbol, row, 0))
            self.counted["repaired"] += line.expected != before
        return len(rows)

    def _give_up(self, symbol: str) -> None:
        """REST does not have it either: go on with what there is, and say so."""
        line = self.lines[symbol]
        if line.waiting:
            self._left_out(symbol, line.skip_to(min(line.waiting)))
            self._offer(symbol, line.waiting.pop(line.expected or 0))
        self._complete(symbol, give_up=True)

    def _left_out(self, symbol: str, ids: int) -> None:
        self.counted["left out"] += ids
        self.alert("trades", f"{symbol}: the exchange has no trades of {ids} ids", symbol)


def _live(market: Market, symbol: str, row: TradeEvent | RestTrade, received_ns: int) -> LiveTrade:
    time_us = row.T * 1000 if row.T < 10**14 else row.T
    return LiveTrade(
        market, symbol, row.a, row.f, row.l, time_us, float(row.p), float(row.q), row.m,
        row.p, row.q, received_ns,
    )  # fmt: skip
