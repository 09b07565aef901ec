"""Real time: candles, trades and books from the exchange's streams to the buckets and to `/ws`.

The connections are the live client's. A minute that is missing, and every quarter of an hour all of
them, are asked of REST, whose word then counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec

from alphaqcm.data_collection.build.candles.fetch import SETTLE_MS
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.exchange.fetcher import final_end
from alphaqcm.data_collection.live.sockets.connection import Hear
from alphaqcm.data_collection.live.sockets.frames import CLOSES, KLINE, TRADE, Topic
from alphaqcm.data_collection.live.sockets.receiver import Receiver, ReceiverSettings
from alphaqcm.data_collection.live.sockets.routes import (
    BOOK_ROUTES,
    Addresses,
    book_stream,
    kline_stream,
    trade_stream,
)
from alphaqcm.data_collection.marketstore.buckets.ticks import (
    DEPTH_LEVELS,
    EXCHANGE,
    TIMEFRAME,
    VALUES,
    Tick,
    TickKind,
    TickStore,
)
from alphaqcm.data_collection.marketstore.config import FeederConfig, StreamType
from alphaqcm.data_collection.marketstore.dataset import EPOCH, NANOS
from alphaqcm.data_collection.marketstore.endpoint.stream import StreamHub
from alphaqcm.data_collection.marketstore.feeder.backfill import MINUTE_MS, Backfill
from alphaqcm.data_collection.marketstore.feeder.bar_stream import BarStream
from alphaqcm.data_collection.marketstore.feeder.recent import Minute, Recent
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import PipelineError

SETTLE_EVERY: Final = 900.0
"""Seconds of the exchange's clock between two times that REST is asked for what came since."""

_AGAIN: Final = 30.0  # seconds of the exchange's clock before REST is asked again
_MILLI: Final = 1_000_000  # nanoseconds


class Book(msgspec.Struct):
    """A partial book: futures' names of the sides or spot's; only futures tell the time."""

    b: list[tuple[float, float]] = []
    a: list[tuple[float, float]] = []
    bids: list[tuple[float, float]] = []
    asks: list[tuple[float, float]] = []
    E: int = 0
    T: int = 0


class Combined(msgspec.Struct):
    """A frame of a combined stream."""

    stream: str
    data: msgspec.Raw


_COMBINED = msgspec.json.Decoder(Combined)
_BOOK = msgspec.json.Decoder(Book, strict=False)


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where what is heard goes."""

    recent: Recent
    ticks: TickStore
    hub: StreamHub
    bars: BarStream
    prefix: str  # before the market's symbols in keys


class RealTime:
    """One feeder's streams; `run` works until it is cancelled."""

    def __init__(
        self,
        config: FeederConfig,
        addresses: Addresses,
        clock: ExchangeClock,
        backfill: Backfill,
        outlets: Outlets,
        log: Log,
    ) -> None:
        self._config, self._market = config, config.market
        self._addresses, self._clock = addresses, clock
        self._backfill, self._out, self._log = backfill, outlets, log
        self._names = {symbol.lower(): symbol for symbol in config.symbols}
        self._symbols = frozenset(config.symbols)
        self._last_id: dict[str, int] = {}  # of trades
        self._last_us: dict[str, int] = {}  # begin of the last minute
        self._full = asyncio.Event()
        self._gap = asyncio.Event()

    async def run(self) -> None:
        """Listen, publish, keep."""
        streams = self._config.realtime.streams
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=None),
                    connector=aiohttp.TCPConnector(limit=0),
                    trust_env=True,
                ) as session,
                asyncio.TaskGroup() as group,
            ):
                for receiver in self._receivers(session):
                    for one in receiver.groups:
                        group.create_task(one.run())
                if StreamType.KLINE in streams:
                    group.create_task(self._settle())
                    group.create_task(self._out.bars.run())
                if {StreamType.TRADE, StreamType.DEPTH} & set(streams):
                    group.create_task(self._keep())
        finally:
            self._out.ticks.flush()

    def _receivers(self, session: aiohttp.ClientSession) -> list[Receiver]:
        streams = set(self._config.realtime.streams)
        found = []
        if streams & {StreamType.KLINE, StreamType.TRADE}:
            found.append(self._receiver(session, self._hear, ()))
            for symbol in self._config.symbols:
                names = [kline_stream(symbol, "1m")] if StreamType.KLINE in streams else []
                names += [trade_stream(symbol)] if StreamType.TRADE in streams else []
                found[-1].add(symbol, names)
        if StreamType.DEPTH in streams:
            found.append(self._receiver(session, self._hear_book, BOOK_ROUTES[self._market]))
            for symbol in self._config.symbols:
                found[-1].add(symbol, [book_stream(symbol)])
        return found

    def _receiver(
        self, session: aiohttp.ClientSession, hear: Hear, routes: tuple[str, ...]
    ) -> Receiver:
        settings = ReceiverSettings(
            self._market, self._addresses.socket(self._market), "1m", listeners=1, routes=routes
        )
        receiver = Receiver(
            settings,
            session,
            self._clock,
            hear,
            lambda _symbols: self._gap.set(),
            lambda _kind, text: self._log.event("problem", part="streams", text=text),
        )
        receiver.prepare(2 * len(self._config.symbols))
        return receiver

    def _hear(self, topic: Topic, raw: bytes, _now_ns: int) -> None:
        if topic is Topic.KLINE and CLOSES in raw:
            self._hear_minute(raw)
        elif topic is Topic.TRADE:
            with contextlib.suppress(ValueError):  # a number that is none
                self._hear_trade(raw)

    def _hear_minute(self, raw: bytes) -> None:
        told = KLINE.decode(raw).k
        if not told.x or told.i != "1m" or told.s not in self._symbols:
            return
        o, h, low, c, v, q, _, taker, taker_quote = told.values
        minute = Minute(
            self._market,
            told.s,
            told.t * 1000,
            (o, h, low, c, v, q, told.n, taker, taker_quote),
        )
        if not self._out.recent.add(minute):
            return
        last = self._last_us.get(told.s, minute.begin_us)
        self._last_us[told.s] = max(last, minute.begin_us)
        if minute.begin_us > last + MINUTE_MS * 1000:
            self._gap.set()
        if minute.begin_us >= last:  # one that comes late is in the bucket, but no news
            self._out.bars.closed(minute)

    def _hear_trade(self, raw: bytes) -> None:
        told = TRADE.decode(raw)
        # a connection that is replaced tells some trades twice
        if told.s not in self._symbols or told.a <= self._last_id.get(told.s, -1):
            return
        self._last_id[told.s] = told.a
        self._take(TickKind.TRADE, told.s, (told.T * _MILLI, float(told.p), float(told.q)))

    def _hear_book(self, topic: Topic, raw: bytes, _now_ns: int) -> None:
        if topic not in (Topic.OTHER, Topic.ANSWER) or b'"stream"' not in raw:
            return
        told = _COMBINED.decode(raw)
        symbol = self._names.get(told.stream.partition("@")[0])
        if symbol is None or "@depth" not in told.stream:
            return
        book = _BOOK.decode(told.data)
        bids, asks = book.b or book.bids, book.a or book.asks
        nan = (float("nan"), float("nan"))
        levels = [
            number
            for n in range(DEPTH_LEVELS)
            for side in (bids, asks)
            for number in (side[n] if n < len(side) else nan)
        ]
        time_ms = book.T or book.E or self._clock.now_ms()
        self._take(TickKind.DEPTH, symbol, (time_ms * _MILLI, *levels))

    def _take(self, kind: TickKind, symbol: str, tick: Tick) -> None:
        """Keep a tick and publish it."""
        out = self._out
        if out.ticks.add(kind, self._market, symbol, tick) >= self._config.realtime.buffer_size:
            self._full.set()
        key = f"{out.prefix}{symbol}/{TIMEFRAME}/{kind.group}"
        if not out.hub.wants(key):
            return
        epoch, nanos = divmod(int(tick[0]), 1000 * _MILLI)
        data: dict[str, Any] = {EPOCH: epoch, **dict(zip(VALUES[kind], tick[1:], strict=True))}
        if kind is TickKind.TRADE:
            data |= {"Exchange": EXCHANGE, "Tape": _tape(self._market)}
        out.hub.publish(key, data | {NANOS: nanos})

    async def _keep(self) -> None:
        """Write ticks every `update_freq` seconds, and when `buffer_size` of a symbol wait."""
        pause = max(0.1, self._config.realtime.update_freq / self._clock.speed)
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._full.wait()
            except TimeoutError:
                pass
            self._full.clear()
            try:
                await asyncio.to_thread(self._out.ticks.flush)
            except PipelineError as error:
                self._log.event("problem", part="ticks", error=error)
                await self._clock.sleep(1.0)

    async def _settle(self) -> None:
        """Ask REST for the time since the start: at gaps, and every SETTLE_EVERY seconds."""
        start_ms = self._clock.now_ms() // MINUTE_MS * MINUTE_MS
        while True:
            try:
                async with asyncio.timeout(SETTLE_EVERY / self._clock.speed):
                    await self._gap.wait()
            except TimeoutError:
                pass
            self._gap.clear()
            await self._clock.sleep(SETTLE_MS / 1000)
            end_ms = final_end(self._clock.now_ms() - SETTLE_MS, MINUTE_MS)
            try:
                await self._backfill.fetch_missing(self._config.symbols, (start_ms, end_ms))
            except PipelineError as error:
                self._log.event("problem", part="settling", error=error)
                await self._clock.sleep(_AGAIN)
                self._gap.set()
                continue
            differ = await asyncio.to_thread(self._confirm, end_ms)
            if differ:
                self._log.event("problem", part="settling", text=f"{differ} minutes differ in REST")

    def _confirm(self, end_ms: int) -> int:
        differ = 0
        recent, until_us = self._out.recent, end_ms * 1000
        for symbol in self._config.symbols:
            begin_us = recent.unconfirmed_us(self._market, symbol)
            if begin_us is not None and begin_us < until_us:
                told = self._backfill.stored(symbol, begin_us, until_us)
                differ += recent.confirm(self._market, symbol, until_us, told)
        return differ


def _tape(market: Market) -> str:
    return market.value.upper()
