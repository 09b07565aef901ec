"""Kline streams: running candles fed trade by trade, pushed as the exchange pushes them."""

from __future__ import annotations

import heapq
from itertools import count

from alphaqcm.data_collection.simulation.exchange.faults import FaultKind
from alphaqcm.data_collection.simulation.exchange.sockets.frames import Candle, kline
from alphaqcm.data_collection.simulation.exchange.sockets.streams import Stream
from alphaqcm.data_collection.simulation.exchange.sockets.topics import Hub, Topic
from alphaqcm.data_collection.simulation.exchange.state import ExchangeState, KlinePush
from alphaqcm.data_collection.simulation.exchange.tape.intervals import (
    MINUTE_MS,
    window_number,
    window_start,
)
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing

_LOOK_BACK_MS = MINUTE_MS  # for the close before; symbols that were quiet ask the venue
_SUMS = ("open", "high", "low", "close", "volume", "amount", "count", "buy_volume", "buy_amount",
         "first_id", "last_id")  # fmt: skip

Row = tuple[int, int, int, int, int, int, int, int]
"""One trade: time, id, price, quantity, amount, first and last id, maker."""


class LateFrames:
    """Closing frames that a fault holds back."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._order = count()
        self._due: list[tuple[float, int, Topic, bytes]] = []

    def hold(self, due_ms: float, topic: Topic, payload: bytes) -> None:
        """Keep a frame until a moment."""
        heapq.heappush(self._due, (due_ms, next(self._order), topic, payload))

    def release(self, now_ms: float) -> None:
        """Send what is due."""
        while self._due and self._due[0][0] <= now_ms:
            _, _, topic, payload = heapq.heappop(self._due)
            self._hub.emit(topic, payload)


class KlineRunner:
    """The running candle of one topic."""

    def __init__(
        self, state: ExchangeState, hub: Hub, late: LateFrames, topic: Topic, stream: Stream,
        listing: Listing, now_ms: int,
    ) -> None:  # fmt: skip
        self._state, self._hub, self._late = state, hub, late
        self.topic, self.stream, self.listing = topic, stream, listing
        self._full = state.spec.kline_push is KlinePush.FULL
        self._number = window_number(stream.interval, now_ms)
        start = window_start(stream.interval, self._number)
        self.candle = Candle(start, window_start(stream.interval, self._number + 1))
        self._muted = self._is_muted()
        self._next_push = now_ms

    @property
    def since_ms(self) -> int:
        """From when on trades are needed to bring a new runner up to date."""
        return self.candle.start - _LOOK_BACK_MS

    def replay(self, rows: list[Row]) -> None:
        """Take in the trades since `since_ms`: those before the window give the close before it."""
        for row in rows:
            if row[0] >= self.candle.start:
                self.add(row)
            else:
                self._stand_at(row[2])

    def settle(self) -> None:
        """Look further back for a price, where the replay has found none."""
        if not self.candle.known:
            before = self._state.venue.close_before(self.listing, self.since_ms)
            if before is not None:
                self._stand_at(before)

    def catch_up(self, now_ms: int) -> None:
        """The same from the truth, for a window too long to be replayed."""
        bars = self._state.venue.bars(
            self.listing, self.stream.interval, self._number, self._number + 1, now_ms
        )
        if len(bars):
            self.candle.known = True
            for name in _SUMS:
                setattr(self.candle, name, int(getattr(bars, name)[0]))

    def _stand_at(self, price: int) -> None:
        candle = self.candle
        candle.open = candle.high = candle.low = candle.close = price
        candle.known = True

    def add(self, row: Row) -> None:
        """Take in one trade of the window."""
        time, _, price, quantity, amount, first_id, last_id, maker = row
        if self.candle.first_id < 0 and self.candle.known:
            self.candle.flat_start = time >= self.candle.start + MINUTE_MS
        self.candle.add(price, quantity, amount, first_id, last_id, maker)

    def roll(self, until_ms: int, now_ms: int) -> None:
        """Close every window that ends up to a moment; frames are of now."""
        while self.candle.end <= until_ms:
            self._close(now_ms)
            self._number += 1
            end = window_start(self.stream.interval, self._number + 1)
            self.candle = self.candle.after(self.candle.end, end)
            self._muted = self._is_muted()
            self._next_push = min(self._next_push, now_ms)
            if not self._full:
                self._send(now_ms, closed=False)

    def push(self, now_ms: int) -> None:
        """Send the candle as it stands, when it is time to; to who has just come in any case."""
        if not self._full:
            if self.topic.joined:
                self.topic.joined = False
                self._send(now_ms, closed=False)
            return
        if now_ms < self._next_push:
            return
        every = self.stream.every_ms
        self._next_push = now_ms - now_ms % every + every
        self._send(now_ms, closed=False)

    def _is_muted(self) -> bool:
        fault_plan = self._state.fault_plan
        return fault_plan.has(FaultKind.MISSING_MINUTE) and bool(
            fault_plan.concerning(FaultKind.MISSING_MINUTE, self.listing, self.candle.start)
        )

    def _close(self, now_ms: int) -> None:
        if not self.candle.count and any(
            start <= self.candle.start and self.candle.end <= end
            for start, end in self._state.venue.quiet(self.listing)
        ):
            return
        fault_plan = self._state.fault_plan
        if fault_plan.has(FaultKind.MISSING_CLOSE) and fault_plan.concerning(
            FaultKind.MISSING_CLOSE, self.listing, now_ms
        ):
            return
        if fault_plan.has(FaultKind.LATE_CLOSE) and (
            fault := fault_plan.concerning(FaultKind.LATE_CLOSE, self.listing, now_ms)
        ):
            wait = 60.0 if fault.seconds_after is None else fault.seconds_after
            self._send(now_ms, closed=True, wait_ms=wait * 1000)
            return
        self._send(now_ms, closed=True)

    def _send(self, now_ms: int, *, closed: bool, wait_ms: float = 0) -> None:
        candle = self.candle
        if not candle.known or self._muted or candle.start >= self.listing.end_ms:
            return
        event_ms = int(now_ms + wait_ms)
        payload = kline(candle, self.stream, self.listing, event_ms, self.topic.unit, closed=closed)
        if wait_ms:
            self._late.hold(now_ms + wait_ms, self.topic, payload)
        else:
            self._hub.emit(self.topic, payload)
