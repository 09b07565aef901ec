"""Facts about the exchange as data: hosts, routes, weights, limits, trade types.

Sources: the exchange's own documentation (https://developers.binance.com/docs) for spot, USD-M and
COIN-M futures. Hosts and limits change: nothing outside this module knows one, and the limits that
`exchangeInfo` tells replace those given here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.registry import Market

EXCHANGE_VARIABLE = "ALPHAQCM_EXCHANGE"
"""Environment variable that sets the default host of every REST route, for the stand-in."""

USED_WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"


class Pool(StrEnum):
    """What shares one counter of weight or requests at the exchange."""

    SPOT = "spot"
    FUTURES = "futures"  # um and cm: one counter an address
    FUNDING = "funding"
    FUTURES_DATA = "futures-data"


@dataclass(frozen=True, slots=True)
class PoolLimit:
    """How much a pool allows in one window of fixed clock time."""

    limit: int
    window: int  # seconds; windows begin at whole multiples of it
    told_by_header: bool = True


POOL_LIMITS: Mapping[Pool, PoolLimit] = {
    Pool.SPOT: PoolLimit(6000, 60),
    Pool.FUTURES: PoolLimit(2400, 60),
    Pool.FUNDING: PoolLimit(500, 300, told_by_header=False),
    Pool.FUTURES_DATA: PoolLimit(1000, 300, told_by_header=False),
}

POOL_OF_MARKET: Mapping[Market, Pool] = {
    Market.SPOT: Pool.SPOT,
    Market.UM: Pool.FUTURES,
    Market.CM: Pool.FUTURES,
}


@dataclass(frozen=True, slots=True)
class Weight:
    """What one request costs: fixed, by its `limit`, or more where it names no symbol."""

    base: int
    by_limit: tuple[tuple[int, int], ...] = ()  # (up to this limit, weight), ascending
    without_symbol: int | None = None
    default_limit: int = 500

    def of(self, parameters: Mapping[str, object]) -> int:
        """The weight of a request with these parameters."""
        if self.without_symbol is not None and "symbol" not in parameters:
            return self.without_symbol
        limit = int(str(parameters.get("limit", self.default_limit)))
        return next((weight for top, weight in self.by_limit if limit <= top), self.base)


class Endpoint(StrEnum):
    """REST endpoints, by the exchange's own last path element."""

    PING = "ping"
    TIME = "time"
    EXCHANGE_INFO = "exchangeInfo"
    KLINES = "klines"
    CONTINUOUS_KLINES = "continuousKlines"
    INDEX_KLINES = "indexPriceKlines"
    MARK_KLINES = "markPriceKlines"
    PREMIUM_KLINES = "premiumIndexKlines"
    AGG_TRADES = "aggTrades"
    PREMIUM_INDEX = "premiumIndex"
    FUNDING_RATE = "fundingRate"
    FUNDING_INFO = "fundingInfo"
    OPEN_INTEREST = "openInterest"
    OPEN_INTEREST_HISTORY = "openInterestHist"
    TOP_ACCOUNT_RATIO = "topLongShortAccountRatio"
    TOP_POSITION_RATIO = "topLongShortPositionRatio"
    GLOBAL_RATIO = "globalLongShortAccountRatio"
    TAKER_VOLUME = "takerlongshortRatio"
    DEPTH = "depth"


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint of one market."""

    path: str
    pool: Pool
    weight: Weight


_ONE = Weight(1)
_KLINES = Weight(10, by_limit=((99, 1), (499, 2), (1000, 5), (1500, 10)))
_FUTURES_DEPTH = Weight(20, by_limit=((50, 2), (100, 5), (500, 10), (1000, 20)))
_SPOT: Mapping[Endpoint, Weight] = {
    Endpoint.PING: _ONE,
    Endpoint.TIME: _ONE,
    Endpoint.EXCHANGE_INFO: Weight(20),
    Endpoint.KLINES: Weight(2),
    Endpoint.AGG_TRADES: Weight(4),
    Endpoint.DEPTH: Weight(250, by_limit=((100, 5), (500, 25), (1000, 50)), default_limit=100),
}
_FUTURES: Mapping[Endpoint, Weight] = {
    Endpoint.PING: _ONE,
    Endpoint.TIME: _ONE,
    Endpoint.EXCHANGE_INFO: _ONE,
    Endpoint.KLINES: _KLINES,
    Endpoint.CONTINUOUS_KLINES: _KLINES,
    Endpoint.INDEX_KLINES: _KLINES,
    Endpoint.MARK_KLINES: _KLINES,
    Endpoint.PREMIUM_KLINES: _KLINES,
    Endpoint.AGG_TRADES: Weight(20),
    Endpoint.PREMIUM_INDEX: Weight(1, without_symbol=10),
    Endpoint.FUNDING_RATE: _ONE,
    Endpoint.FUNDING_INFO: _ONE,
    Endpoint.OPEN_INTEREST: _ONE,
    Endpoint.DEPTH: _FUTURES_DEPTH,
}
_DATA = (
    Endpoint.OPEN_INTEREST_HISTORY,
    Endpoint.TOP_ACCOUNT_RATIO,
    Endpoint.TOP_POSITION_RATIO,
    Endpoint.GLOBAL_RATIO,
    Endpoint.TAKER_VOLUME,
)
_PREFIX = {Market.SPOT: "/api/v3", Market.UM: "/fapi/v1", Market.CM: "/dapi/v1"}


def _routes() -> dict[tuple[Market, Endpoint], Route]:
    routes = {}
    for market, weights in ((Market.SPOT, _SPOT), (Market.UM, _FUTURES), (Market.CM, _FUTURES)):
        for endpoint, weight in weights.items():
            pool = POOL_OF_MARKET[market]
            if market is Market.UM and endpoint in (Endpoint.FUNDING_RATE, Endpoint.FUNDING_INFO):
                pool = Pool.FUNDING
            routes[market, endpoint] = Route(f"{_PREFIX[market]}/{endpoint}", pool, weight)
    for endpoint in _DATA:
        path = f"/futures/data/{endpoint}"
        routes[Market.UM, endpoint] = Route(path, Pool.FUTURES_DATA, _ONE)
        if endpoint is Endpoint.TAKER_VOLUME:
            path = "/futures/data/takerBuySellVol"
        routes[Market.CM, endpoint] = Route(path, Pool.FUTURES_DATA, _ONE)
    return routes


ROUTES: Mapping[tuple[Market, Endpoint], Route] = _routes()


@dataclass(frozen=True, slots=True)
class KlineLimits:
    """How to page klines of a market."""

    page: int  # candles a page that cost least weight a candle
    most: int  # candles the exchange gives at most
    most_days: int | None = None  # longest time from start to end of one request


KLINE_LIMITS: Mapping[Market, KlineLimits] = {
    Market.SPOT: KlineLimits(page=1000, most=1000),
    Market.UM: KlineLimits(page=499, most=1500),
    Market.CM: KlineLimits(page=499, most=1500, most_days=200),
}


@dataclass(frozen=True, slots=True)
class Bases:
    """The address of each market's REST host, without a last slash."""

    spot: str = "https://api.binance.com"
    um: str = "https://fapi.binance.com"
    cm: str = "https://dapi.binance.com"

    @classmethod
    def at(cls, url: str) -> Bases:
        """One host for all markets, as the stand-in serves them; raises `UsageError`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UsageError(f"exchange {url}", expected="an http(s) address")
        base = url.rstrip("/")
        return cls(base, base, base)

    @classmethod
    def default(cls) -> Bases:
        """The real hosts, or the one that `ALPHAQCM_EXCHANGE` names."""
        url = os.environ.get(EXCHANGE_VARIABLE)
        return cls.at(url) if url else cls()

    def of(self, market: Market) -> str:
        """The host of one market."""
        return {Market.SPOT: self.spot, Market.UM: self.um, Market.CM: self.cm}[market]


PUBLIC_DATA_HOST = "https://data-api.binance.vision"
"""Spot market data only; may answer where the other hosts refuse a region."""

PERPETUAL = "PERPETUAL"
DELIVERY = ("CURRENT_QUARTER", "NEXT_QUARTER", "CURRENT_MONTH", "NEXT_MONTH")


@dataclass(frozen=True, slots=True)
class TradeType:
    """A part of a market under the name that users give it; the name is also a folder's."""

    name: str
    market: Market
    quote: str | None = None  # only this quote asset
    contracts: tuple[str, ...] = ()  # only these contract types


TRADE_TYPES: Mapping[str, TradeType] = {
    one.name: one
    for one in (
        TradeType("spot", Market.SPOT),
        TradeType("usdt_futures", Market.UM),
        TradeType("coin_futures", Market.CM),
        TradeType("usdt_spot", Market.SPOT, "USDT"),
        TradeType("usdc_spot", Market.SPOT, "USDC"),
        TradeType("btc_spot", Market.SPOT, "BTC"),
        TradeType("usdt_perp", Market.UM, "USDT", (PERPETUAL,)),
        TradeType("usdc_perp", Market.UM, "USDC", (PERPETUAL,)),
        TradeType("btc_perp", Market.UM, "BTC", (PERPETUAL,)),
        TradeType("usdt_deli", Market.UM, "USDT", DELIVERY),
        TradeType("coin_perp", Market.CM, None, (PERPETUAL,)),
        TradeType("coin_deli", Market.CM, None, DELIVERY),
    )
}
TRADE_TYPE_ALIASES: Mapping[str, str] = {"usdt_swap": "usdt_perp", "coin_swap": "coin_perp"}

TRADE_TYPE_OF_MARKET: Mapping[Market, str] = {
    Market.SPOT: "spot",
    Market.UM: "usdt_futures",
    Market.CM: "coin_futures",
}


def parse_trade_type(name: str) -> TradeType:
    """The trade type called `name`, an alias included; raises `UsageError`."""
    known = TRADE_TYPES.get(TRADE_TYPE_ALIASES.get(name, name))
    if known is None:
        raise UsageError(
            f"trade type {name!r}",
            expected="one of " + ", ".join([*TRADE_TYPES, *TRADE_TYPE_ALIASES]),
        )
    return known
