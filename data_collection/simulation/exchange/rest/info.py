"""`ping`, `time` and `exchangeInfo`: the symbols with their filters, as each market writes them."""

from __future__ import annotations

import orjson

from alphaqcm.data_collection.simulation.exchange.facts import (
    POOLS,
    WEIGHT_POOL,
    Pool,
    bad_symbol,
    illegal,
)
from alphaqcm.data_collection.simulation.exchange.rest.request import Ask
from alphaqcm.data_collection.simulation.exchange.tape.listing import (
    ContractType,
    Listing,
    Market,
)
from alphaqcm.data_collection.simulation.exchange.text import writer

_SPOT_ORDERS = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"]
_FUTURES_ORDERS = [
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
]


def ping(_ask: Ask) -> bytes:
    """An empty object."""
    return b"{}"


def time(ask: Ask) -> bytes:
    """The exchange's clock."""
    return orjson.dumps({"serverTime": ask.now_ms * ask.unit})


def exchange_info(ask: Ask) -> bytes:
    """Limits and symbols; spot can be asked for some symbols only."""
    listings = ask.venue.listings(ask.market)
    if ask.market is Market.SPOT and {"symbol", "symbols"} & set(ask.params):
        listings = _named(ask)
    writes = {Market.SPOT: _spot, Market.UM: _um, Market.CM: _cm}[ask.market]
    answer: dict[str, object] = {"timezone": "UTC", "serverTime": ask.now_ms}
    if ask.market is Market.UM:
        answer["futuresType"] = "U_MARGINED"
    answer |= {"rateLimits": rate_limits(ask.market), "exchangeFilters": []}
    if ask.market is Market.UM:
        margins = sorted({one.margin for one in listings})
        answer["assets"] = [
            {"asset": name, "marginAvailable": True, "autoAssetExchange": "-10000"}
            for name in margins
        ]
    answer["symbols"] = [writes(one, ask.venue.status(one, ask.now_ms)) for one in listings]
    return orjson.dumps(answer)


def _named(ask: Ask) -> list[Listing]:
    if "symbol" in ask.params:
        names = [ask.params["symbol"]]
    else:
        try:
            names = orjson.loads(ask.params["symbols"])
        except orjson.JSONDecodeError as error:
            raise illegal("symbols", '["[A-Z0-9-_.]{1,20}"]') from error
    found = [ask.venue.find(ask.market, str(name)) for name in names]
    if None in found or not found:
        raise bad_symbol()
    return [one for one in found if one is not None]


def rate_limits(market: Market) -> list[dict[str, object]]:
    """The limits of requests and orders."""
    rows: list[dict[str, object]] = [
        _limit("REQUEST_WEIGHT", "MINUTE", 1, POOLS[WEIGHT_POOL[market]].limit)
    ]
    if market is Market.SPOT:
        raw = POOLS[Pool.SPOT_RAW]
        return [
            *rows,
            _limit("ORDERS", "SECOND", 10, 100),
            _limit("ORDERS", "DAY", 1, 200_000),
            _limit("RAW_REQUESTS", "MINUTE", raw.minutes, raw.limit),
        ]
    rows.append(_limit("ORDERS", "MINUTE", 1, 1200))
    if market is Market.UM:
        rows.append(_limit("ORDERS", "SECOND", 10, 300))
    return rows


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, object]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def _filters(listing: Listing, limit_name: str) -> list[dict[str, object]]:
    places = 8 if listing.market is Market.SPOT else None
    price = writer(listing.price_decimals, places)
    lot = writer(listing.quantity_decimals, places)
    step = lot(1)
    most = lot(9000 * 10**listing.quantity_decimals)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": price(listing.tick),
            "maxPrice": price(10**6 * 10**listing.price_decimals),
            "tickSize": price(listing.tick),
        },
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": most, "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": most, "stepSize": step},
        {"filterType": "MAX_NUM_ORDERS", limit_name: 200},
    ]


def _spot(listing: Listing, status: str) -> dict[str, object]:
    return {
        "symbol": listing.symbol,
        "status": status,
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _SPOT_ORDERS,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            *_filters(listing, "maxNumOrders"),
            {"filterType": "ICEBERG_PARTS", "limit": 10},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def _futures(listing: Listing) -> dict[str, object]:
    return {
        "symbol": listing.symbol,
        "pair": listing.pair,
        "contractType": listing.contract_type,
        "deliveryDate": listing.delivery_ms,
        "onboardDate": listing.onboard_ms,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.margin,
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.quantity_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "maxMoveOrderLimit": 10000,
        "underlyingType": "EQUITY" if listing.contract_type is ContractType.TRADIFI else "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "orderTypes": _FUTURES_ORDERS,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


_PERCENT = {
    "filterType": "PERCENT_PRICE",
    "multiplierUp": "1.0500",
    "multiplierDown": "0.9500",
    "multiplierDecimal": "4",
}


def _um(listing: Listing, status: str) -> dict[str, object]:
    return _futures(listing) | {
        "status": status,
        "permissionSets": ["GRID", "COPY"],
        "filters": [
            *_filters(listing, "limit"),
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            _PERCENT,
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
        ],
    }


def _cm(listing: Listing, status: str) -> dict[str, object]:
    return _futures(listing) | {
        "contractStatus": status,
        "contractSize": listing.contract_size,
        "equalQtyPrecision": 4,
        "filters": [
            *_filters(listing, "limit"),
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 100},
            _PERCENT,
        ],
    }
