"""What the fields of the 1-minute layers mean: unit and definition by market, as data.

Units follow the exchange's own: in coin-margined futures the archive's klines count contracts where
the others count base units, and base units where the others count quote units.
"""

from __future__ import annotations

from dataclasses import dataclass

from alphaqcm.pipeline.domain.registry import DataType, Market


@dataclass(frozen=True, slots=True)
class MinuteField:
    """A field of a 1-minute layer."""

    unit: str
    definition: str


_BASE, _QUOTE = "base", "quote"
_PRICE = "quote per base"
_INSTANT = "UTC"
_KEYS = {
    "symbol": MinuteField("name", "the exchange's name of the instrument"),
    "minute": MinuteField(_INSTANT, "start of the minute"),
}
_BARS = {
    "open": MinuteField(_PRICE, "price of the first trade"),
    "high": MinuteField(_PRICE, "highest price"),
    "low": MinuteField(_PRICE, "lowest price"),
    "close": MinuteField(_PRICE, "price of the last trade"),
    "volume": MinuteField(_BASE, "quantity traded"),
    "quote_volume": MinuteField(_QUOTE, "amount traded"),
    "count": MinuteField("trades", "number of trades"),
    "taker_buy_volume": MinuteField(_BASE, "quantity that takers bought"),
    "taker_buy_quote_volume": MinuteField(_QUOTE, "amount that takers bought"),
}
_FLOW = {
    "trade_count": MinuteField("aggregate trades", "number of aggregate trades"),
    "base_volume": MinuteField(_BASE, "quantity traded"),
    "quote_volume": MinuteField(_QUOTE, "amount traded"),
    "taker_buy_qty": MinuteField(_BASE, "quantity that takers bought"),
    "taker_sell_qty": MinuteField(_BASE, "quantity that takers sold"),
    "taker_buy_quote": MinuteField(_QUOTE, "amount that takers bought"),
    "taker_sell_quote": MinuteField(_QUOTE, "amount that takers sold"),
    "taker_buy_quote_sq": MinuteField("quote squared", "sum of the squared amounts, buys"),
    "taker_sell_quote_sq": MinuteField("quote squared", "sum of the squared amounts, sells"),
    "taker_buy_trade_count": MinuteField("aggregate trades", "number of buys"),
    "taker_sell_trade_count": MinuteField("aggregate trades", "number of sells"),
    "whale_buy_quote": MinuteField(_QUOTE, "amount of large buys"),
    "whale_sell_quote": MinuteField(_QUOTE, "amount of large sells"),
    "retail_buy_quote": MinuteField(_QUOTE, "amount of small buys"),
    "retail_sell_quote": MinuteField(_QUOTE, "amount of small sells"),
    "first_ts": MinuteField(_INSTANT, "instant of the first trade"),
    "price_first": MinuteField(_PRICE, "price of the first trade"),
    "last_ts": MinuteField(_INSTANT, "instant of the last trade"),
    "price_last": MinuteField(_PRICE, "price of the last trade"),
    "price_high": MinuteField(_PRICE, "highest price"),
    "price_low": MinuteField(_PRICE, "lowest price"),
    "first_agg_trade_id": MinuteField("id", "lowest id of an aggregate trade"),
    "last_agg_trade_id": MinuteField("id", "highest id of an aggregate trade"),
    "raw_trade_count": MinuteField("trades", "number of trades that the aggregates hold"),
}
_CONTRACTS = {_BASE: "contracts", _QUOTE: _BASE}


def minute_fields(data_type: DataType, market: Market) -> dict[str, MinuteField]:
    """Every field of a 1-minute layer with its `symbol`: klines, else condensed aggTrades."""
    if data_type is DataType.AGGTRADES:
        return _KEYS | _FLOW
    if market is not Market.CM:
        return _KEYS | _BARS
    bars = {
        name: MinuteField(_CONTRACTS.get(field.unit, field.unit), field.definition)
        for name, field in _BARS.items()
    }
    return _KEYS | bars
