"""Columns computed from the 1m klines of one hour; the group texts explain the letters."""

from __future__ import annotations

from alphaqcm.pipeline.features.columns.spec import (
    HOUR,
    ROWS_24,
    TWO_HOURS,
    ColumnSpec,
    DType,
    Group,
    Source,
    Window,
)


def _column(
    group: Group,
    name: str,
    unit: str,
    definition: str,
    dtype: DType = DType.FLOAT,
    window: Window = HOUR,
    source: Source = Source.MINUTES,
) -> ColumnSpec:
    return ColumnSpec(name, group, dtype, unit, (source,), window, definition)


def _momentum(name: str, unit: str, definition: str, window: Window = HOUR) -> ColumnSpec:
    return _column(Group.MOMENTUM, name, unit, definition, window=window)


def _trend(price: str) -> tuple[ColumnSpec, ...]:
    letter = price[0]
    return (
        _momentum(
            f"qrs_beta_{price}_per_hour",
            "log return per hour",
            f"60 * slope of the least-squares line through y_i = ln(max({letter}_i, EPS)) over "
            "i = 0..n-1 (row number, not minute). Null if n < 3; 0 if all y are equal.",
        ),
        _momentum(
            f"qrs_r2_{price}",
            "[0,1]",
            f"R2 = 1 - SSres/SStot of the line of qrs_beta_{price}_per_hour, clipped to [0, 1]. "
            "Null if n < 3; 0 if all y are equal.",
        ),
        _momentum(
            f"qrs_{price}",
            "log return per hour",
            f"qrs_beta_{price}_per_hour * qrs_r2_{price}. Null if either is null.",
        ),
    )


MOMENTUM = (
    _momentum(
        "seg_head_logret",
        "log return",
        "ln(c_head + EPS) - ln(o_0 + EPS), c_head the close of the last row before minute 45. Null "
        "if there is no row before minute 45.",
    ),
    _momentum(
        "seg_tail_logret",
        "log return",
        "ln(c_last + EPS) - ln(c_head + EPS), c_last the close of the last row: 0 if no row is at "
        "or after minute 45. Null if there is no row before minute 45.",
    ),
    _momentum(
        "seg_tail_minus_head",
        "log return",
        "seg_tail_logret - seg_head_logret. Null if either is null.",
    ),
    _momentum(
        "seg_tail_share",
        "ratio",
        "seg_tail_logret / (seg_head_logret + seg_tail_logret). Null if the sum is null or exactly "
        "0; unbounded near it.",
    ),
    _momentum(
        "seg_us_open_60m_logret",
        "log return",
        "Only on the hour that holds 10:29 in New York (14:00 UTC in summer, 15:00 in winter): "
        "ln(close of the 10:29 row + EPS) - ln(open of the 09:30 row + EPS), every calendar day. "
        "Null on other hours and if one of the two rows is missing.",
        TWO_HOURS,
    ),
    _momentum(
        "vol_top20_frac",
        "fraction",
        "Share of rows with v >= q80, the 0.8 quantile (linear interpolation) of the hour's v; "
        "ties count.",
    ),
    _momentum(
        "vol_top20_logret_sum",
        "log return",
        "Sum of r over the rows with v >= q80 (see vol_top20_frac).",
    ),
    _momentum("amihud_signed", "1/quote", "sum(r_i / max(v_i*c_i, EPS))."),
    _momentum("amihud_abs", "1/quote", "sum(abs(r_i) / max(v_i*c_i, EPS))."),
    *_trend("close"),
    *_trend("high"),
    *_trend("low"),
)


def _volatility(
    name: str, unit: str, definition: str, dtype: DType = DType.FLOAT, window: Window = HOUR
) -> ColumnSpec:
    return _column(Group.VOLATILITY, name, unit, definition, dtype, window)


VOLATILITY = (
    _volatility("n_minutes", "count", "Number of 1m klines in the hour.", DType.INT16),
    _volatility(
        "n_minutes_kept",
        "count",
        "Number of kept rows K: those with 0 < h/max(l, EPS) <= 1.2 and c > 0; if fewer than 10 "
        "pass, all rows with c > 0 and l > 0.",
        DType.INT16,
    ),
    _volatility(
        "min_range_ratio_max", "ratio", "Largest h/max(l, EPS) over all rows, kept or not."
    ),
    _volatility("vol_1m_mean", "base", "Mean of v over K."),
    _volatility("vol_1m_std", "base", "Standard deviation (ddof=0) of v over K."),
    _volatility("vol_1m_cv", "ratio", "vol_1m_std / (vol_1m_mean + EPS)."),
    _volatility(
        "range_ratio_1m_std", "ratio", "Standard deviation (ddof=0) of h/max(l, EPS) over K."
    ),
    _volatility(
        "log_range_1m_std",
        "log",
        "Standard deviation (ddof=0) of ln(max(h/max(l, EPS), EPS)) over K.",
    ),
    _volatility(
        "up_vol_l2", "log return", "sqrt(sum of r^2 over the rows with r > 0); 0 if there is none."
    ),
    _volatility(
        "down_vol_l2",
        "log return",
        "sqrt(sum of r^2 over the rows with r < 0); 0 if there is none.",
    ),
    _volatility(
        "up_var_share",
        "[0,1]",
        "U/(U+D), U and D the sums of r^2 over r > 0 and over r < 0. Null if U+D = 0.",
    ),
    _volatility("down_var_share", "[0,1]", "D/(U+D), as in up_var_share. Null if U+D = 0."),
    _volatility(
        "rv_std_sqrt60",
        "log return per hour",
        "Realized volatility: standard deviation (ddof=0) of r, its first 0 included, times "
        "sqrt(60).",
    ),
    _volatility("rv_l2", "log return", "sqrt(sum of r^2)."),
    _volatility("rv_per_vol", "1/base", "rv_std_sqrt60 / (vol_1m_mean + EPS)."),
)


def _shape(name: str, definition: str) -> ColumnSpec:
    return _column(Group.SHAPE, name, "", definition)


_G1 = "n*sqrt(n-1)/(n-2) * S3/S2^1.5 with Sk = sum((x-mean)^k)"
_G2 = "n(n+1)(n-1)/((n-2)(n-3)) * S4/S2^2 - 3(n-1)^2/((n-2)(n-3)) with Sk = sum((x-mean)^k)"
_TEN = "Null if K has fewer than 10 rows or all x are equal."

SHAPE = (
    _shape("shape_skew", f"Bias-corrected skewness of x = r[1:]: {_G1}. {_TEN}"),
    _shape("shape_kurt", f"Bias-corrected excess kurtosis of x = r[1:]: {_G2}. {_TEN}"),
    _shape("shape_skratio", "shape_skew / (abs(shape_kurt) + EPS). Null if either is null."),
    _shape(
        "shape_skewVol", f"Skewness as in shape_skew, of x = v/sum(v) over K. {_TEN[:-1]}, or 0."
    ),
    _shape(
        "shape_kurtVol",
        f"Excess kurtosis as in shape_kurt, of x = v/sum(v) over K. {_TEN[:-1]}, or 0.",
    ),
    _shape(
        "shape_skratioVol", "shape_skewVol / (abs(shape_kurtVol) + EPS). Null if either is null."
    ),
)


def _liquidity(name: str, unit: str, definition: str) -> ColumnSpec:
    return _column(Group.LIQUIDITY, name, unit, definition)


LIQUIDITY = (
    _liquidity(
        "liq_amihud",
        "1/base",
        "Mean of abs(r_i)/max(v_i, EPS) over K without its first row. Null if K has fewer than 2 "
        "rows.",
    ),
    _liquidity(
        "liq_last_5min_R",
        "fraction",
        "Share of K's volume that lies at or after minute 55. Null if K's volume is 0.",
    ),
    _liquidity(
        "liq_funding_impact",
        "fraction",
        "Share of K's volume that lies before minute 5 or at or after minute 55. Null if K's "
        "volume is 0.",
    ),
    _liquidity(
        "liq_top_of_hour_ratio",
        "fraction",
        "Share of K's volume that lies before minute 10. Null if K's volume is 0.",
    ),
    _column(
        Group.LIQUIDITY,
        "is_funding_hour",
        "0/1",
        "1 if the UTC hour is 0, 8 or 16, else 0: the 8-hour calendar, whatever the contract's own "
        "funding interval.",
        DType.INT8,
        source=Source.CALENDAR,
    ),
    _liquidity("liq_range_vol_ratio", "quote per base^2", "Mean of (h-l)/max(v, EPS) over K."),
    _liquidity(
        "liq_spread_std",
        "fraction",
        "Standard deviation (ddof=0) of (h-l)/max(c, EPS) over K.",
    ),
    _liquidity(
        "liq_tail_risk",
        "[0,1]",
        "sqrt(T) / (sqrt(S) + EPS), S = sum of r^2, T = the part of S at or after minute 50. Null "
        "if S = 0.",
    ),
    _liquidity(
        "liq_tail_var_share",
        "[0,1]",
        "T / (S + EPS), T and S as in liq_tail_risk; EPS shows in very quiet hours. Null if S = 0.",
    ),
)


def _correlation(name: str, pairs: str) -> ColumnSpec:
    return _column(
        Group.CORRELATION,
        f"corr_{name}",
        "[-1,1]",
        f"Pearson correlation of the pairs {pairs}, clipped to [-1, 1]. Null with fewer than 10 "
        "rows in K, fewer than 10 pairs, or one side constant (its max equals its min).",
    )


_GROWTH = "w_i = v_i/max(v_(i-1), EPS) - 1 clipped to [-10, 10]"

CORRELATION = (
    _correlation("prv", "(r_i, v_i), i >= 1"),
    _correlation("prvr", f"(r_i, w_i), i >= 1, {_GROWTH}"),
    _correlation("pv", "(c_i, v_i), i >= 0"),
    _correlation("pvd", "(c_i, v_(i-1)), i >= 1"),
    _correlation("pvl", "(c_(i-1), v_i), i >= 1"),
    _correlation("pvr", f"(c_i, w_i), i >= 1, {_GROWTH}"),
)


def _quantile(suffix: str, x: str, q: str) -> ColumnSpec:
    return _column(
        Group.VOLUME_BY_RETURN,
        f"doc_vol_pdf{suffix}",
        "log return",
        f"The return below which {q} of the volume was traded: pairs ({x}, v_i), i >= 1, with "
        f"v_i > 0, sorted by the return; the first return whose running volume reaches {q}*V - "
        "1e-12*V, V the volume of all pairs. No interpolation. Null if K has fewer than 12 rows "
        "or there is no pair.",
    )


def _bins(name: str, unit: str, definition: str) -> ColumnSpec:
    return _column(Group.VOLUME_BY_RETURN, f"doc_{name}", unit, definition)


_UNDEFINED = "or B is undefined."

VOLUME_BY_RETURN = (
    *(_quantile(q, "r_i", f"0.{q}") for q in ("60", "70", "80", "90", "95")),
    _quantile("90bi", "abs(r_i)", "0.90"),
    _bins(
        "std",
        "base",
        "Standard deviation (ddof=0) of the binned volumes B_0..B_24: 25 bins of equal width "
        "between the smallest and the largest of r[1:] (widened by 1e-8 on both sides when equal), "
        "edges lo + k*(hi-lo)/25, lower edge included, the largest return in the last bin; B_k = "
        "sum of v in bin k. Null if K has fewer than 12 rows.",
    ),
    _bins(
        "skew",
        "",
        "m3/(s^3 + EPS) of B (see doc_std), moments divided by 25, s = sqrt(m2). Null if m2 = 0 "
        + _UNDEFINED,
    ),
    _bins(
        "kurt",
        "",
        "m4/(s^4 + EPS) - 3 of B (see doc_std), moments divided by 25. Null if m2 = 0 "
        + _UNDEFINED,
    ),
    *(
        _bins(
            f"vol{name}_ratio",
            "fraction",
            f"Share of the {count} largest B_k (see doc_std) in the sum of B"
            + (": 1 wherever it is defined" if count == 25 else "")
            + f". Null if that sum is 0 {_UNDEFINED}",
        )
        for name, count in ((5, 5), (10, 10), (50, 25))
    ),
)

STABILITY = (
    _volatility(
        "rv_stability_24h",
        "ratio",
        "rv_std_sqrt60 / (m + EPS), m its mean over the last 24 rows, this one included. Null "
        "until there are 24 rows and where one of them is null.",
        window=ROWS_24,
    ),
)

HOUR_STATISTICS = (
    MOMENTUM + VOLATILITY + SHAPE + LIQUIDITY + CORRELATION + VOLUME_BY_RETURN + STABILITY
)
