"""Volatility, liquidity and shape of an hour, over its kept rows."""

from __future__ import annotations

import math

import numpy as np

from alphaqcm.pipeline.domain.time import HOUR_US
from alphaqcm.pipeline.features.factors.hour.valid_minutes import MIN_ROWS, ValidMinutes
from alphaqcm.pipeline.features.factors.minutes import EPS
from alphaqcm.pipeline.features.factors.segments import Floats, Ints
from alphaqcm.pipeline.kernel import kernel

COUNTS = ("n_minutes", "n_minutes_kept", "n_minutes_traded")
SPREADS = (
    "vol_1m_mean",
    "vol_1m_std",
    "vol_1m_cv",
    "range_ratio_1m_std",
    "log_range_1m_std",
    "up_vol_l2",
    "down_vol_l2",
    "up_var_share",
    "down_var_share",
    "rv_std_sqrt60",
    "rv_l2",
    "rv_per_vol",
)
SHAPES = (
    "shape_skew",
    "shape_kurt",
    "shape_skratio",
    "shape_skewVol",
    "shape_kurtVol",
    "shape_skratioVol",
)
LIQUIDITY = (
    "liq_amihud",
    "liq_last_5min_R",
    "liq_funding_impact",
    "liq_top_of_hour_ratio",
    "liq_range_vol_ratio",
    "liq_spread_std",
    "liq_tail_risk",
    "liq_tail_var_share",
)

FUNDING_HOURS = (0, 8, 16)
LAST_MINUTES = 55
FIRST_MINUTES = 5
TOP_MINUTES = 10
TAIL_MINUTES = 50


def volatility(kept: ValidMinutes) -> dict[str, Floats]:
    """Counts, spreads, shapes and liquidity of each hour; NaN where undefined."""
    k = kept
    out: dict[str, Floats] = {
        "n_minutes": k.all_rows.astype(np.float64),
        "n_minutes_kept": np.diff(k.starts).astype(np.float64),
        "n_minutes_traded": k.traded_rows.astype(np.float64),
        "min_range_ratio_max": k.largest_ratio,
        "is_funding_hour": np.isin(k.hours // HOUR_US % 24, FUNDING_HOURS).astype(np.float64),
    }
    for names, values in (
        (SPREADS, _spreads(k.starts, k.volume, k.ratio, k.change, EPS)),
        (SHAPES, _shapes(k.starts, k.volume, k.change, MIN_ROWS, EPS)),
        (
            LIQUIDITY,
            _liquidity(k.starts, k.minute, k.high, k.low, k.close, k.volume, k.change, EPS),
        ),
    ):
        out |= dict(zip(names, values, strict=True))
    return out


@kernel
def _mean_std(values: Floats, first: int, stop: int) -> tuple[float, float]:
    """Mean, and standard deviation with ddof=0: exactly 0 where all values are equal."""
    n = stop - first
    low = high = values[first]
    mean = 0.0
    for i in range(first, stop):
        low = min(low, values[i])
        high = max(high, values[i])
        mean += values[i]
    mean /= n
    if low == high:
        return mean, 0.0
    square = 0.0
    for i in range(first, stop):
        square += (values[i] - mean) * (values[i] - mean)
    return mean, math.sqrt(square / n)


@kernel
def _spreads(starts: Ints, volume: Floats, ratio: Floats, change: Floats, eps: float) -> Floats:
    log_ratio = np.empty_like(ratio)
    for i in range(ratio.size):
        log_ratio[i] = math.log(max(ratio[i], eps))
    out = np.full((12, starts.size - 1), np.nan)
    for hour in range(starts.size - 1):
        first, stop = starts[hour], starts[hour + 1]
        if first == stop:
            continue
        mean, std = _mean_std(volume, first, stop)
        out[0, hour] = mean
        out[1, hour] = std
        out[2, hour] = std / (mean + eps)
        out[3, hour] = _mean_std(ratio, first, stop)[1]
        out[4, hour] = _mean_std(log_ratio, first, stop)[1]
        up = down = both = 0.0
        for i in range(first, stop):
            square = change[i] * change[i]
            both += square
            if change[i] > 0.0:
                up += square
            elif change[i] < 0.0:
                down += square
        out[5, hour] = math.sqrt(up)
        out[6, hour] = math.sqrt(down)
        if up + down != 0.0:
            out[7, hour] = up / (up + down)
            out[8, hour] = down / (up + down)
        realized = _mean_std(change, first, stop)[1] * math.sqrt(60.0)
        out[9, hour] = realized
        out[10, hour] = math.sqrt(both)
        out[11, hour] = realized / (mean + eps)
    return out


@kernel
def _skew_kurt(values: Floats, first: int, stop: int) -> tuple[float, float]:
    """Bias-corrected skewness and excess kurtosis; NaN where all values are equal."""
    n = stop - first
    low = high = values[first]
    mean = 0.0
    for i in range(first, stop):
        low = min(low, values[i])
        high = max(high, values[i])
        mean += values[i]
    if low == high:
        return np.nan, np.nan
    mean /= n
    s2 = s3 = s4 = 0.0
    for i in range(first, stop):
        d = values[i] - mean
        s2 += d * d
        s3 += d * d * d
        s4 += d * d * d * d
    skew = n * math.sqrt(n - 1.0) / (n - 2.0) * (s3 / (s2 * math.sqrt(s2)))
    scale = (n - 2.0) * (n - 3.0)
    kurt = n * (n + 1.0) * (n - 1.0) / scale * (s4 / (s2 * s2)) - 3.0 * (n - 1.0) ** 2 / scale
    return skew, kurt


@kernel
def _shapes(starts: Ints, volume: Floats, change: Floats, min_rows: int, eps: float) -> Floats:
    out = np.full((6, starts.size - 1), np.nan)
    for hour in range(starts.size - 1):
        first, stop = starts[hour], starts[hour + 1]
        if stop - first < min_rows:
            continue
        skew, kurt = _skew_kurt(change, first + 1, stop)
        out[0, hour] = skew
        out[1, hour] = kurt
        out[2, hour] = skew / (abs(kurt) + eps)
        # of v/sum(v), which has the skewness and kurtosis of v; all-zero volumes are equal ones
        skew, kurt = _skew_kurt(volume, first, stop)
        out[3, hour] = skew
        out[4, hour] = kurt
        out[5, hour] = skew / (abs(kurt) + eps)
    return out


@kernel
def _liquidity(
    starts: Ints,
    minute: Ints,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    change: Floats,
    eps: float,
) -> Floats:
    spread = np.empty_like(close)
    for i in range(close.size):
        spread[i] = (high[i] - low[i]) / max(close[i], eps)
    out = np.full((8, starts.size - 1), np.nan)
    for hour in range(starts.size - 1):
        first, stop = starts[hour], starts[hour + 1]
        n = stop - first
        if n == 0:
            continue
        impact = total = last = around = top = depth = squares = tail = 0.0
        for i in range(first, stop):
            traded = max(volume[i], eps)
            if i > first:
                impact += abs(change[i]) / traded
            total += volume[i]
            if minute[i] >= LAST_MINUTES:
                last += volume[i]
            if minute[i] < FIRST_MINUTES or minute[i] >= LAST_MINUTES:
                around += volume[i]
            if minute[i] < TOP_MINUTES:
                top += volume[i]
            depth += (high[i] - low[i]) / traded
            squares += change[i] * change[i]
            if minute[i] >= TAIL_MINUTES:
                tail += change[i] * change[i]
        if n >= 2:
            out[0, hour] = impact / (n - 1)
        if total != 0.0:
            out[1, hour] = last / total
            out[2, hour] = around / total
            out[3, hour] = top / total
        out[4, hour] = depth / n
        out[5, hour] = _mean_std(spread, first, stop)[1]
        if squares != 0.0:
            out[6, hour] = math.sqrt(tail) / (math.sqrt(squares) + eps)
            out[7, hour] = tail / (squares + eps)
    return out
