"""A month file grown by later days: what it holds already is not read from its ZIPs again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl

from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.reading.aggtrades import AggMinutes, merge
from alphaqcm.pipeline.reading.csv_reader import ArchiveTable
from alphaqcm.pipeline.reading.month_file import FileRows, MonthFrame, month_frame
from alphaqcm.pipeline.reading.month_report import MonthReport


def append_days(
    held: pl.DataFrame, report: MonthReport, series: Series, parts: Sequence[FileRows]
) -> MonthFrame | None:
    """The month of `held` and of `parts`, files of later days than any that `held` was made of.

    Frame and report are those that reading all files anew gives; None where that cannot be known
    from the month file alone (ids of trades with gaps, a month without a row).
    """
    if held.is_empty() or not parts:
        return None
    trades = [part.content for part in parts if isinstance(part.content, AggMinutes)]
    if trades:
        return _grow_trades(held, report, trades)
    readings = [part.content for part in parts if isinstance(part.content, ArchiveTable)]
    new = month_frame(series.type, series.interval, readings)
    if new.frame.is_empty():
        return None
    told = replace(
        new.report,
        files={**(report.files or {}), **(new.report.files or {})},
        rows=held.height + new.frame.height,
    )
    if series.type not in (DataType.FUNDING, DataType.METRICS):
        time = held.columns[0]
        in_order = bool(held[time][-1] <= new.frame[time][0])
        told = replace(
            told,
            unusable=(report.unusable or 0) + (new.report.unusable or 0),
            duplicates=(report.duplicates or 0) + (new.report.duplicates or 0),
            unsorted=bool(report.unsorted or new.report.unsorted or not in_order),
        )
    return MonthFrame(pl.concat([held, new.frame]), told)


def _grow_trades(
    held: pl.DataFrame, report: MonthReport, trades: Sequence[AggMinutes]
) -> MonthFrame | None:
    counters = report.counters
    if counters is None or counters.id_gaps or counters.shared_ids:
        return None  # the ids that are there cannot be told from the minutes
    ends = [[held["first_agg_trade_id"].min(), held["last_agg_trade_id"].max()]]
    minutes = merge([AggMinutes(held, counters, np.array(ends, np.int64)), *trades])
    told = MonthReport(rows=minutes.frame.height, counters=minutes.counters)
    return MonthFrame(minutes.frame, told)


def days_held(held: pl.DataFrame, series: Series) -> set[date]:
    """The UTC days in which the files behind a month file have rows, as in `FileRows.days`."""
    if series.type is DataType.METRICS:
        return set(held["file_date"].unique())
    return set(held[held.columns[0]].dt.date().unique())
