"""How an hour's volume spreads over its minutes' returns, over its kept rows."""

from __future__ import annotations

import math

import numpy as np

from alphaqcm.pipeline.features.factors.hour.valid_minutes import ValidMinutes
from alphaqcm.pipeline.features.factors.minutes import EPS
from alphaqcm.pipeline.features.factors.segments import Floats, Ints
from alphaqcm.pipeline.kernel import kernel

QUANTILES = (0.60, 0.70, 0.80, 0.90, 0.95)
VOLUME_BY_RETURN = (
    *(f"doc_vol_pdf{round(100 * q)}" for q in QUANTILES),
    "doc_vol_pdf90bi",
    "doc_std",
    "doc_skew",
    "doc_kurt",
    "doc_vol5_ratio",
    "doc_vol10_ratio",
    "doc_vol50_ratio",
)
MIN_ROWS = 12
BINS = 25
SLACK = 1e-12
"""Of the total volume: an exact tie then falls on the same side whatever the rounding."""


def volume_by_return(kept: ValidMinutes) -> dict[str, Floats]:
    """`VOLUME_BY_RETURN` of each hour; NaN where undefined."""
    out = _volume_by_return(kept.starts, kept.volume, kept.change, np.array(QUANTILES), EPS)
    return dict(zip(VOLUME_BY_RETURN, out, strict=True))


@kernel
def _rank(x: Floats, volume: Floats, n: int) -> None:
    """Sort both by `x`, stable, in place."""
    for i in range(1, n):
        value, weight = x[i], volume[i]
        j = i
        while j > 0 and x[j - 1] > value:
            x[j], volume[j] = x[j - 1], volume[j - 1]
            j -= 1
        x[j], volume[j] = value, weight


@kernel
def _weighted_quantile(x: Floats, volume: Floats, n: int, total: float, q: float) -> float:
    wanted = q * total - SLACK * total
    reached = 0.0
    for i in range(n):
        reached += volume[i]
        if reached >= wanted:
            return float(x[i])
    return np.nan


@kernel
def _fill_bins(bins: Floats, change: Floats, volume: Floats, first: int, stop: int) -> None:
    low = high = change[first]
    for i in range(first, stop):
        low = min(low, change[i])
        high = max(high, change[i])
    if high <= low:
        low -= 1e-8
        high += 1e-8
    bins[:] = 0.0
    for i in range(first, stop):
        x = change[i]
        # a first guess, then the edges themselves decide
        k = min(BINS - 1, max(0, int((x - low) / (high - low) * BINS)))
        while k > 0 and x < low + k * (high - low) / BINS:
            k -= 1
        while k < BINS - 1 and x >= low + (k + 1) * (high - low) / BINS:
            k += 1
        bins[k] += volume[i]


@kernel
def _volume_by_return(
    starts: Ints, volume: Floats, change: Floats, quantiles: Floats, eps: float
) -> Floats:
    longest = 1
    for hour in range(starts.size - 1):
        longest = max(longest, starts[hour + 1] - starts[hour])
    x = np.empty(longest)
    weight = np.empty(longest)
    bins = np.empty(BINS)
    out = np.full((12, starts.size - 1), np.nan)
    for hour in range(starts.size - 1):
        first, stop = starts[hour] + 1, starts[hour + 1]
        if stop - starts[hour] < MIN_ROWS:
            continue
        for both_sides in (False, True):
            n = 0
            total = 0.0
            for i in range(first, stop):
                if volume[i] > 0.0:
                    x[n] = abs(change[i]) if both_sides else change[i]
                    weight[n] = volume[i]
                    total += volume[i]
                    n += 1
            _rank(x, weight, n)
            if both_sides:
                out[5, hour] = _weighted_quantile(x, weight, n, total, 0.90)
            else:
                for q in range(quantiles.size):
                    out[q, hour] = _weighted_quantile(x, weight, n, total, quantiles[q])

        _fill_bins(bins, change, volume, first, stop)
        bins_low, bins_high, mean = bins[0], bins[0], 0.0
        for k in range(BINS):
            bins_low = min(bins_low, bins[k])
            bins_high = max(bins_high, bins[k])
            mean += bins[k]
        mean /= BINS
        m2 = m3 = m4 = 0.0
        if bins_low != bins_high:
            for k in range(BINS):
                d = bins[k] - mean
                m2 += d * d
                m3 += d * d * d
                m4 += d * d * d * d
            m2, m3, m4 = m2 / BINS, m3 / BINS, m4 / BINS
        s = math.sqrt(m2)
        out[6, hour] = s
        if m2 != 0.0:
            out[7, hour] = m3 / (s * s * s + eps)
            out[8, hour] = m4 / (s * s * s * s + eps) - 3.0

        _rank(bins, bins, BINS)
        total = five = ten = 0.0
        for k in range(BINS):  # from the largest; the whole is summed alike, so 25 of 25 are 1
            total += bins[BINS - 1 - k]
            if k == 4:
                five = total
            if k == 9:
                ten = total
        if total != 0.0:
            out[9, hour] = five / total
            out[10, hour] = ten / total
            out[11, hour] = total / total
    return out
