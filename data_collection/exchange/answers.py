"""Typed answers of the REST routes: klines as columns, symbols with their trading rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import polars as pl

from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA, PRICES, QUANTITIES
from alphaqcm.pipeline.domain.registry import Market

KlineRow = tuple[int, float, float, float, float, float, int, float, int, float, float, float]
"""open time (ms), open, high, low, close, volume, close time (ms), quote volume, trades, taker buy
base volume, taker buy quote volume, unused."""

KLINES = msgspec.json.Decoder(list[KlineRow], strict=False)
"""Decimal texts become the nearest double, as every other reader of the project makes them."""

_POSITIONS = {
    "open": 1,
    "high": 2,
    "low": 3,
    "close": 4,
    "volume": 5,
    "quote_volume": 7,
    "trade_num": 8,
    "taker_buy_base_asset_volume": 9,
    "taker_buy_quote_asset_volume": 10,
}


_AMOUNTS = [5, 7, 8, 9, 10]
_MOST_TRADES = 2**53


class ServerTime(msgspec.Struct):
    """Answer of `time`."""

    serverTime: int  # noqa: N815


class RateLimit(msgspec.Struct):
    """One limit that `exchangeInfo` tells."""

    rateLimitType: str  # noqa: N815
    interval: str
    intervalNum: int  # noqa: N815
    limit: int


class SymbolInfo(msgspec.Struct):
    """One symbol of `exchangeInfo`; fields that a market lacks have their defaults."""

    symbol: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    status: str = ""
    contractStatus: str = ""  # noqa: N815
    contractType: str = ""  # noqa: N815
    marginAsset: str = ""  # noqa: N815
    onboardDate: int = 0  # noqa: N815
    contractSize: int = 0  # noqa: N815
    filters: list[dict[str, Any]] = []

    @property
    def state(self) -> str:
        """The trading status, wherever the market keeps it."""
        return self.contractStatus or self.status

    def filter_value(self, kind: str, *names: str) -> Decimal | None:
        """A number of one of the symbol's filters, None where it has none."""
        for entry in self.filters:
            if entry.get("filterType") == kind:
                return next((Decimal(str(entry[name])) for name in names if name in entry), None)
        return None


class ExchangeInfo(msgspec.Struct):
    """Answer of `exchangeInfo`."""

    symbols: list[SymbolInfo]
    rateLimits: list[RateLimit] = []  # noqa: N815
    serverTime: int = 0  # noqa: N815

    @property
    def minute_weight(self) -> int | None:
        """The weight a minute that the exchange allows, None where it does not tell."""
        return next(
            (
                one.limit
                for one in self.rateLimits
                if one.rateLimitType == "REQUEST_WEIGHT"
                and one.interval == "MINUTE"
                and one.intervalNum == 1
            ),
            None,
        )


class FundingRow(msgspec.Struct):
    """One row of `fundingRate`."""

    symbol: str
    fundingTime: int  # noqa: N815
    fundingRate: str  # noqa: N815
    rateType: str = "Regular"  # noqa: N815


def trading_rules(info: SymbolInfo, market: Market) -> dict[str, Any]:
    """A symbol's rules under the names that users know; numbers are Decimals, None where unknown.

    `lot_size` is the contract's size (in quote units) for coin-margined contracts.
    """
    rules: dict[str, Any] = {"symbol": info.symbol}
    if market is not Market.SPOT:
        rules["contract_type"] = info.contractType
    rules |= {
        "status": info.state,
        "base_asset": info.baseAsset,
        "quote_asset": info.quoteAsset,
        "margin_asset": info.marginAsset or info.quoteAsset,
        "price_tick": info.filter_value("PRICE_FILTER", "tickSize"),
        "lot_size": Decimal(info.contractSize)
        if info.contractSize
        else info.filter_value("LOT_SIZE", "stepSize"),
        "min_notional_value": info.filter_value("NOTIONAL", "minNotional")
        or info.filter_value("MIN_NOTIONAL", "notional", "minNotional"),
    }
    return rules


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be a candle, with its numbers as they came."""

    reason: str
    row: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class KlinePage:
    """Candles of one page in order of time, and the rows that were put aside."""

    candles: pl.DataFrame  # CANDLE_SCHEMA
    rejected: tuple[Rejected, ...]


def read_klines(rows: list[KlineRow], interval_ms: int, begin_ms: int, end_ms: int) -> KlinePage:
    """Check and order the rows of a page that was asked for [begin_ms, end_ms)."""
    if not rows:
        return KlinePage(candle_frame(np.empty((0, 12)), interval_ms), ())
    table = np.array(rows, dtype=np.float64)
    reasons = _reasons(table, interval_ms, begin_ms, end_ms)
    bad = np.array([reason != "" for reason in reasons])
    rejected = [
        Rejected(reasons[index], tuple(table[index].tolist())) for index in np.flatnonzero(bad)
    ]
    table = table[~bad]
    table = table[np.argsort(table[:, 0], kind="stable")]
    times = table[:, 0]
    if table.shape[0] and (doubled := np.flatnonzero(times[1:] == times[:-1]) + 1).size:
        keep = np.ones(table.shape[0], dtype=bool)
        for index in doubled:
            if not np.array_equal(table[index], table[index - 1]):
                rejected += [
                    Rejected("twice with different values", tuple(row.tolist()))
                    for row in table[index - 1 : index + 1]
                ]
                keep[index - 1] = False
            keep[index] = False
        table = table[keep]
    return KlinePage(candle_frame(table, interval_ms), tuple(rejected))


def candle_frame(table: np.ndarray[Any, np.dtype[np.float64]], interval_ms: int) -> pl.DataFrame:
    """The candle columns of rows of numbers in the exchange's order."""
    begins = pl.Series("candle_begin_time", table[:, 0].astype(np.int64)) * 1000
    columns: Mapping[str, pl.Series] = {
        "candle_end_time": begins + interval_ms * 1000,
        "candle_begin_time": begins,
        **{
            name: pl.Series(name, np.ascontiguousarray(table[:, _POSITIONS[name]]))
            for name in (*PRICES, *QUANTITIES)
        },
    }
    return pl.DataFrame(columns).select(pl.col(n).cast(t) for n, t in CANDLE_SCHEMA.items())


def _reasons(
    table: np.ndarray[Any, np.dtype[np.float64]], interval_ms: int, begin_ms: int, end_ms: int
) -> list[str]:
    times, opens, highs, lows, closes = (table[:, n] for n in range(5))
    checks = (
        (times % interval_ms != 0, "off the grid"),
        ((times < begin_ms) | (times >= end_ms), "outside the range that was asked for"),
        (~np.isfinite(table[:, :11]).all(axis=1), "not a number"),
        ((lows > opens) | (lows > closes) | (lows > highs), "low above another price"),
        ((opens > highs) | (closes > highs), "high below another price"),
        ((table[:, _AMOUNTS] < 0).any(axis=1), "an amount below zero"),
        (table[:, 8] > _MOST_TRADES, "more trades than can be counted"),
    )
    reasons = [""] * table.shape[0]
    for wrong, text in reversed(checks):
        for index in np.flatnonzero(wrong):
            reasons[index] = text
    return reasons
