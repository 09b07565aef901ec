"""What the exchange's documents say of its REST side, as data: paths, weights, pools, limits.

Own table of the simulated exchange: clients have theirs, so that one mistake is not made twice.
Weights and limits: developers.binance.com, spot and derivatives REST documents as of 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from alphaqcm.data_collection.simulation.exchange.tape.listing import Market


class Pool(StrEnum):
    """Counters of an address; um and cm share one since 2026-06-30."""

    SPOT = "spot"
    SPOT_RAW = "spot raw requests"
    FUTURES = "futures"
    FUNDING = "funding"
    DATA = "futures data"


@dataclass(frozen=True, slots=True)
class PoolFact:
    """A counter's limit in each fixed window of the exchange's clock."""

    limit: int
    minutes: int = 1


POOLS: Mapping[Pool, PoolFact] = {
    Pool.SPOT: PoolFact(6000),
    Pool.SPOT_RAW: PoolFact(300_000, 5),
    Pool.FUTURES: PoolFact(2400),
    Pool.FUNDING: PoolFact(500, 5),
    Pool.DATA: PoolFact(1000, 5),
}
WEIGHT_POOL: Mapping[Market, Pool] = {
    Market.SPOT: Pool.SPOT,
    Market.UM: Pool.FUTURES,
    Market.CM: Pool.FUTURES,
}


@dataclass(frozen=True, slots=True)
class Weight:
    """What a request costs: by its limit (steps of highest limit and weight), or by its symbol."""

    flat: int = 1
    without_symbol: int | None = None
    steps: tuple[tuple[int, int], ...] = ()
    default_limit: int = 500

    def of(self, params: Mapping[str, str]) -> int:
        """The weight of one request; a limit that is no number costs the least."""
        if self.steps:
            text = params.get("limit", "")
            limit = int(text) if text.isascii() and text.isdigit() else self.default_limit
            return next((weight for top, weight in self.steps if limit <= top), self.steps[-1][1])
        if self.without_symbol is not None and not ({"symbol", "pair"} & set(params)):
            return self.without_symbol
        return self.flat


KLINE_WEIGHT = Weight(steps=((99, 1), (499, 2), (1000, 5), (1500, 10)))
DEPTH_WEIGHT = Weight(steps=((50, 2), (100, 5), (500, 10), (1000, 20)))
SPOT_DEPTH_WEIGHT = Weight(steps=((100, 5), (500, 25), (1000, 50), (5000, 250)), default_limit=100)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path: who answers it, what it costs from which pool, how many rows it gives."""

    handler: str
    market: Market
    weight: Weight = Weight()
    pool: Pool | None = None  # one of its own, counted in requests, beside the weight's
    default_limit: int = 500
    max_limit: int = 1500


def _klines(market: Market, handler: str) -> Endpoint:
    return Endpoint(handler, market, KLINE_WEIGHT)


def _futures(base: str, market: Market) -> dict[str, Endpoint]:
    um = market is Market.UM
    funding_weight = Weight(0) if um else Weight(1)
    pool = Pool.FUNDING if um else None
    return {
        f"{base}/ping": Endpoint("ping", market),
        f"{base}/time": Endpoint("time", market),
        f"{base}/exchangeInfo": Endpoint("exchange_info", market),
        f"{base}/klines": _klines(market, "klines"),
        f"{base}/continuousKlines": _klines(market, "continuous_klines"),
        f"{base}/indexPriceKlines": _klines(market, "index_klines"),
        f"{base}/markPriceKlines": _klines(market, "mark_klines"),
        f"{base}/premiumIndexKlines": _klines(market, "premium_klines"),
        f"{base}/aggTrades": Endpoint("agg_trades", market, Weight(20), max_limit=1000),
        f"{base}/premiumIndex": Endpoint(
            "premium_index", market, Weight(1, without_symbol=10) if um else Weight(10)
        ),
        f"{base}/fundingRate": Endpoint(
            "funding_rate", market, funding_weight, pool, default_limit=100, max_limit=1000
        ),
        f"{base}/fundingInfo": Endpoint("funding_info", market, Weight(0), pool),
        f"{base}/openInterest": Endpoint("open_interest", market),
        f"{base}/depth": Endpoint("depth", market, DEPTH_WEIGHT, max_limit=1000),
    }


ENDPOINTS: Mapping[str, Endpoint] = {
    "/api/v3/ping": Endpoint("ping", Market.SPOT),
    "/api/v3/time": Endpoint("time", Market.SPOT),
    "/api/v3/exchangeInfo": Endpoint("exchange_info", Market.SPOT, Weight(20)),
    "/api/v3/klines": Endpoint("klines", Market.SPOT, Weight(2), max_limit=1000),
    "/api/v3/uiKlines": Endpoint("klines", Market.SPOT, Weight(2), max_limit=1000),
    "/api/v3/aggTrades": Endpoint("agg_trades", Market.SPOT, Weight(4), max_limit=1000),
    "/api/v3/depth": Endpoint(
        "depth", Market.SPOT, SPOT_DEPTH_WEIGHT, default_limit=100, max_limit=5000
    ),
    **_futures("/fapi/v1", Market.UM),
    **_futures("/dapi/v1", Market.CM),
}
DATA_PATHS: Mapping[str, str] = {
    "/futures/data/openInterestHist": "open_interest_history",
    "/futures/data/topLongShortAccountRatio": "long_short_ratio",
    "/futures/data/topLongShortPositionRatio": "long_short_ratio",
    "/futures/data/globalLongShortAccountRatio": "long_short_ratio",
    "/futures/data/takerlongshortRatio": "taker_ratio",
    "/futures/data/takerBuySellVol": "taker_volume",
}
"""On the real hosts um asks by `symbol` and cm by `pair`; with one host that tells them apart."""


def endpoint_of(path: str, params: Mapping[str, str]) -> Endpoint | None:
    """The endpoint of a path; None for a path that the exchange does not have."""
    handler = DATA_PATHS.get(path)
    if handler is None:
        return ENDPOINTS.get(path)
    if "pair" in params:
        return Endpoint(handler, Market.CM, Weight(1), default_limit=30, max_limit=500)
    return Endpoint(handler, Market.UM, Weight(0), Pool.DATA, default_limit=30, max_limit=500)


CM_KLINE_DAYS = 200
AGG_TRADE_HOURS: Mapping[Market, int | None] = {Market.SPOT: None, Market.UM: 48, Market.CM: 24}
METRICS_DAYS = 30
METRICS_PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
FUNDING_ROWS_WITHOUT_RANGE = 200


class ApiError(Exception):
    """An answer of the exchange that refuses a request: code and text as it writes them."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


def bad_symbol() -> ApiError:
    """An unknown symbol."""
    return ApiError(-1121, "Invalid symbol.")


def missing(name: str) -> ApiError:
    """A parameter that must be sent was not."""
    return ApiError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def illegal(name: str, legal: str) -> ApiError:
    """A parameter with characters that it cannot have."""
    return ApiError(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )
