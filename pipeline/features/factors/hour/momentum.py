"""Momentum of an hour: its segments, its busiest minutes, its trend line."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US, MINUTE_US
from alphaqcm.pipeline.features.factors.minutes import EPS, Minutes, logs
from alphaqcm.pipeline.features.factors.segments import Floats, Ints, times_us
from alphaqcm.pipeline.kernel import kernel

SEGMENTS = ("seg_head_logret", "seg_tail_logret", "seg_tail_minus_head", "seg_tail_share")
BUSIEST = ("vol_top20_frac", "vol_top20_logret_sum", "amihud_signed", "amihud_abs")
TRENDS = tuple(
    f"{name}_{price}{unit}"
    for price in ("close", "high", "low")
    for name, unit in (("qrs_beta", "_per_hour"), ("qrs_r2", ""), ("qrs", ""))
)
US_OPEN = "seg_us_open_60m_logret"
MOMENTUM = (*SEGMENTS, US_OPEN, *BUSIEST, *TRENDS)
"""Columns of the momentum stage, in order."""

HEAD_MINUTES = 45
US_OPEN_US = 59 * MINUTE_US
"""From the first minute of New York's first hour to its last one."""


def momentum(minutes: Minutes, us_open: Floats | None = None) -> dict[str, Floats]:
    """`MOMENTUM` of each hour over all its usable minutes; NaN where undefined.

    `us_open` is `US_OPEN` of each hour where the minutes are those of several symbols.
    """
    m = minutes
    out = dict(
        zip(SEGMENTS, _segments(m.starts, m.minute, m.open, m.close, EPS), strict=True)
    ) | dict(zip(BUSIEST, _busiest(m.starts, m.close, m.volume, m.log_close, EPS), strict=True))
    out[US_OPEN] = _us_open(m) if us_open is None else us_open
    for price, y in (("close", m.log_close), ("high", logs(m.high)), ("low", logs(m.low))):
        beta, r2 = _trend(m.starts, y)
        out[f"qrs_beta_{price}_per_hour"] = beta
        out[f"qrs_r2_{price}"] = r2
        out[f"qrs_{price}"] = beta * r2
    return out


@kernel
def _segments(starts: Ints, minute: Ints, opens: Floats, closes: Floats, eps: float) -> Floats:
    out = np.full((4, starts.size - 1), np.nan)
    for hour in range(starts.size - 1):
        first, stop = starts[hour], starts[hour + 1]
        head = -1
        for i in range(first, stop):
            if minute[i] < HEAD_MINUTES:
                head = i
        if head < 0:
            continue
        log_head = math.log(closes[head] + eps)
        head_return = log_head - math.log(opens[first] + eps)
        tail_return = math.log(closes[stop - 1] + eps) - log_head
        out[0, hour] = head_return
        out[1, hour] = tail_return
        out[2, hour] = tail_return - head_return
        if head_return + tail_return != 0.0:
            out[3, hour] = tail_return / (head_return + tail_return)
    return out


@kernel
def _busiest(
    starts: Ints, closes: Floats, volumes: Floats, log_close: Floats, eps: float
) -> Floats:
    longest = 1
    for hour in range(starts.size - 1):
        longest = max(longest, starts[hour + 1] - starts[hour])
    ranked = np.empty(longest)
    out = np.empty((4, starts.size - 1))
    for hour in range(starts.size - 1):
        first, stop = starts[hour], starts[hour + 1]
        n = stop - first
        for i in range(n):  # insertion sort of the hour's volumes
            value = volumes[first + i]
            j = i
            while j > 0 and ranked[j - 1] > value:
                ranked[j] = ranked[j - 1]
                j -= 1
            ranked[j] = value
        # the place 0.8 * (n - 1) in whole numbers: exact where it is whole
        place = 4 * (n - 1) // 5
        part = 4 * (n - 1) % 5 / 5.0
        threshold = ranked[place]
        if part > 0.0:
            threshold += (ranked[place + 1] - ranked[place]) * part
        count = 0
        busy_return = signed = unsigned = 0.0
        for i in range(first, stop):
            change = log_close[i] - log_close[i - 1] if i > first else 0.0
            if volumes[i] >= threshold:
                count += 1
                busy_return += change
            traded = max(volumes[i] * closes[i], eps)
            signed += change / traded
            unsigned += abs(change) / traded
        out[0, hour] = count / n
        out[1, hour] = busy_return
        out[2, hour] = signed
        out[3, hour] = unsigned
    return out


@kernel
def _trend(starts: Ints, y: Floats) -> tuple[Floats, Floats]:
    beta = np.full(starts.size - 1, np.nan)
    r2 = np.full(starts.size - 1, np.nan)
    for hour in range(starts.size - 1):
        first, stop = starts[hour], starts[hour + 1]
        n = stop - first
        if n < 3:
            continue
        origin = y[first]  # differences to the first value are exact, or nearly so
        low = high = mean = 0.0
        for i in range(first, stop):
            low = min(low, y[i] - origin)
            high = max(high, y[i] - origin)
            mean += y[i] - origin
        if low == high:
            beta[hour] = r2[hour] = 0.0
            continue
        mean /= n
        sxy = syy = 0.0
        for i in range(first, stop):
            dy = y[i] - origin - mean
            sxy += (i - first - (n - 1) / 2.0) * dy
            syy += dy * dy
        sxx = n * (n * n - 1) / 12.0
        beta[hour] = 60.0 * (sxy / sxx)
        # 1 - SSres/SStot of a least-squares line, without its cancellation near 0
        r2[hour] = min(1.0, sxy * sxy / (sxx * syy))
    return beta, r2


def _us_open(minutes: Minutes) -> Floats:
    """Return of the first hour of New York's stock session, on the bar that contains its end."""
    out = np.full(minutes.hours.size, np.nan)
    if minutes.time.size == 0:
        return out
    ends = us_open_ends(int(minutes.time[0]) // DAY_US, int(minutes.time[-1]) // DAY_US)
    closes = _rows_at(minutes.time, ends)
    opens = _rows_at(minutes.time, ends - US_OPEN_US)
    both = (closes >= 0) & (opens >= 0)
    hour = np.searchsorted(minutes.hours, ends[both] // HOUR_US * HOUR_US)
    out[hour] = us_open_return(minutes.close[closes[both]], minutes.open[opens[both]])
    return out


def us_open_ends(first_day: int, last_day: int) -> Ints:
    """Last minute of New York's first hour on each day (since the epoch), in microseconds UTC."""
    days = pl.Series(np.arange(first_day, last_day + 1), dtype=pl.Int64)
    return times_us(
        pl.select(
            (days * DAY_US + (10 * 60 + 29) * MINUTE_US)
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("America/New_York")
            .dt.convert_time_zone("UTC")
        ).to_series()
    )


def us_open_return(closes: Floats, opens: Floats) -> Floats:
    """Log returns from the opens of the first minutes to the closes of the last ones."""
    return np.asarray(_log_ratio(closes, opens, EPS))


def _rows_at(time: Ints, wanted: Ints) -> Ints:
    """Row of each wanted time, -1 where there is none."""
    row = np.minimum(np.searchsorted(time, wanted), time.size - 1)
    return np.where(time[row] == wanted, row, -1)


@kernel
def _log_ratio(closes: Floats, opens: Floats, eps: float) -> Floats:
    out = np.empty_like(closes)
    for i in range(closes.size):
        out[i] = math.log(closes[i] + eps) - math.log(opens[i] + eps)
    return out
