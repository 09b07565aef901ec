"""Order flow: minutes condensed from aggTrades to hours."""

from __future__ import annotations

import numpy as np
import polars as pl

from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US
from alphaqcm.pipeline.features.factors.segments import (
    Floats,
    Ints,
    floats,
    nullable,
    segment_extremes,
    segment_sums,
    starts_of,
    time_series,
    times_us,
)
from alphaqcm.pipeline.reading.aggtrades.model import FLOW_SUMS

COUNTS = ("trade_count", "taker_buy_trade_count", "taker_sell_trade_count")
MINUTE_PRICES = ("price_first", "price_last", "price_high", "price_low")
PRICES = ("price_open", "price_close", "price_high", "price_low")
DERIVED = (
    "cvd_qty",
    "cvd_quote",
    "vwap",
    "whale_cvd_quote",
    "retail_cvd_quote",
    "avg_trade_quote",
    "avg_trade_base",
    "taker_buy_avg_trade_quote",
    "taker_sell_avg_trade_quote",
    "taker_buy_hhi_quote",
    "taker_sell_hhi_quote",
    "imbalance_ratio_quote",
    "tw_cvd_quote_norm",
    "price_change",
    "cvd_per_abs_price_change",
)
ORDERFLOW = FLOW_SUMS + PRICES + DERIVED
"""Columns of the hourly order flow after its time column `minute`."""

ALL_WEIGHTS = 1830.0
"""1 + 2 + … + 60: the weights of a whole hour, also where minutes are missing."""


def hourly_orderflow(minutes: pl.DataFrame) -> pl.DataFrame:
    """Hours of order flow from the 1m aggTrades layer.

    `minutes` has the layer's columns in any row order; of rows with the same minute the last wins.
    Returns one row an hour that has a trade: `minute` (the hour's start) and `ORDERFLOW`. Ratios
    whose denominator is 0 are null. Units: base, quote, quote², counts, as the names say.
    """
    rows = minutes.unique("minute", keep="last", maintain_order=True).sort("minute")
    minute_us = times_us(rows["minute"])
    starts = starts_of(minute_us // HOUR_US)
    hours = minute_us[starts[:-1]] // HOUR_US * HOUR_US
    columns = {name: floats(rows[name]) for name in (*FLOW_SUMS, *MINUTE_PRICES)}
    return pl.DataFrame([time_series("minute", hours), *flow_series(columns, minute_us, starts)])


def flow_series(columns: dict[str, Floats], minute_us: Ints, starts: Ints) -> list[pl.Series]:
    """`ORDERFLOW` of each slice `starts[i]:starts[i+1]` of minutes: an hour of a symbol.

    `columns` has `FLOW_SUMS` and `MINUTE_PRICES` of the minutes, in order of time within a slice;
    `minute_us` is their start in microseconds since the epoch.
    """

    def total(values: Floats) -> Floats:
        return np.asarray(segment_sums(values, starts))

    value = {name: total(columns[name]) for name in FLOW_SUMS}
    value["price_open"] = columns["price_first"][starts[:-1]]
    value["price_close"] = columns["price_last"][starts[1:] - 1]
    value["price_high"] = segment_extremes(columns["price_high"], starts)[1]
    value["price_low"] = segment_extremes(columns["price_low"], starts)[0]
    weight = (minute_us % HOUR_US // MINUTE_US + 1).astype(np.float64)
    flow = columns["taker_buy_quote"] - columns["taker_sell_quote"]
    value["tw_cvd_quote_norm"] = total(weight * flow) / ALL_WEIGHTS
    value |= _derived(value)
    found = []
    for name in ORDERFLOW:
        series = nullable(name, value[name])
        found.append(series.cast(pl.Int64) if name in COUNTS else series)
    return found


def _derived(value: dict[str, Floats]) -> dict[str, Floats]:
    buy, sell = value["taker_buy_quote"], value["taker_sell_quote"]
    cvd_quote = buy - sell
    change = value["price_close"] - value["price_open"]
    return {
        "cvd_qty": value["taker_buy_qty"] - value["taker_sell_qty"],
        "cvd_quote": cvd_quote,
        "vwap": ratio(value["quote_volume"], value["base_volume"]),
        "whale_cvd_quote": value["whale_buy_quote"] - value["whale_sell_quote"],
        "retail_cvd_quote": value["retail_buy_quote"] - value["retail_sell_quote"],
        "avg_trade_quote": ratio(value["quote_volume"], value["trade_count"]),
        "avg_trade_base": ratio(value["base_volume"], value["trade_count"]),
        "taker_buy_avg_trade_quote": ratio(buy, value["taker_buy_trade_count"]),
        "taker_sell_avg_trade_quote": ratio(sell, value["taker_sell_trade_count"]),
        "taker_buy_hhi_quote": ratio(value["taker_buy_quote_sq"], buy * buy),
        "taker_sell_hhi_quote": ratio(value["taker_sell_quote_sq"], sell * sell),
        "imbalance_ratio_quote": ratio(np.abs(cvd_quote), buy + sell),
        "price_change": change,
        "cvd_per_abs_price_change": ratio(cvd_quote, np.abs(change)),
    }


def ratio(above: Floats, below: Floats) -> Floats:
    """`above / below`, NaN where `below` is 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(below == 0.0, np.nan, above / below)
