"""The kept rows of an hour: what its volatility, liquidity and shape are measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphaqcm.pipeline.features.factors.minutes import EPS, Minutes
from alphaqcm.pipeline.features.factors.segments import Floats, Ints
from alphaqcm.pipeline.kernel import kernel

MAX_RANGE_RATIO = 1.2
MIN_ROWS = 10


@dataclass(frozen=True, slots=True)
class ValidMinutes:
    """Kept rows of all hours, one after another; hour `i` is the rows `starts[i]:starts[i+1]`."""

    minute: Ints
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    ratio: Floats  # high / max(low, EPS)
    change: Floats  # log return to the row before; 0 on an hour's first row
    starts: Ints
    hours: Ints
    all_rows: Ints  # usable rows of each hour, kept or not
    traded_rows: Ints  # those of them with volume
    largest_ratio: Floats  # over all usable rows of each hour


def keep(minutes: Minutes) -> ValidMinutes:
    """Drop the rows whose range cannot be real (high/low above 1.2) or that have no price.

    An hour with fewer than 10 rows left keeps every row with a price instead.
    """
    m = minutes
    rows, starts, largest, traded = _keep(m.starts, m.high, m.low, m.close, m.volume, EPS)
    close = m.close[rows]
    return ValidMinutes(
        minute=m.minute[rows],
        high=m.high[rows],
        low=m.low[rows],
        close=close,
        volume=m.volume[rows],
        ratio=m.high[rows] / np.maximum(m.low[rows], EPS),
        change=_changes(starts, m.log_close[rows]),
        starts=starts,
        hours=m.hours,
        all_rows=np.diff(m.starts),
        traded_rows=traded,
        largest_ratio=largest,
    )


@kernel
def _keep(
    starts: Ints, highs: Floats, lows: Floats, closes: Floats, volumes: Floats, eps: float
) -> tuple[Ints, Ints, Floats, Ints]:
    rows = np.empty(closes.size, np.int64)
    kept_starts = np.zeros(starts.size, np.int64)
    largest = np.empty(starts.size - 1)
    traded = np.zeros(starts.size - 1, np.int64)
    count = 0
    for hour in range(starts.size - 1):
        first, stop = starts[hour], starts[hour + 1]
        before = count
        largest[hour] = -np.inf
        for i in range(first, stop):
            ratio = highs[i] / max(lows[i], eps)
            largest[hour] = max(largest[hour], ratio)
            if volumes[i] > 0.0:
                traded[hour] += 1
            if 0.0 < ratio <= MAX_RANGE_RATIO and closes[i] > 0.0:
                rows[count] = i
                count += 1
        if count - before < MIN_ROWS:
            count = before
            for i in range(first, stop):
                if closes[i] > 0.0 and lows[i] > 0.0:
                    rows[count] = i
                    count += 1
        kept_starts[hour + 1] = count
    return rows[:count].copy(), kept_starts, largest, traded


@kernel
def _changes(starts: Ints, log_close: Floats) -> Floats:
    out = np.zeros_like(log_close)
    for hour in range(starts.size - 1):
        for i in range(starts[hour] + 1, starts[hour + 1]):
            out[i] = log_close[i] - log_close[i - 1]
    return out
