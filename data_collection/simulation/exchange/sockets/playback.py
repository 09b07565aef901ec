"""Plays the tape into the topics, step by step of the exchange's clock."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import fields

from alphaqcm.data_collection.simulation.exchange.faults import FaultKind
from alphaqcm.data_collection.simulation.exchange.sockets import frames
from alphaqcm.data_collection.simulation.exchange.sockets.frames import TradeRow
from alphaqcm.data_collection.simulation.exchange.sockets.keepalive import WireCare
from alphaqcm.data_collection.simulation.exchange.sockets.klines import (
    KlineRunner,
    LateFrames,
    Row,
)
from alphaqcm.data_collection.simulation.exchange.sockets.streams import Kind
from alphaqcm.data_collection.simulation.exchange.sockets.timed_streams import SlowStreams
from alphaqcm.data_collection.simulation.exchange.sockets.topics import Hub, Topic
from alphaqcm.data_collection.simulation.exchange.state import ExchangeState
from alphaqcm.data_collection.simulation.exchange.tape.flow import Batch, Flow, flow_of
from alphaqcm.data_collection.simulation.exchange.tape.intervals import HOUR_MS
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.trades import Trades

_STEP_MS = 100.0  # of the exchange's clock
_SHORTEST_S, _LONGEST_S = 0.005, 0.05  # of real time
_PREPARE_MS = 20_000  # between two looks whether the next minutes' trades are made
_REPLAYED_MS = 2 * HOUR_MS  # a longer window is brought up to now from the truth

Name = tuple[Market, str]
_TRADED = frozenset(
    {Kind.KLINE, Kind.CONTINUOUS, Kind.AGG_TRADE, Kind.TRADE, Kind.BOOK_TICKER, Kind.DEPTH,
     Kind.PARTIAL_DEPTH}
)  # fmt: skip


class Pump:
    """Every step: the trades of the time that has passed, the candles they make, what is due."""

    def __init__(self, state: ExchangeState, hub: Hub) -> None:
        self._state, self._hub = state, hub
        self._late = LateFrames(hub)
        self._care = WireCare(state, hub)
        self._slow = SlowStreams(state, hub)
        self._flow: Flow = flow_of(state.venue.tape, [])
        self._venue_version = -1
        self._traded: set[Name] = set()
        self._runners: dict[Topic, KlineRunner] = {}
        self._runners_of: dict[Name, list[KlineRunner]] = {}
        self._trade_topics: dict[Name, list[Topic]] = {}
        self._tickers: dict[Name, list[Topic]] = {}
        self._seen = -1
        self._last_ms = state.clock.now_ms()

    @property
    def played_ms(self) -> int:
        """Up to when everything has been sent."""
        return self._last_ms

    async def run(self) -> None:
        """Step until cancelled."""
        real = min(_LONGEST_S, max(_SHORTEST_S, _STEP_MS / 1000 / self._state.clock.speed))
        loop = asyncio.get_running_loop()
        due = loop.time()
        prepared_ms = self._last_ms
        preparing: asyncio.Future[None] = loop.create_future()
        preparing.set_result(None)
        while True:
            self.step(self._state.clock.now_ms())
            if self._traded and self._last_ms > prepared_ms + _PREPARE_MS and preparing.done():
                prepared_ms = self._last_ms
                preparing = asyncio.ensure_future(
                    asyncio.to_thread(self._flow.prepare, self._last_ms)
                )
            due = max(due + real, loop.time())
            await asyncio.sleep(due - loop.time())

    def step(self, now_ms: int) -> None:
        """Play everything up to a moment; a clock that was set back is waited for."""
        if now_ms > self._last_ms:
            if self._hub.version != self._seen or self._hub.stale:
                self._regroup()
            if self._traded:
                self._play(self._flow.between(self._last_ms, now_ms).of(self._traded), now_ms)
            for runner in self._runners.values():
                runner.roll(now_ms, now_ms)
                runner.push(now_ms)
            self._slow.step(self._last_ms, now_ms)
            self._late.release(now_ms)
            self._last_ms = now_ms
        self._care.step(now_ms)

    def _regroup(self) -> None:
        """Find the work that the topics ask for."""
        topics = list(self._hub.topics())
        self._seen = self._hub.version
        old = self._runners
        traded: set[Name] = set()
        runners: dict[Topic, KlineRunner] = {}
        runners_of: dict[Name, list[KlineRunner]] = defaultdict(list)
        trade_topics: dict[Name, list[Topic]] = defaultdict(list)
        tickers: dict[Name, list[Topic]] = defaultdict(list)
        for topic in topics:
            stream = topic.stream
            if stream is None or stream.kind not in _TRADED:
                continue
            for listing in [stream.listing] if stream.listing else self._futures():
                name = (listing.market, listing.symbol)
                traded.add(name)
                if stream.kind in (Kind.KLINE, Kind.CONTINUOUS):
                    runner = old.get(topic)
                    if runner is None:
                        runner = KlineRunner(
                            self._state, self._hub, self._late, topic, stream, listing,
                            self._last_ms,
                        )  # fmt: skip
                    runner.listing = listing
                    runners[topic] = runner
                    runners_of[name].append(runner)
                elif stream.kind in (Kind.AGG_TRADE, Kind.TRADE):
                    trade_topics[name].append(topic)
                elif stream.kind is Kind.BOOK_TICKER:
                    tickers[name].append(topic)
        self._runners, self._runners_of = runners, runners_of
        self._trade_topics, self._tickers = trade_topics, tickers
        self._traded = traded
        self._slow.regroup(topics)
        if self._venue_version != self._state.venue.version:
            self._venue_version = self._state.venue.version
            self._flow = flow_of(self._state.venue.tape, self._state.venue.everything())
        self._begin([runner for topic, runner in runners.items() if topic not in old])

    def _begin(self, new: list[KlineRunner]) -> None:
        """Bring new candles up to now; those with one window's start share one look back."""
        since: dict[int, dict[Name, list[KlineRunner]]] = defaultdict(lambda: defaultdict(list))
        for runner in new:
            if self._last_ms - runner.since_ms > _REPLAYED_MS:
                runner.catch_up(self._last_ms)
            else:
                listing = runner.listing
                since[runner.since_ms][(listing.market, listing.symbol)].append(runner)
        for start_ms, runners_of in since.items():
            batch = self._flow.between(start_ms, self._last_ms)
            for listing, rows in self._rows(batch.of(runners_of)):
                for runner in runners_of[(listing.market, listing.symbol)]:
                    runner.replay(rows)
            for group in runners_of.values():
                for runner in group:
                    runner.settle()

    def _futures(self) -> Iterable[Listing]:
        for market in (Market.UM, Market.CM):
            yield from self._state.venue.listings(market)

    def _rows(self, batch: Batch) -> Iterator[tuple[Listing, list[Row]]]:
        """The trades of each listing, without those that lie in its gaps."""
        if not batch.parts:
            return
        columns = (getattr(batch.trades, field.name).tolist() for field in fields(Trades))
        rows: list[Row] = list(zip(*columns, strict=True))
        gaps = self._state.venue.gaps
        for listing, first, stop in batch.parts:
            mine = rows[first:stop]
            if gaps:
                holes = [(g.start_ms, g.end_ms) for g in gaps if g.concerns(listing)]
                mine = [row for row in mine if not any(a <= row[0] < b for a, b in holes)]
            if mine:
                yield listing, mine

    def _play(self, batch: Batch, now_ms: int) -> None:
        for listing, rows in self._rows(batch):
            name = (listing.market, listing.symbol)
            for runner in self._runners_of.get(name, ()):
                for row in rows:
                    if row[0] >= runner.candle.end:
                        runner.roll(row[0], now_ms)
                    runner.add(row)
            self._slow.last_price[name] = rows[-1][2]
            for topic in self._trade_topics.get(name, ()):
                self._trades(topic, listing, [TradeRow(*row) for row in rows], now_ms)
            for topic in self._tickers.get(name, ()):
                best = self._slow.best(listing, rows[-1][2], now_ms)
                merged = topic.name == "!bookTicker"
                self._hub.emit(topic, frames.book_ticker(listing, best, now_ms, merged=merged))

    def _trades(self, topic: Topic, listing: Listing, rows: list[TradeRow], now_ms: int) -> None:
        fault_plan = self._state.fault_plan
        single = topic.stream is not None and topic.stream.kind is Kind.TRADE
        gap = fault_plan.has(FaultKind.ID_GAP)
        for row in rows:
            if single:
                for payload in frames.single_trades(row, listing, now_ms, topic.unit):
                    self._hub.emit(topic, payload)
            elif not gap or not fault_plan.concerning(FaultKind.ID_GAP, listing, now_ms):
                self._hub.emit(topic, frames.agg_trade(row, listing, now_ms, topic.unit))
