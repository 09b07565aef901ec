"""Usable 1m klines of a symbol as arrays, cut into hours; the hour's own bar."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US
from alphaqcm.pipeline.features.factors.segments import Floats, Ints, floats, starts_of, times_us
from alphaqcm.pipeline.kernel import kernel

EPS = 1e-12

BASE_BAR = ("open", "high", "low", "close", "volume", "vwap")


@dataclass(frozen=True, slots=True)
class Minutes:
    """Usable 1m klines in time order; hour `i` is the rows `starts[i]:starts[i+1]`."""

    time: Ints  # open time, microseconds since the epoch
    minute: Ints  # minute of the hour
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats  # base
    log_close: Floats  # ln(max(close, EPS))
    starts: Ints
    hours: Ints  # start of each hour, microseconds since the epoch


def read_minutes(klines: pl.DataFrame, first_us: int, stop_us: int) -> Minutes:
    """The usable rows of `klines` with open time in [first_us, stop_us).

    `klines` has `minute` and open, high, low, close, volume in any row order. A row with a missing
    or not finite value is dropped; of rows with the same open time the one read last is kept.
    """
    time = times_us(klines["minute"])
    columns = [floats(klines[name]) for name in ("open", "high", "low", "close", "volume")]
    usable = (time >= first_us) & (time < stop_us)
    for values in columns:
        usable &= np.isfinite(values)
    if not usable.all():
        time, columns = time[usable], [values[usable] for values in columns]
    if time.size and not (time[1:] > time[:-1]).all():
        order = np.argsort(time, kind="stable")
        ordered = time[order]
        last = np.append(ordered[1:] != ordered[:-1], True)
        order = order[last]
        time, columns = time[order], [values[order] for values in columns]
    opens, highs, lows, closes, volumes = columns
    starts = starts_of(time // HOUR_US)
    return Minutes(
        time=time,
        minute=time % HOUR_US // MINUTE_US,
        open=opens,
        high=highs,
        low=lows,
        close=closes,
        volume=volumes,
        log_close=logs(closes),
        starts=starts,
        hours=time[starts[:-1]] // HOUR_US * HOUR_US,
    )


@kernel
def logs(values: Floats) -> Floats:
    """ln(max(value, EPS)) of each value."""
    out = np.empty_like(values)
    for i in range(values.size):
        out[i] = math.log(max(values[i], EPS))
    return out


def base_bar(minutes: Minutes) -> dict[str, Floats]:
    """`BASE_BAR` of each hour; vwap is NaN in an hour without volume."""
    out = _base_bar(
        minutes.starts, minutes.open, minutes.high, minutes.low, minutes.close, minutes.volume
    )
    return dict(zip(BASE_BAR, out, strict=True))


@kernel
def _base_bar(
    starts: Ints, opens: Floats, highs: Floats, lows: Floats, closes: Floats, volumes: Floats
) -> Floats:
    out = np.full((6, starts.size - 1), np.nan)
    for hour in range(starts.size - 1):
        first, stop = starts[hour], starts[hour + 1]
        high, low = highs[first], lows[first]
        volume = weighted = 0.0
        for i in range(first, stop):
            high = max(high, highs[i])
            low = min(low, lows[i])
            volume += volumes[i]
            weighted += (highs[i] + lows[i] + closes[i]) / 3.0 * volumes[i]
        out[0, hour] = opens[first]
        out[1, hour] = high
        out[2, hour] = low
        out[3, hour] = closes[stop - 1]
        out[4, hour] = volume
        if volume != 0.0:
            out[5, hour] = weighted / volume
    return out
