"""The bar builder: takes closed candles from every source into the books and tells the bus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.bars.book import Book, Candle, Offer, Outcome
from alphaqcm.data_collection.live.bars.series import Series
from alphaqcm.data_collection.live.events import (
    BarSource,
    Bus,
    ClosedBar,
    Control,
    ControlKind,
)
from alphaqcm.data_collection.live.files.notes import Notes
from alphaqcm.data_collection.live.files.tables import VALUES
from alphaqcm.data_collection.live.sockets.frames import CLOSES, KLINE
from alphaqcm.data_collection.live.watch.metrics import Metrics
from alphaqcm.pipeline.domain.registry import Market

AlertCall = Callable[[str, str, str], None]
"""Raises an alert: its kind, its text, what it is about."""

_NEWEST, _TRADE_NUM = 5, VALUES.index("trade_num")


@dataclass(slots=True)
class Keeper:
    """The books of all symbols of one trade type.

    `missing` hears of symbols of which a candle is missing, `changed` of those to be written.
    """

    market: Market
    interval: str
    interval_ms: int
    keep: int
    clock: ExchangeClock
    bus: Bus
    notes: Notes
    metrics: Metrics
    alert: AlertCall
    missing: Callable[[str], None] = lambda _: None
    changed: Callable[[str], None] = lambda _: None
    books: dict[str, Book] = field(default_factory=dict)
    trading: set[str] = field(default_factory=set)
    starting: set[str] = field(default_factory=set)  # history is still on its way
    halted_since: dict[str, int] = field(default_factory=dict)  # ms
    series_name: str = ""
    fill_flat: bool = False

    def open(self, symbol: str, expected_ms: int) -> Book:
        """Begin to keep a symbol; its history comes later."""
        book = Book(self.interval_ms, Series(self.keep), expected_ms)
        book.gaps |= self.notes.gaps(symbol)
        self.books[symbol] = book
        self.starting.add(symbol)
        return book

    def close(self, symbol: str) -> None:
        """Keep a symbol no more."""
        self.books.pop(symbol, None)
        self.trading.discard(symbol)
        self.starting.discard(symbol)
        self.halted_since.pop(symbol, None)

    def started(self, symbol: str, taken: tuple[Candle, ...]) -> None:
        """The symbol's history is in place, with these candles of the stream behind it."""
        self.starting.discard(symbol)
        book = self.books[symbol]
        self._tell(symbol, taken)
        if book.waiting:
            self.missing(symbol)
        if len(book.series):
            self.changed(symbol)

    def hear(self, raw: bytes, received_ns: int) -> None:
        """A kline frame; only closing ones are decoded. Raises msgspec's error for an odd one."""
        if CLOSES not in raw:
            return
        kline = KLINE.decode(raw).k
        if kline.i != self.interval or kline.s not in self.books:
            return
        open_ms = kline.t // 1000 if kline.t > 10**14 else kline.t
        self.offer(kline.s, Candle(open_ms, kline.values, BarSource.SOCKET, received_ns))

    def offer(self, symbol: str, candle: Candle) -> Offer:
        """Take over one closed candle."""
        book = self.books[symbol]
        offer = book.offer(candle)
        self.metrics.outcomes[offer.outcome] += 1
        if offer.outcome is Outcome.TAKEN:
            self._tell(symbol, offer.taken)
            if candle.received_ns:  # those that waited for others are not slow
                self.metrics.to_bus.add((time.monotonic_ns() - candle.received_ns) / 1e9)
            if symbol not in self.starting:
                self.changed(symbol)
                if book.waiting:
                    self.missing(symbol)
        elif offer.outcome is Outcome.WAITING:
            if symbol not in self.starting:
                self.missing(symbol)
        elif offer.before is not None:
            self._revise(symbol, candle, offer)
        return offer

    def absent(self, symbol: str, until_ms: int) -> None:
        """The exchange has none of the missing candles before a moment."""
        gaps, taken = self.books[symbol].absent(until_ms, flat=self.fill_flat)
        if gaps:
            self.metrics.gaps += len(gaps)
            now_ms = self.clock.now_ms()
            halted = self.halted_since.get(symbol)
            why = "halt" if halted is not None and gaps[-1] + self.interval_ms > halted else "hole"
            self.notes.add_gaps(self.series_name, symbol, gaps, now_ms, why)
            for open_ms in gaps:
                self.bus.publish(
                    Control(ControlKind.GAP, self.market, symbol, open_ms * 1000, {"why": why})
                )
            if why == "hole":
                self.alert("gap", f"{symbol}: the exchange has no {_told(gaps)}", symbol)
        if symbol in self.trading:
            self.halted_since.pop(symbol, None)
        if taken:
            self._tell(symbol, taken)
        if gaps or taken:
            self.changed(symbol)

    def late(self, end_ms: int) -> list[str]:
        """Trading symbols whose candles that end up to a moment are not complete."""
        return [
            symbol
            for symbol in self.trading
            if symbol not in self.starting and self.books[symbol].expected_ms < end_ms
        ]

    def ready(self, end_ms: int) -> int:
        """How many trading symbols are complete to a moment."""
        return sum(
            self.books[symbol].expected_ms >= end_ms
            for symbol in self.trading
            if symbol not in self.starting
        )

    def trades_a_second(self, symbols: Iterable[str]) -> float:
        """Trades of symbols in the quietest of each one's newest candles; 0 while unknown."""
        total = 0.0
        for symbol in self.trading.intersection(symbols) - self.starting:
            series = self.books[symbol].series
            last = range(max(0, len(series) - _NEWEST), len(series))
            total += min((series.at(index)[0][_TRADE_NUM] for index in last), default=0.0)
        return total / (self.interval_ms / 1000)

    def bars(self, symbol: str) -> Iterator[ClosedBar]:
        """The symbol's bars that are in place, in order of time."""
        series = self.books[symbol].series
        for open_ms in series.times().tolist():
            index = series.index(open_ms)
            if index is not None:
                yield self._bar(symbol, Candle(open_ms, *series.at(index)))

    def _tell(self, symbol: str, taken: tuple[Candle, ...]) -> None:
        for candle in taken:
            self.metrics.bars[candle.source.name.lower()] += 1
            self.bus.publish(self._bar(symbol, candle))

    def _bar(self, symbol: str, candle: Candle) -> ClosedBar:
        open_, high, low, close, volume, quote, trades, buy, buy_quote = candle.values
        return ClosedBar(
            self.market,
            symbol,
            self.interval,
            candle.open_ms * 1000,
            open_,
            high,
            low,
            close,
            volume,
            quote,
            int(trades),
            buy,
            buy_quote,
            candle.source,
            candle.received_ns,
        )

    def _revise(self, symbol: str, candle: Candle, offer: Offer) -> None:
        if offer.before is None:
            return
        applied = offer.outcome is Outcome.REVISED
        new = (candle.values, candle.source)
        self.metrics.revisions += 1
        self.notes.add_revision(
            self.series_name, symbol, candle.open_ms, self.clock.now_ms(), offer.before, new,
            applied=applied,
        )  # fmt: skip
        detail = {
            "old": offer.before[0],
            "old_source": offer.before[1].name.lower(),
            "new": candle.values,
            "new_source": candle.source.name.lower(),
            "applied": applied,
        }
        time_us = candle.open_ms * 1000
        self.bus.publish(Control(ControlKind.REVISION, self.market, symbol, time_us, detail))
        if applied and candle.open_ms < self.books[symbol].expected_ms:
            self.bus.publish(self._bar(symbol, candle))
            self.changed(symbol)
        told = "changed" if applied else "told otherwise, and kept"
        self.alert("revision", f"{symbol}: candle {_minute(candle.open_ms)} {told}", symbol)


def _told(gaps: tuple[int, ...]) -> str:
    if len(gaps) == 1:
        return f"candle {_minute(gaps[0])}"
    return f"{len(gaps)} candles {_minute(gaps[0])} to {_minute(gaps[-1])}"


def _minute(open_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(open_ms / 1000))
