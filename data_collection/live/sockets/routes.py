"""Facts about the exchange's streams as data: hosts, routes, limits, names of streams.

Source: the exchange's documentation (https://developers.binance.com/docs) of 2026. Hosts, routes
and limits change: nothing outside this module knows one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from alphaqcm.data_collection.exchange.endpoints import Bases
from alphaqcm.pipeline.domain.registry import Market

STREAMS_A_CONNECTION = 200
"""Documents disagree between 200 and 1024: the smaller is kept to."""

MESSAGES_A_SECOND = 4
"""Messages of ours on one connection; the exchange allows 5 (spot) or 10."""

CONNECTS, CONNECTS_WINDOW = 300, 300.0
"""Connections that an address may open in so many seconds."""

NAMES_A_MESSAGE = 50
LIFE = 23 * 3600.0
"""Seconds after which a connection is replaced; the exchange ends it after 24 hours."""


@dataclass(frozen=True, slots=True)
class SocketFact:
    """One market's streams: the routes to try in order, and a stream that is never silent."""

    routes: tuple[str, ...]
    pulse: str  # a frame a second, whatever is traded


SOCKETS: Mapping[Market, SocketFact] = {
    Market.SPOT: SocketFact(("/ws",), "btcusdt@kline_1s"),
    Market.UM: SocketFact(("/market/ws", "/ws"), "btcusdt@markPrice@1s"),
    # documents say unsplit, one report says split: both are tried
    Market.CM: SocketFact(("/ws", "/market/ws"), "btcusd_perp@markPrice@1s"),
}
BOOK_ROUTES: Mapping[Market, tuple[str, ...]] = {
    Market.SPOT: ("/stream",),
    Market.UM: ("/public/stream", "/stream"),
    Market.CM: ("/stream", "/public/stream"),
}
"""Routes of order books; combined ones, as spot's books do not name their symbol."""

CONTRACT_INFO = "!contractInfo"
FORCE_ORDERS = "!forceOrder@arr"
ST: Mapping[Market, int] = {Market.UM: 1, Market.CM: 2}
"""Arrays of all symbols carry rows of both futures markets, told apart by `st`."""

_SOCKET_HOSTS: Mapping[Market, str] = {
    Market.SPOT: "wss://stream.binance.com:9443",
    Market.UM: "wss://fstream.binance.com",
    Market.CM: "wss://dstream.binance.com",
}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where REST and streams of each market are, without a last slash."""

    spot: str = "https://api.binance.com"
    um: str = "https://fapi.binance.com"
    cm: str = "https://dapi.binance.com"
    spot_ws: str = _SOCKET_HOSTS[Market.SPOT]
    um_ws: str = _SOCKET_HOSTS[Market.UM]
    cm_ws: str = _SOCKET_HOSTS[Market.CM]

    @classmethod
    def at(cls, url: str) -> Addresses:
        """One host for everything, as the stand-in has it; raises `UsageError`."""
        rest = Bases.at(url).um
        socket = "ws" + rest.removeprefix("http")
        return cls(rest, rest, rest, *(f"{socket}/{name}-ws" for name in ("spot", "um", "cm")))

    @classmethod
    def parse(cls, value: object) -> Addresses:
        """From a mapping of names to addresses; raises ValueError, which says what is allowed."""
        names = tuple(field.name for field in fields(cls))
        if value is None:
            return cls()
        wanted = "null or an object of " + ", ".join(names)
        if not isinstance(value, dict) or not set(value) <= set(names):
            raise ValueError(wanted)
        for name, address in value.items():
            schemes = ("ws://", "wss://") if name.endswith("_ws") else ("http://", "https://")
            if not isinstance(address, str) or not address.startswith(schemes):
                raise ValueError(f"for {name} an address that starts with {' or '.join(schemes)}")
        return cls(**{name: address.rstrip("/") for name, address in value.items()})

    @property
    def rest(self) -> Bases:
        """The REST hosts."""
        return Bases(self.spot, self.um, self.cm)

    def socket(self, market: Market) -> str:
        """The host of a market's streams."""
        return {Market.SPOT: self.spot_ws, Market.UM: self.um_ws, Market.CM: self.cm_ws}[market]


TESTNET = Addresses(
    spot="https://testnet.binance.vision",
    um="https://testnet.binancefuture.com",
    cm="https://testnet.binancefuture.com",
    spot_ws="wss://stream.testnet.binance.vision",
    um_ws="wss://fstream.binancefuture.com",
    cm_ws="wss://dstream.binancefuture.com",
)
"""The exchange's test networks: made-up money, prices of their own."""


def kline_stream(symbol: str, interval: str) -> str:
    """The name of a symbol's candle stream; what is not ASCII stays as it is."""
    return f"{symbol.lower()}@kline_{interval}"


def trade_stream(symbol: str) -> str:
    """The name of a symbol's stream of aggregated trades."""
    return f"{symbol.lower()}@aggTrade"


def book_stream(symbol: str) -> str:
    """The name of a symbol's stream of the twenty best levels, ten a second."""
    return f"{symbol.lower()}@depth20@100ms"


def mark_stream(symbol: str) -> str:
    """The name of a symbol's stream of mark prices, one a second."""
    return f"{symbol.lower()}@markPrice@1s"
