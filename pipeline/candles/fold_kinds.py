"""How each column of a candle is folded into a window, and what becomes of windows with holes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from alphaqcm.pipeline.errors import TableError


class Holes(StrEnum):
    """What becomes of a window that lacks parts."""

    STRICT = "strict"  # absent
    PARTIAL = "partial"  # folded from the parts that are there


class Fold(StrEnum):
    """How a column's parts become the window's value.

    A missing part value makes the window's value missing (FIRST and LAST look at one part only);
    LAST_KNOWN passes over missing ones.
    """

    FIRST = "first"
    LAST = "last"
    MAX = "max"
    MIN = "min"
    SUM = "sum"
    LAST_KNOWN = "last_known"


_BAR: Final = {"open": Fold.FIRST, "high": Fold.MAX, "low": Fold.MIN, "close": Fold.LAST}
_BAR_SUMS: Final = (
    "volume",
    "quote_volume",
    "count",  # the archive's names
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "trade_num",  # the names of the REST candles
    "taker_buy_base_asset_volume",
    "taker_buy_quote_asset_volume",
)
CANDLE_FOLDS: Final[Mapping[str, Fold]] = {**_BAR, **dict.fromkeys(_BAR_SUMS, Fold.SUM)}
"""Columns of klines: prices in quote per base, volumes in base and quote units, trade counts."""

_FLOW_SUMS: Final = (
    "trade_count",
    "base_volume",
    "quote_volume",
    "taker_buy_qty",
    "taker_sell_qty",
    "taker_buy_quote",
    "taker_sell_quote",
    "taker_buy_quote_sq",
    "taker_sell_quote_sq",
    "taker_buy_trade_count",
    "taker_sell_trade_count",
    "whale_buy_quote",
    "whale_sell_quote",
    "retail_buy_quote",
    "retail_sell_quote",
    "raw_trade_count",
)
FLOW_FOLDS: Final[Mapping[str, Fold]] = {
    **dict.fromkeys(_FLOW_SUMS, Fold.SUM),
    "first_ts": Fold.FIRST,
    "price_first": Fold.FIRST,
    "last_ts": Fold.LAST,
    "price_last": Fold.LAST,
    "price_high": Fold.MAX,
    "price_low": Fold.MIN,
    "first_agg_trade_id": Fold.FIRST,
    "last_agg_trade_id": Fold.LAST,
}
"""Columns of the aggTrades minutes (order flow)."""


def folds_for(names: Iterable[str], known: Mapping[str, Fold]) -> dict[str, Fold]:
    """The fold of each column in `names`; raises `TableError` for a name that `known` lacks."""
    names = list(names)
    if unknown := [name for name in names if name not in known]:
        raise TableError(
            "windows of " + ", ".join(unknown),
            expected="columns whose fold is known: " + ", ".join(known),
            next_step="leave them out, or tell how they are folded",
        )
    return {name: known[name] for name in names}
