"""The symbols of an archive tree: names, decimals and life, as its rows tell them."""

from __future__ import annotations

import re

from alphaqcm.data_collection.simulation.exchange.tape.archive import (
    DECIMALS,
    FUNDING_COLUMNS,
    KLINE_COLUMNS,
    TRADE_COLUMNS,
    Tree,
)
from alphaqcm.data_collection.simulation.exchange.tape.intervals import MINUTE_MS
from alphaqcm.data_collection.simulation.exchange.tape.listing import (
    FOREVER_MS,
    ContractType,
    Listing,
    Market,
)
from alphaqcm.data_collection.simulation.exchange.tape.trades import Ints
from alphaqcm.data_collection.simulation.exchange.tape.universe import QUOTES

_PRICES = ("open", "high", "low", "close")


def listings_of(tree: Tree, end_ms: int) -> tuple[Listing, ...]:
    """Every symbol of a tree that ends at `end_ms`."""
    return tuple(
        listing
        for market in Market
        for symbol in tree.by_symbol(market)
        if (listing := _listing(tree, end_ms, market, symbol)) is not None
    )


def _listing(tree: Tree, end_ms: int, market: Market, symbol: str) -> Listing | None:
    traded = bool(tree.parts(market, "aggTrades", symbol))
    kind, names = ("aggTrades", TRADE_COLUMNS) if traded else ("klines", KLINE_COLUMNS)
    price, quantity, amount, first, last, level = 0, 0, 0, FOREVER_MS, 0, 1
    for _, columns in tree.rows(market, kind, symbol, names):
        time = columns["time" if traded else "start"]
        if not len(time):
            continue
        price = max(price, _decimals(columns["price" if traded else "open"]))
        quantity = max(quantity, _decimals(columns["quantity" if traded else "volume"]))
        if not traded:
            price = max(price, *(_decimals(columns[name]) for name in _PRICES))
            amount = max(amount, _decimals(columns["amount"]), _decimals(columns["buy_amount"]))
        first, last = min(first, int(time.min())), max(last, int(time.max()))
        level = int(columns["price" if traded else "close"][-1])
    if not last:
        return None
    base, quote = _assets(market, symbol)
    ends_ms = _end_of(tree, end_ms, market, symbol, last)
    return Listing(
        market=market,
        symbol=symbol,
        base=base,
        quote=quote,
        price=level / 10**DECIMALS,
        price_decimals=max(price, amount - quantity),
        tick=1,
        quantity_decimals=quantity,
        onboard_ms=first - first % MINUTE_MS,
        end_ms=ends_ms if ends_ms < end_ms else FOREVER_MS,
        contract_type=_contract(market, symbol),
        contract_size=(100 if base == "BTC" else 10) if market is Market.CM else 0,
        funding_hours=_hours(tree, market, symbol),
    )


def _end_of(tree: Tree, end_ms: int, market: Market, symbol: str, last_ms: int) -> int:
    """Where the symbol's minutes end; without any, its last file, or its last trade in it."""
    ends = [
        int(columns["start"].max()) + MINUTE_MS
        for _, columns in tree.rows(market, "klines", symbol, KLINE_COLUMNS)
        if len(columns["start"])
    ]
    if ends:
        return max(ends)
    file_end = tree.parts(market, "aggTrades", symbol)[-1].end_ms
    return file_end if file_end >= end_ms else last_ms - last_ms % MINUTE_MS + MINUTE_MS


def _hours(tree: Tree, market: Market, symbol: str) -> int:
    for _, columns in tree.rows(market, "fundingRate", symbol, FUNDING_COLUMNS):
        if len(columns["hours"]):
            return int(columns["hours"][-1])
    return 8


def _decimals(values: Ints) -> int:
    """How many decimals numbers in 1e-8 need."""
    for decimals in range(DECIMALS):
        if not (values % 10 ** (DECIMALS - decimals)).any():
            return decimals
    return DECIMALS


def _assets(market: Market, symbol: str) -> tuple[str, str]:
    name = re.sub(r"_.*", "", symbol)
    if market is Market.CM:
        return name.removesuffix("USD"), "USD"
    quote = next((quote for quote in QUOTES if name.endswith(quote)), "USDT")
    return name.removesuffix(quote) or name, quote


def _contract(market: Market, symbol: str) -> ContractType:
    if market is Market.SPOT:
        return ContractType.NONE
    dated = "_" in symbol and not symbol.endswith("_PERP")
    return ContractType.CURRENT_QUARTER if dated else ContractType.PERPETUAL
