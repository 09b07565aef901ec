"""Open interest and long/short ratios: the last value known in each hour."""

from __future__ import annotations

from datetime import date

import polars as pl

from alphaqcm.pipeline.domain.registry import METRICS
from alphaqcm.pipeline.domain.time import DAY_US, epoch_us
from alphaqcm.pipeline.features.factors.segments import TIME


def hourly_metrics(rows: pl.DataFrame, start: date, end: date) -> pl.DataFrame:
    """Hours of metrics for the days `start`..`end`, both included.

    `rows` has `known_time`, `file_date` and `METRICS`; rows of one file in the file's order. Rows
    of files dated outside the days, and rows that became known outside them, do not count; of rows
    known at the same time the one read last (later file, later row) wins. Returns `create_time`
    (hour's start) and `METRICS`: column by column the last value that is not null and was known in
    the hour. Hours without a row are absent.
    """
    first, stop = epoch_us(start), epoch_us(end) + DAY_US
    known = pl.col("known_time").cast(TIME).to_physical()
    values = [
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).otherwise(None).alias(name)
        for name in METRICS
    ]
    return (
        rows.with_columns(pl.col(name).cast(pl.Float64) for name in METRICS)
        .filter(pl.col("file_date").is_between(start, end), known >= first, known < stop)
        .sort("known_time", "file_date", maintain_order=True)
        .unique("known_time", keep="last", maintain_order=True)
        .select(pl.col("known_time").cast(TIME).dt.truncate("1h").alias("create_time"), *values)
        .group_by("create_time", maintain_order=True)
        .agg(pl.col(name).drop_nulls().last() for name in METRICS)
    )
