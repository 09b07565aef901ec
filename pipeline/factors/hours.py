"""Everything that one hour's minutes tell, by the wide table's column names."""

from __future__ import annotations

import polars as pl

from alphaqcm.pipeline.factors.correlation import correlations
from alphaqcm.pipeline.factors.kept import keep
from alphaqcm.pipeline.factors.minutes import Minutes, base_bar
from alphaqcm.pipeline.factors.momentum import momentum
from alphaqcm.pipeline.factors.segments import nullable, time_series
from alphaqcm.pipeline.factors.volatility import volatility
from alphaqcm.pipeline.factors.volume_by_return import volume_by_return


def hour_statistics(minutes: Minutes) -> pl.DataFrame:
    """One row an hour that has a usable minute: `datetime`, base bar and factors, null undefined.

    `vwap` is null in an hour without volume here. All numbers are Float64.
    """
    kept = keep(minutes)
    values = (
        base_bar(minutes)
        | momentum(minutes)
        | volatility(kept)
        | correlations(kept)
        | volume_by_return(kept)
    )
    columns = [nullable(name, array) for name, array in values.items()]
    return pl.DataFrame([time_series("datetime", minutes.hours), *columns])
