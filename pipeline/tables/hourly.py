"""The hourly layers of the archive types: one CSV a symbol, with its completion marker beside it.

The frames come from `features.factors` (order flow, funding, metrics) or are the archive's own 1h
bars; here they are cut to the run's days, written, and recognised when they are still current.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import polars as pl

from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.features.factors.funding import hourly_funding
from alphaqcm.pipeline.features.factors.metrics import hourly_metrics
from alphaqcm.pipeline.features.factors.orderflow import hourly_orderflow
from alphaqcm.pipeline.reading.csv_reader import UTC_US
from alphaqcm.pipeline.reading.month_file import inside
from alphaqcm.pipeline.storage.artifact import Artifact
from alphaqcm.pipeline.storage.atomic_write import CommitHook

VERSION = 1
"""Raise it when an hourly CSV's content changes for the same month files."""

BAR_NAMES = {
    DataType.MARK: "mark",
    DataType.INDEX: "index",
    DataType.PREMIUM: "premium",
}


def hourly_frame(
    data_type: DataType, months: Sequence[pl.DataFrame], span: DateRange
) -> pl.DataFrame:
    """Hours of one symbol and type from its month files, in order of time.

    Columns as documented for the `binance_*` layers; the first is the hour's start (UTC), hours
    that the archive does not have are absent. For no month file at all the frame is empty.
    """
    if not months:
        return pl.DataFrame()
    rows = pl.concat(months)
    if data_type is DataType.FUNDING:
        return hourly_funding(rows, span.start, span.end)
    if data_type is DataType.METRICS:
        return hourly_metrics(rows, span.start, span.end)
    rows = rows.filter(inside(rows.columns[0], span))
    if data_type is DataType.AGGTRADES:
        return hourly_orderflow(rows)
    return _bars(data_type, rows)


def _bars(data_type: DataType, rows: pl.DataFrame) -> pl.DataFrame:
    """1h bars by the hour their open_time lies in; of several the last read wins."""
    hours = (
        rows.sort("open_time", maintain_order=True)
        .with_columns(pl.col("open_time").dt.truncate("1h").cast(UTC_US))
        .unique("open_time", keep="last", maintain_order=True)
    )
    prefix = BAR_NAMES.get(data_type, "last")
    hours = hours.rename({name: f"{prefix}_{name}" for name in ("open", "high", "low", "close")})
    return hours.rename({"count": "trade_count"}) if "count" in hours.columns else hours


def write_hourly(
    frame: pl.DataFrame,
    artifact: Artifact,
    series: Series,
    span: DateRange,
    created_at: str,
    gate: CommitHook = contextlib.nullcontext,
) -> None:
    """Write the CSV and its `.meta.json`; `created_at` is ISO 8601. Raises `LayerError`."""
    times = frame[frame.columns[0]] if frame.height else None
    report = {
        "status": "ok",
        "symbol": series.symbol,
        "data_type": series.type.value,
        "market": series.market.value,
        "interval": series.interval or None,
        "requested_start": span.start.isoformat(),
        "requested_end": span.end.isoformat(),
        "min_ts": times[0].isoformat() if times is not None else None,
        "max_ts": times[-1].isoformat() if times is not None else None,
        "rows": frame.height,
        "created_at_utc": created_at,
    }
    artifact.write(frame, report, gate)
