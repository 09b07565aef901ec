"""Market data of the simulated exchange: its symbols, trades and candles, gaps included.

REST, WebSocket and `__truth__` all ask here; faults that change the truth (holes, halts, new and
delisted symbols) are planted here, faults that only bend an answer are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from alphaqcm.data_collection.simulation.exchange.clock import ExchangeClock
from alphaqcm.data_collection.simulation.exchange.tape.intervals import (
    DAY_MS,
    MINUTE_MS,
    window_number,
    window_start,
    windows,
)
from alphaqcm.data_collection.simulation.exchange.tape.listing import TRADING, Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.protocol import Tape
from alphaqcm.data_collection.simulation.exchange.tape.trades import (
    Bars,
    Ints,
    Trades,
    bars_of_trades,
    fold,
)

_LOOK_BACK_MS = 10 * MINUTE_MS  # how far a close is looked for before a quiet window at first
_SPAN_MS = 30 * DAY_MS  # most of a tape that is held at once
_ENDED = {Market.SPOT: "BREAK", Market.UM: "SETTLING", Market.CM: "SETTLING"}


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a symbol (empty: every one) of a market (None: every one) has no trades."""

    start_ms: int
    end_ms: int
    market: Market | None = None
    symbol: str = ""

    def concerns(self, listing: Listing) -> bool:
        """Whether the gap is this listing's."""
        return self.market in (None, listing.market) and self.symbol in ("", listing.symbol)


@dataclass(frozen=True, slots=True)
class Halt(Gap):
    """A gap in which the symbol's status says that it does not trade."""

    status: str = "HALT"


class Venue:
    """Symbols and what happened to them, up to the clock's now."""

    def __init__(self, listings: tuple[Listing, ...], tape: Tape, clock: ExchangeClock) -> None:
        self.tape, self.clock = tape, clock
        self.gaps: list[Gap] = []
        self.version = 0  # counts changes of the symbols
        self._listings = {(one.market, one.symbol): one for one in listings}

    def listings(self, market: Market) -> list[Listing]:
        """The market's symbols in order."""
        return [one for one in self._listings.values() if one.market is market]

    def everything(self) -> list[Listing]:
        """The symbols of all markets."""
        return list(self._listings.values())

    def find(self, market: Market, symbol: str) -> Listing | None:
        """A symbol, or None."""
        return self._listings.get((market, symbol))

    def put(self, listing: Listing) -> None:
        """List a symbol, or replace what is known of it."""
        self._listings[(listing.market, listing.symbol)] = listing
        self.version += 1

    def end(self, listing: Listing, at_ms: int, status: str = "") -> None:
        """Delist a symbol at a moment."""
        self.put(replace(listing, end_ms=at_ms, status=status or listing.status))

    def add_gap(self, gap: Gap) -> None:
        """Take all trades of a time out of the truth."""
        self.gaps.append(gap)
        self.version += 1

    def status(self, listing: Listing, now_ms: int) -> str:
        """The symbol's status as `exchangeInfo` gives it."""
        for gap in self.gaps:
            if not isinstance(gap, Halt) or not gap.concerns(listing):
                continue
            if gap.start_ms <= now_ms < gap.end_ms:
                return gap.status
        if now_ms < listing.onboard_ms:
            return "PENDING_TRADING"
        if listing.status not in (TRADING, "PENDING_TRADING"):
            return listing.status if now_ms >= listing.end_ms else TRADING
        return TRADING if now_ms < listing.end_ms else _ENDED[listing.market]

    def trades(self, listing: Listing, start_ms: int, end_ms: int) -> Trades:
        """The trades of [start, end) up to now."""
        end_ms = min(end_ms, self.clock.now_ms())
        return self._without_gaps(listing, self.tape.trades(listing, start_ms, end_ms))

    def trades_from_id(self, listing: Listing, first_id: int, count: int) -> Trades:
        """Up to `count` trades from an id on, up to now."""
        trades = self.tape.by_id(listing, first_id, count)
        trades = trades.take(trades.time < self.clock.now_ms())
        return self._without_gaps(listing, trades)

    def last_trades(self, listing: Listing, end_ms: int, count: int) -> Trades:
        """The newest `count` trades before a moment."""
        span = MINUTE_MS * 16
        end_ms = min(end_ms, self.clock.now_ms(), listing.end_ms)
        while True:
            found = self.trades(listing, end_ms - span, end_ms)
            if len(found) >= count or end_ms - span <= listing.onboard_ms:
                return found.take(slice(max(0, len(found) - count), None))
            span *= 4

    def first_trades(self, listing: Listing, start_ms: int, end_ms: int, count: int) -> Trades:
        """The oldest `count` trades of [start, end)."""
        start_ms = max(start_ms, listing.onboard_ms)
        end_ms = min(end_ms, self.clock.now_ms(), listing.end_ms)
        span = MINUTE_MS * 16
        while True:
            found = self.trades(listing, start_ms, min(start_ms + span, end_ms))
            if len(found) >= count or start_ms + span >= end_ms:
                return found.take(slice(0, count))
            span *= 4

    def close_before(self, listing: Listing, moment_ms: int) -> int | None:
        """The price of the last trade before a moment; None where there was none yet."""
        span = _LOOK_BACK_MS
        while True:
            earlier = self.trades(listing, moment_ms - span, moment_ms)
            if len(earlier):
                return int(earlier.price[-1])
            if moment_ms - span <= listing.onboard_ms:
                return None
            span *= 6

    def window_range(self, listing: Listing, interval: str) -> tuple[int, int]:
        """Numbers [first, stop) of the windows in which the symbol can have traded so far."""
        end = min(listing.end_ms, self.clock.now_ms())
        if end <= listing.onboard_ms:
            return 0, 0
        return window_number(interval, listing.onboard_ms), window_number(interval, end - 1) + 1

    def bars(
        self, listing: Listing, interval: str, first: int, stop: int, until_ms: int | None = None
    ) -> Bars:
        """Candles of the windows numbered [first, stop), the running one as it is at `until_ms`.

        A window without trades is flat; one that lies in a gap is absent.
        """
        until_ms = self.clock.now_ms() if until_ms is None else until_ms
        lowest, highest = self.window_range(listing, interval)
        first, stop = max(first, lowest), min(stop, highest)
        if stop <= first:
            return Bars.none()
        width = window_start(interval, first + 1) - window_start(interval, first)
        step = max(1, _SPAN_MS // width)
        return Bars.joined(
            [
                self._bars(listing, windows(interval, at, min(at + step, stop)), until_ms)
                for at in range(first, stop, step)
            ]
        )

    def _bars(self, listing: Listing, edges: tuple[Ints, Ints], until_ms: int) -> Bars:
        starts, ends = edges
        held = self.tape.minutes(listing, int(starts[0]), int(ends[-1]))
        if held is not None:
            known = held.start < until_ms
            return fold(held.take(known & ~self._in_gap(listing, held.start)), starts, ends)
        trades = self.trades(listing, int(starts[0]), min(int(ends[-1]), until_ms))
        before = None
        if not len(trades) or trades.time[0] >= min(int(ends[0]), int(starts[0]) + MINUTE_MS):
            before = self.close_before(listing, int(starts[0]))
        if ends[0] - starts[0] <= MINUTE_MS:
            return self._present(listing, bars_of_trades(trades, starts, ends, before))
        # wider candles are of the minutes: one that begins with a flat minute opens at its price
        first, stop = (window_number("1m", int(edge)) for edge in (starts[0], ends[-1]))
        minutes = bars_of_trades(trades, *windows("1m", first, stop), before)
        minutes = minutes.take(minutes.start < min(until_ms, listing.end_ms))
        return fold(self._present(listing, minutes), starts, ends)

    def _present(self, listing: Listing, bars: Bars) -> Bars:
        """The bars without those that lie in a gap."""
        absent = np.zeros(len(bars), dtype=np.bool_)
        for start, end in self.quiet(listing):
            absent |= (bars.start >= start) & (bars.end <= end)
        absent &= bars.first_id < 0
        return bars.take(~absent) if absent.any() else bars

    def quiet(self, listing: Listing) -> Iterator[tuple[int, int]]:
        """The times [start, end) in which candles are absent."""
        for gap in self.gaps:
            if gap.concerns(listing):
                yield gap.start_ms, gap.end_ms
        yield from self.tape.absent(listing)

    def _in_gap(self, listing: Listing, time: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        inside = np.zeros(len(time), dtype=np.bool_)
        for gap in self.gaps:
            if gap.concerns(listing):
                inside |= (time >= gap.start_ms) & (time < gap.end_ms)
        return inside

    def _without_gaps(self, listing: Listing, trades: Trades) -> Trades:
        if not self.gaps:
            return trades
        inside = self._in_gap(listing, trades.time)
        return trades.take(~inside) if inside.any() else trades
