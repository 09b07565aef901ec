"""Everything that one hour's minutes tell, by the wide table's column names."""

from __future__ import annotations

import polars as pl

from alphaqcm.pipeline.features.factors.hour.correlation import correlations
from alphaqcm.pipeline.features.factors.hour.momentum import momentum
from alphaqcm.pipeline.features.factors.hour.valid_minutes import keep
from alphaqcm.pipeline.features.factors.hour.volatility import volatility
from alphaqcm.pipeline.features.factors.hour.volume_by_return import volume_by_return
from alphaqcm.pipeline.features.factors.minutes import Minutes, base_bar
from alphaqcm.pipeline.features.factors.segments import Floats, nullable, time_series


def hour_statistics(minutes: Minutes, us_open: Floats | None = None) -> pl.DataFrame:
    """One row an hour that has a usable minute: `datetime`, base bar and factors, null undefined.

    `vwap` is null in an hour without volume here. All numbers are Float64. The hours may be those
    of several symbols where `us_open` tells the one column that looks at the hour before.
    """
    kept = keep(minutes)
    values = (
        base_bar(minutes)
        | momentum(minutes, us_open)
        | volatility(kept)
        | correlations(kept)
        | volume_by_return(kept)
    )
    columns = [nullable(name, array) for name, array in values.items()]
    return pl.DataFrame([time_series("datetime", minutes.hours), *columns])
