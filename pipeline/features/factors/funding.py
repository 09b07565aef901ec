"""Funding: settlements held hourly."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.time import HOUR_US, epoch_us
from alphaqcm.pipeline.features.factors.segments import floats, nullable, time_series, times_us

HELD_HOURS = 24
"""A settlement is known for so many hours; without a newer one the rate is unknown after that."""


def hourly_funding(settlements: pl.DataFrame, start: date, end: date) -> pl.DataFrame:
    """The funding rate of every hour from the first of `start`'s month to the end of day `end`.

    `settlements` has `calc_time`, `funding_interval_hours` and `last_funding_rate`, in any order
    (rows with the same calc_time in the order read: the last wins). Returns `datetime`,
    `last_funding_rate` (fraction), `funding_interval_hours`; hours without a settlement in the last
    24 hours have no row. calc_time is a few milliseconds late: it counts from its own hour on.
    """
    first = epoch_us(Period.month(start).start) // HOUR_US
    stop = epoch_us(end + timedelta(days=1)) // HOUR_US
    rows = settlements.drop_nulls("calc_time").sort("calc_time", maintain_order=True)
    hour = times_us(rows["calc_time"]) // HOUR_US
    known = hour >= first
    rows, hour = rows.filter(pl.Series(known)), hour[known]

    hours = np.arange(first, stop, dtype=np.int64)
    last = np.searchsorted(hour, hours, side="right") - 1
    held = last >= 0
    held[held] = hours[held] - hour[last[held]] < HELD_HOURS
    hours, last = hours[held], last[held]
    return pl.DataFrame(
        [
            time_series("datetime", hours * HOUR_US),
            nullable("last_funding_rate", floats(rows["last_funding_rate"])[last]),
            nullable("funding_interval_hours", floats(rows["funding_interval_hours"])[last]),
        ]
    )
