"""Names of streams: what each one means, and on which route its frames come.

Own table of the simulated exchange. USDⓈ-M streams are split by route since 2026-04-23: on the
wrong route, or on none, a subscription is acknowledged and nothing ever comes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from alphaqcm.data_collection.simulation.exchange.tape.intervals import INTERVALS
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.venue import Venue


class Kind(StrEnum):
    """Kinds of streams."""

    KLINE = "kline"
    CONTINUOUS = "continuousKline"
    AGG_TRADE = "aggTrade"
    TRADE = "trade"
    MARK = "markPrice"
    FORCE_ORDER = "forceOrder"
    BOOK_TICKER = "bookTicker"
    DEPTH = "depth"
    PARTIAL_DEPTH = "partialDepth"
    CONTRACT_INFO = "contractInfo"


class Route(StrEnum):
    """First part of a path: spot has none; um must have the right one."""

    NONE = ""
    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"


_PUBLIC = frozenset({Kind.BOOK_TICKER, Kind.DEPTH, Kind.PARTIAL_DEPTH})


@dataclass(frozen=True, slots=True)
class SocketFact:
    """A market's limits of one connection; times on the exchange's clock."""

    messages_a_second: int
    streams: int
    ping_ms: int
    pong_ms: int


SOCKETS: Mapping[Market, SocketFact] = {
    Market.SPOT: SocketFact(5, 1024, 20_000, 60_000),
    Market.UM: SocketFact(10, 200, 180_000, 600_000),
    Market.CM: SocketFact(10, 200, 180_000, 600_000),
}
LIFE_MS = 24 * 3_600_000
CONNECTS = 300
CONNECTS_MS = 300_000


@dataclass(frozen=True, slots=True)
class Stream:
    """What a stream's name means; without a listing it is of all symbols."""

    kind: Kind
    listing: Listing | None = None
    interval: str = ""
    every_ms: int = 0  # between two frames, where that is fixed
    levels: int = 0
    pair: str = ""
    contract_type: str = ""


_ALL: Mapping[str, Stream] = {
    "!markPrice@arr": Stream(Kind.MARK, every_ms=3000),
    "!markPrice@arr@1s": Stream(Kind.MARK, every_ms=1000),
    "!forceOrder@arr": Stream(Kind.FORCE_ORDER),
    "!bookTicker": Stream(Kind.BOOK_TICKER),
    "!contractInfo": Stream(Kind.CONTRACT_INFO),
}
_DEPTH = re.compile(r"depth(5|10|20)?(?:@(100|250|500|1000)ms)?")


def stream_of(name: str, market: Market, venue: Venue) -> Stream | None:
    """The stream that a name means; None where the market has none of that name."""
    if name.startswith("!"):
        return None if market is Market.SPOT else _ALL.get(name)
    symbol, _, rest = name.partition("@")
    if symbol != symbol.lower():
        return None
    if rest.startswith("continuousKline_") and market is not Market.SPOT:
        return _continuous(symbol, rest, market, venue)
    listing = venue.find(market, symbol.upper())
    return None if listing is None else _of_symbol(rest, listing)


def _of_symbol(rest: str, listing: Listing) -> Stream | None:
    spot = listing.market is Market.SPOT
    if rest.startswith("kline_"):
        interval = rest.removeprefix("kline_")
        if interval not in INTERVALS or (interval == "1s" and not spot):
            return None
        every = (1000 if interval == "1s" else 2000) if spot else 250
        return Stream(Kind.KLINE, listing, interval, every)
    if rest == "aggTrade" or rest == "bookTicker" or (rest == "trade" and spot):
        return Stream(Kind(rest), listing)
    if not spot and rest in ("markPrice", "markPrice@1s"):
        return Stream(Kind.MARK, listing, every_ms=1000 if rest.endswith("1s") else 3000)
    if not spot and rest == "forceOrder":
        return Stream(Kind.FORCE_ORDER, listing)
    if found := _DEPTH.fullmatch(rest):
        every = int(found[2] or (1000 if spot else 250))
        kind = Kind.PARTIAL_DEPTH if found[1] else Kind.DEPTH
        return Stream(kind, listing, every_ms=every, levels=int(found[1] or 0))
    return None


def _continuous(name: str, rest: str, market: Market, venue: Venue) -> Stream | None:
    interval = rest.removeprefix("continuousKline_")
    pair, _, contract_type = name.partition("_")
    for listing in venue.listings(market):
        kind = listing.contract_type.value
        if listing.pair.lower() == pair and kind.lower() == contract_type and interval in INTERVALS:
            return Stream(
                Kind.CONTINUOUS, listing, interval, 250, pair=listing.pair, contract_type=kind
            )
    return None


def delivers(stream: Stream, market: Market, route: Route, *, cm_routed: bool) -> bool:
    """Whether frames of a stream come on a route; elsewhere there is only the acknowledgement."""
    if market is Market.SPOT or (market is Market.CM and not cm_routed):
        return route is Route.NONE
    return route is (Route.PUBLIC if stream.kind in _PUBLIC else Route.MARKET)
