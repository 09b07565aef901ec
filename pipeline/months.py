"""One month of one series: archive files in, one frame and its report out.

The monthly file comes first; a UTC day without any row in it is taken from that day's own file; a
month without a monthly file is made of its daily files. aggTrades go the same way through
`pipeline.aggtrades`, which condenses them to minutes while it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from pipeline.factors.metrics import METRICS
from pipeline.keys import Period
from pipeline.raw import UTC_US, Reading, known_delay
from pipeline.registry import DataType, Partition

VERSION = 1
"""Raise it when a month file's content changes for the same inputs: all are then rebuilt."""

OHLC = ("open", "high", "low", "close")
MINUTE_COLUMNS = (
    *OHLC,
    "volume",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)


@dataclass(frozen=True, slots=True)
class MonthFrame:
    """A month of a series; `report` is small and JSON-able and goes into the file's footer."""

    frame: pl.DataFrame
    report: Mapping[str, Any] = field(default_factory=dict)


def month_frame(data_type: DataType, interval: str, readings: Sequence[Reading]) -> MonthFrame:
    """Put the readings of one series and month together, in the order given.

    Columns by type: klines:1m `minute` and MINUTE_COLUMNS (Int64 count, else Float64, volumes in
    base and quote units); other klines the same with `open_time`; mark, index and premium klines
    `open_time` and OHLC; fundingRate its own three columns; metrics `known_time` (UTC, when the row
    became known), `file_date` and METRICS. Klines are sorted and unique by time, the last one read
    wins; the others keep the files' order.
    """
    make = _MAKERS.get(data_type, _bars)
    parts = [make(reading, data_type, interval) for reading in readings]
    frame = pl.concat(parts) if parts else pl.DataFrame()
    report: dict[str, Any] = {
        "files": {
            reading.file.key: {"rows": reading.rows, "outside": reading.outside}
            for reading in readings
        }
    }
    if data_type in (DataType.FUNDING, DataType.METRICS) or frame.is_empty():
        return MonthFrame(frame, {**report, "rows": frame.height})
    usable = frame.drop_nulls([*OHLC, "volume"] if data_type is DataType.KLINES else OHLC)
    time = usable.columns[0]
    unique = usable.sort(time, maintain_order=True).unique(time, keep="last", maintain_order=True)
    report |= {
        "rows": unique.height,
        "unusable": frame.height - usable.height,
        "duplicates": usable.height - unique.height,
        "unsorted": not frame[time].is_sorted(),
    }
    return MonthFrame(unique, report)


def missing_days(reading_days: set[date], month: Period) -> list[date]:
    """The UTC days of `month` that no row lies in."""
    return [day for day in month.days() if day not in reading_days]


def days_with_rows(reading: Reading, time_column: str) -> set[date]:
    """The UTC days in which a reading has rows."""
    return set(reading.frame[time_column].dt.date().unique())


def is_patch(file_period: Period, monthly_present: bool) -> bool:
    """Whether a daily file stands in for a day that the monthly file lacks."""
    return monthly_present and file_period.partition is Partition.DAILY


def _bars(reading: Reading, data_type: DataType, interval: str) -> pl.DataFrame:
    is_last_price = data_type is DataType.KLINES
    frame = reading.frame.select("open_time", *(MINUTE_COLUMNS if is_last_price else OHLC))
    if is_last_price and interval == "1m":
        return frame.rename({"open_time": "minute"})
    return frame


def _settlements(reading: Reading, _type: DataType, _interval: str) -> pl.DataFrame:
    return reading.frame.select("calc_time", "funding_interval_hours", "last_funding_rate")


def _metrics(reading: Reading, _type: DataType, _interval: str) -> pl.DataFrame:
    delay = known_delay(reading.file)
    return reading.frame.select(
        (pl.col("create_time") + delay).cast(UTC_US).alias("known_time"),
        pl.lit(reading.file.period.start).cast(pl.Date).alias("file_date"),
        *METRICS,
    )


_MAKERS: dict[DataType, Callable[[Reading, DataType, str], pl.DataFrame]] = {
    DataType.FUNDING: _settlements,
    DataType.METRICS: _metrics,
}
