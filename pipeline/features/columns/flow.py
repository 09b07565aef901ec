"""Order flow, columns derived across groups and symbols, and the point-in-time siblings."""

from __future__ import annotations

from alphaqcm.pipeline.features.columns.spec import (
    HOUR,
    PREVIOUS,
    ROWS_24,
    ROWS_25,
    ROWS_168,
    ROWS_169,
    SAME_HOUR,
    SAME_HOUR_SO_FAR,
    SO_FAR,
    ColumnSpec,
    DType,
    Group,
    Source,
    Window,
)


def _flow(name: str, unit: str, definition: str, dtype: DType = DType.FLOAT) -> ColumnSpec:
    return ColumnSpec(
        f"at_{name}", Group.ORDER_FLOW, dtype, unit, (Source.AGGTRADES,), HOUR, definition
    )


_BUY = "taker buys (is_buyer_maker false)"
_SELL = "taker sells (is_buyer_maker true)"


def _ratio(name: str, unit: str, formula: str, zero: str = "the denominator") -> ColumnSpec:
    return _flow(name, unit, f"{formula}. Null if {zero} is 0.")


ORDER_FLOW = (
    _flow(
        "trade_count",
        "count",
        "Number of aggTrades rows in the hour (aggregated rows, not single fills). Rows equal in "
        "every field count once. Null, like all of the group, when there is none.",
        DType.INT64,
    ),
    _flow("base_volume", "base", "Sum of quantity."),
    _flow("quote_volume", "quote", "Sum of a = price*quantity."),
    _flow("taker_buy_qty", "base", f"Sum of quantity over {_BUY}."),
    _flow("taker_sell_qty", "base", f"Sum of quantity over {_SELL}."),
    _flow("taker_buy_quote", "quote", f"Sum of a = price*quantity over {_BUY}."),
    _flow("taker_sell_quote", "quote", f"Sum of a = price*quantity over {_SELL}."),
    _flow("taker_buy_quote_sq", "quote^2", f"Sum of a^2 over {_BUY}, a = price*quantity."),
    _flow("taker_sell_quote_sq", "quote^2", f"Sum of a^2 over {_SELL}, a = price*quantity."),
    _flow("taker_buy_trade_count", "count", f"Number of {_BUY}.", DType.INT64),
    _flow("taker_sell_trade_count", "count", f"Number of {_SELL}.", DType.INT64),
    _flow("whale_buy_quote", "quote", f"Sum of a = price*quantity where a >= 50000, over {_BUY}."),
    _flow(
        "whale_sell_quote", "quote", f"Sum of a = price*quantity where a >= 50000, over {_SELL}."
    ),
    _flow("retail_buy_quote", "quote", f"Sum of a = price*quantity where a <= 1000, over {_BUY}."),
    _flow(
        "retail_sell_quote", "quote", f"Sum of a = price*quantity where a <= 1000, over {_SELL}."
    ),
    _flow(
        "price_open",
        "quote per base",
        "Price of the hour's first trade, by (transact_time, agg_trade_id).",
    ),
    _flow(
        "price_close",
        "quote per base",
        "Price of the hour's last trade, by (transact_time, agg_trade_id).",
    ),
    _flow("price_high", "quote per base", "Largest price."),
    _flow("price_low", "quote per base", "Smallest price."),
    _flow("cvd_qty", "base", "at_taker_buy_qty - at_taker_sell_qty."),
    _flow("cvd_quote", "quote", "at_taker_buy_quote - at_taker_sell_quote."),
    _ratio("vwap", "quote per base", "at_quote_volume / at_base_volume"),
    _flow("whale_cvd_quote", "quote", "at_whale_buy_quote - at_whale_sell_quote."),
    _flow("retail_cvd_quote", "quote", "at_retail_buy_quote - at_retail_sell_quote."),
    _flow("avg_trade_quote", "quote", "at_quote_volume / at_trade_count."),
    _flow("avg_trade_base", "base", "at_base_volume / at_trade_count."),
    _ratio(
        "taker_buy_avg_trade_quote",
        "quote",
        "at_taker_buy_quote / at_taker_buy_trade_count",
        "the count",
    ),
    _ratio(
        "taker_sell_avg_trade_quote",
        "quote",
        "at_taker_sell_quote / at_taker_sell_trade_count",
        "the count",
    ),
    _ratio("taker_buy_hhi_quote", "(0,1]", "at_taker_buy_quote_sq / at_taker_buy_quote^2"),
    _ratio("taker_sell_hhi_quote", "(0,1]", "at_taker_sell_quote_sq / at_taker_sell_quote^2"),
    _ratio(
        "imbalance_ratio_quote",
        "[0,1]",
        "abs(at_cvd_quote) / (at_taker_buy_quote + at_taker_sell_quote)",
    ),
    _flow(
        "tw_cvd_quote_norm",
        "quote",
        "Sum over the hour's minutes of (minute+1) * (taker_buy_quote - taker_sell_quote of the "
        "minute), divided by 1830 = 1+2+...+60, also when minutes are missing.",
    ),
    _flow("price_change", "quote per base", "at_price_close - at_price_open."),
    _ratio(
        "cvd_per_abs_price_change",
        "base-like",
        "at_cvd_quote / abs(at_price_change), with the difference of the two prices as floats give "
        "it",
        "at_price_change",
    ),
)


def _derived(
    name: str,
    unit: str,
    window: Window,
    definition: str,
    inputs: tuple[Source, ...] = (Source.MINUTES,),
) -> ColumnSpec:
    return ColumnSpec(name, Group.DERIVED, DType.FLOAT, unit, inputs, window, definition)


def _return(rows: int, window: Window) -> ColumnSpec:
    first = "first row" if rows == 1 else f"first {rows} rows"
    return _derived(
        f"returns_{rows}h",
        "fraction",
        window,
        f"close / close {rows} row{'s' * (rows > 1)} earlier - 1. Rows, not hours: across a gap "
        f"the span is longer. Null on the {first}.",
    )


DERIVED = (
    _derived(
        "funding_pressure",
        "fraction",
        SAME_HOUR,
        "funding_rate minus its median over the symbols of the run that have a row and a "
        "funding_rate at this datetime (even count: mean of the middle two). Null if the own rate "
        "is null.",
        (Source.FUNDING, Source.UNIVERSE),
    ),
    _derived(
        "relative_volume",
        "ratio",
        SAME_HOUR,
        "volume / mean volume of the symbols of the run that have a row at this datetime, this one "
        "included; base units of different coins are averaged. Null if the mean is 0.",
        (Source.MINUTES, Source.UNIVERSE),
    ),
    _derived(
        "turnover_ratio",
        "ratio",
        ROWS_24,
        "volume / mean volume of the last 24 rows, this one included. Null until there are 24 rows "
        "and if the mean is 0.",
    ),
    _derived(
        "price_efficiency",
        "ratio",
        ROWS_25,
        "rv_std_sqrt60 / (ATR/close). ATR is the mean over the last 24 rows of max(high-low, "
        "abs(high-pc), abs(low-pc)), pc the previous row's close (first row: high-low). Null until "
        "there are 24 rows and if ATR is 0.",
    ),
    _return(1, PREVIOUS),
    _return(24, ROWS_25),
    _return(168, ROWS_169),
    _derived(
        "vol_regime",
        "ratio",
        ROWS_168,
        "rv_std_sqrt60 / its mean over the last 168 rows, this one included. Null until there are "
        "168 rows, where one of them is null, and if the mean is 0.",
    ),
)

SIBLINGS = (
    ColumnSpec(
        "volume_clean_pit",
        Group.SIBLINGS,
        DType.FLOAT,
        "base",
        (Source.MINUTES,),
        SO_FAR,
        "min(volume, q) with q the 0.99 quantile (linear interpolation) of volume over the "
        "symbol's rows up to and including this one. The recommended form of volume_clean.",
    ),
    ColumnSpec(
        "cs_coverage_frac_pit",
        Group.SIBLINGS,
        DType.FLOAT,
        "fraction",
        (Source.UNIVERSE,),
        SAME_HOUR_SO_FAR,
        "cs_universe_size / the symbols of the run that have a row at or before this datetime. The "
        "recommended form of cs_coverage_frac.",
    ),
)

FLOW_AND_DERIVED = ORDER_FLOW + DERIVED + SIBLINGS
