"""Streams that follow the clock, not the trades: mark prices, forced orders, books, contracts."""

from __future__ import annotations

from alphaqcm.data_collection.simulation.exchange.faults import FaultKind
from alphaqcm.data_collection.simulation.exchange.rest.trading import levels
from alphaqcm.data_collection.simulation.exchange.sockets import frames
from alphaqcm.data_collection.simulation.exchange.sockets.frames import MarkRow
from alphaqcm.data_collection.simulation.exchange.sockets.streams import Kind
from alphaqcm.data_collection.simulation.exchange.sockets.topics import Hub, Topic
from alphaqcm.data_collection.simulation.exchange.state import ExchangeState
from alphaqcm.data_collection.simulation.exchange.tape.intervals import HOUR_MS, SECOND_MS
from alphaqcm.data_collection.simulation.exchange.tape.listing import (
    ContractType,
    Listing,
    Market,
)
from alphaqcm.data_collection.simulation.exchange.text import writer

_DIFF_LEVELS = 6
Name = tuple[Market, str]
_EIGHT = writer(8)
_NO_EVENT = b'{"e":"forceOrder","E":"soon"}'


class MergedRows:
    """What the streams of both futures markets carry: event by event, or in arrays by a fault."""

    def __init__(self, state: ExchangeState, hub: Hub) -> None:
        self._state, self._hub = state, hub
        self._held: dict[Topic, tuple[float, list[bytes]]] = {}  # until when, and the rows

    def tell(self, topic: Topic, payload: bytes, now_ms: int) -> None:
        """Send a row, or hold it for its array."""
        fault_plan = self._state.fault_plan
        fault = fault_plan.has(FaultKind.MERGED_ARRAYS) and fault_plan.strike(
            FaultKind.MERGED_ARRAYS, now_ms, market=topic.market, stream=topic.name
        )
        if not fault:
            self._hub.emit(topic, payload)
            return
        wait = 10.0 if fault.seconds_after is None else fault.seconds_after
        self._held.setdefault(topic, (now_ms + wait * 1000, []))[1].append(payload)

    def release(self, now_ms: int) -> None:
        """Send the arrays that are due."""
        for topic in [topic for topic, (due_ms, _) in self._held.items() if due_ms <= now_ms]:
            _, rows = self._held.pop(topic)
            self._hub.emit(topic, b"[" + b",".join([_NO_EVENT, *rows]) + b"]")


class SlowStreams:
    """Everything that is sent because time has passed."""

    def __init__(self, state: ExchangeState, hub: Hub) -> None:
        self._state, self._hub = state, hub
        self._marks: list[Topic] = []
        self._forced: list[Topic] = []
        self._books: list[Topic] = []
        self._contracts: list[Topic] = []
        self._statuses: dict[Name, str] = {}
        self._rates: dict[Name, tuple[int, str]] = {}
        self._merged = MergedRows(state, hub)
        self._second_ms = 0  # the last step in which a second ended
        self.last_price: dict[Name, int] = {}

    def regroup(self, topics: list[Topic]) -> None:
        """Take over the topics of the clock."""

        def of(*kinds: Kind) -> list[Topic]:
            return [t for t in topics if t.stream is not None and t.stream.kind in kinds]

        self._marks, self._forced = of(Kind.MARK), of(Kind.FORCE_ORDER)
        self._books = of(Kind.DEPTH, Kind.PARTIAL_DEPTH)
        self._contracts = of(Kind.CONTRACT_INFO)

    def step(self, last_ms: int, now_ms: int) -> None:
        """Send what became due in (last, now]."""
        for topic in self._books:
            every = topic.stream.every_ms if topic.stream else 0
            before, after = last_ms // every, now_ms // every
            if after > before:
                self._book(topic, before * every, after * every)
        if now_ms // SECOND_MS == last_ms // SECOND_MS:
            return
        self._mark_prices(last_ms, now_ms)
        since_ms, self._second_ms = self._second_ms or last_ms, now_ms
        if self._forced:
            self._force_orders(since_ms, now_ms)
        self._contract_infos(now_ms)
        self._merged.release(now_ms)

    def best(self, listing: Listing, price: int, now_ms: int) -> tuple[list[str], list[str]]:
        """The best bid and ask at a last price."""
        bids, asks = levels(listing, price, now_ms, 1)
        return (bids or asks)[0], asks[0]

    def _alive(self, market: Market, now_ms: int) -> list[Listing]:
        return [
            one
            for one in self._state.venue.listings(market)
            if one.onboard_ms <= now_ms < one.end_ms
        ]

    def _mark_prices(self, last_ms: int, now_ms: int) -> None:
        due = [t for t in self._marks if t.stream and self._is_due(t, last_ms, now_ms)]
        if not due:
            return
        wanted: dict[Name, Listing] = {}
        for topic in due:
            listing = topic.stream.listing if topic.stream else None
            for one in [listing] if listing else self._alive(topic.market, now_ms):
                if one.onboard_ms <= now_ms < one.end_ms:
                    wanted[(one.market, one.symbol)] = one
        listings = list(wanted.values())
        marks, indices = self._state.venue.tape.marks(listings, now_ms)
        payloads: dict[Name, bytes] = {}
        for one, mark, index in zip(listings, marks.tolist(), indices.tolist(), strict=True):
            rate, next_ms = self._rate(one, now_ms)
            row = MarkRow(one, mark, index, rate, next_ms)
            payloads[(one.market, one.symbol)] = frames.mark_price(row, now_ms)
        for topic in due:
            listing = topic.stream.listing if topic.stream else None
            if listing is not None:
                payload = payloads.get((listing.market, listing.symbol))
                if payload is not None:
                    self._hub.emit(topic, payload)
                continue
            # stock and commodity perpetuals come in a message of their own
            for stocks in (False, True):
                rows = [
                    payloads[name]
                    for name, one in wanted.items()
                    if one.market is topic.market
                    and (one.contract_type is ContractType.TRADIFI) == stocks
                ]
                if rows:
                    self._hub.emit(topic, b"[" + b",".join(rows) + b"]")

    @staticmethod
    def _is_due(topic: Topic, last_ms: int, now_ms: int) -> bool:
        every = topic.stream.every_ms if topic.stream else 1
        return now_ms // every > last_ms // every

    def _rate(self, listing: Listing, now_ms: int) -> tuple[str, int]:
        """The rate of the running funding period and its end."""
        if not listing.has_funding:
            return "", 0
        step = listing.funding_hours * HOUR_MS
        end = (now_ms // step + 1) * step
        name = (listing.market, listing.symbol)
        if self._rates.get(name, (0, ""))[0] != end:
            rows = self._state.venue.tape.settlements(listing, end - step, end - step + 1000)
            rows = [row for row in rows if row.kind == "Regular"]
            self._rates[name] = (end, _EIGHT(rows[0].rate) if rows else "0.00010000")
        return self._rates[name][1], end

    def _force_orders(self, last_ms: int, now_ms: int) -> None:
        markets = {topic.market for topic in self._forced}
        merged = [topic for topic in self._forced if topic.name.startswith("!")]
        if merged:
            markets = {Market.UM, Market.CM}
        listings = [one for market in markets for one in self._alive(market, now_ms)]
        single = {
            (t.market, t.stream.listing.symbol): t
            for t in self._forced
            if t.stream and t.stream.listing
        }
        tape = self._state.venue.tape
        for row in tape.liquidations(listings, last_ms, now_ms):
            if any(g.concerns(row.listing) and g.start_ms <= row.time_ms < g.end_ms
                   for g in self._state.venue.gaps):  # fmt: skip
                continue
            for topic in merged:
                self._merged.tell(topic, frames.force_order(row, now_ms, merged=True), now_ms)
            mine = single.get((row.listing.market, row.listing.symbol))
            if mine is not None:
                self._hub.emit(mine, frames.force_order(row, now_ms, merged=False))

    def _book(self, topic: Topic, before_ms: int, now_ms: int) -> None:
        stream = topic.stream
        if stream is None or stream.listing is None:
            return
        listing = stream.listing
        name = (listing.market, listing.symbol)
        price = self.last_price.get(name)
        if price is None:
            last = self._state.venue.last_trades(listing, now_ms, 1)
            if not len(last):
                return
            price = self.last_price[name] = int(last.price[0])
        sides = levels(listing, price, now_ms, stream.levels or _DIFF_LEVELS)
        if stream.levels and listing.market is Market.SPOT:
            self._hub.emit(topic, frames.spot_depth(sides, now_ms))
        else:
            self._hub.emit(topic, frames.depth_update(listing, sides, before_ms, now_ms))

    def _contract_infos(self, now_ms: int) -> None:
        """Tell what changed its status; what is seen for the first time is only remembered."""
        if not self._contracts:
            self._statuses.clear()
            return
        known = bool(self._statuses)
        for market in (Market.UM, Market.CM):
            for one in self._state.venue.listings(market):
                name, status = (market, one.symbol), self._state.venue.status(one, now_ms)
                if self._statuses.get(name) == status:
                    continue
                self._statuses[name] = status
                if known:
                    payload = frames.contract_info(one, status, now_ms)
                    for topic in self._contracts:
                        self._merged.tell(topic, payload, now_ms)
