"""Correlation of price and volume within an hour, over its kept rows."""

from __future__ import annotations

import math

import numpy as np

from alphaqcm.pipeline.features.factors.hour.valid_minutes import MIN_ROWS, ValidMinutes
from alphaqcm.pipeline.features.factors.minutes import EPS
from alphaqcm.pipeline.features.factors.segments import Floats, Ints
from alphaqcm.pipeline.kernel import kernel

CORRELATIONS = ("corr_prv", "corr_prvr", "corr_pv", "corr_pvd", "corr_pvl", "corr_pvr")
MIN_PAIRS = 10
MAX_GROWTH = 10.0


def correlations(kept: ValidMinutes) -> dict[str, Floats]:
    """`CORRELATIONS` of each hour; NaN with too few pairs or a constant side."""
    out = _correlations(kept.starts, kept.close, kept.volume, kept.change, MIN_ROWS, EPS)
    return dict(zip(CORRELATIONS, out, strict=True))


@kernel
def _pearson(a: Floats, b: Floats, n: int) -> float:
    """Pearson correlation of the first `n` values; constancy is max = min, not a small variance."""
    if n < MIN_PAIRS:
        return np.nan
    a_low = a_high = a[0]
    b_low = b_high = b[0]
    a_mean = b_mean = 0.0
    for i in range(n):
        a_low, a_high = min(a_low, a[i]), max(a_high, a[i])
        b_low, b_high = min(b_low, b[i]), max(b_high, b[i])
        a_mean += a[i]
        b_mean += b[i]
    if a_low == a_high or b_low == b_high:
        return np.nan
    a_mean /= n
    b_mean /= n
    saa = sbb = sab = 0.0
    for i in range(n):
        da = a[i] - a_mean
        db = b[i] - b_mean
        saa += da * da
        sbb += db * db
        sab += da * db
    return max(-1.0, min(1.0, sab / (math.sqrt(saa) * math.sqrt(sbb))))


@kernel
def _correlations(
    starts: Ints, close: Floats, volume: Floats, change: Floats, min_rows: int, eps: float
) -> Floats:
    growth = np.zeros_like(volume)
    for i in range(1, volume.size):
        growth[i] = min(MAX_GROWTH, max(-MAX_GROWTH, volume[i] / max(volume[i - 1], eps) - 1.0))
    out = np.full((6, starts.size - 1), np.nan)
    for hour in range(starts.size - 1):
        first, stop = starts[hour], starts[hour + 1]
        n = stop - first
        if n < min_rows:
            continue
        now, before = slice(first + 1, stop), slice(first, stop - 1)
        out[0, hour] = _pearson(change[now], volume[now], n - 1)
        out[1, hour] = _pearson(change[now], growth[now], n - 1)
        out[2, hour] = _pearson(close[first:stop], volume[first:stop], n)
        out[3, hour] = _pearson(close[now], volume[before], n - 1)
        out[4, hour] = _pearson(close[before], volume[now], n - 1)
        out[5, hour] = _pearson(close[now], growth[now], n - 1)
    return out
