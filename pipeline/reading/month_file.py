"""One month of one series: archive files in, one frame and its report out.

The monthly file comes first; a UTC day without any row in it is taken from that day's own file; a
month without a monthly file is made of its daily files. aggTrades go the same way through
`pipeline.reading.aggtrades`, which condenses them to minutes while it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import METRICS, DataType, Market, Partition, spec_of
from alphaqcm.pipeline.domain.time import DAY_US
from alphaqcm.pipeline.errors import RawError
from alphaqcm.pipeline.reading.aggtrades import AggMinutes, aggregate_file, merge
from alphaqcm.pipeline.reading.csv_reader import (
    UTC_US,
    ArchiveTable,
    known_delay,
    read_archive,
    read_together,
)
from alphaqcm.pipeline.reading.month_report import FileCount, MonthReport

_VERSION = 1
_VERSIONS = {(Market.CM, DataType.AGGTRADES): 2}  # 2: contracts to base and quote units

_EPOCH_DAY = date(1970, 1, 1).toordinal()

OHLC = ("open", "high", "low", "close")
MINUTE_COLUMNS = (
    *OHLC,
    "volume",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)


_UNFORESEEN = (
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)
"""What values that nobody has thought of can raise: one file must not stop all others."""


def month_version(series: Series) -> int:
    """Of the month files of `series`: raised when their content changes for the same inputs.

    All of another version are then rebuilt.
    """
    return _VERSIONS.get((series.market, series.type), _VERSION)


@dataclass(frozen=True, slots=True)
class FileRows:
    """One archive file, read: rows, or for aggTrades its minutes."""

    file: ArchiveFile
    content: ArchiveTable | AggMinutes

    @property
    def frame(self) -> pl.DataFrame:
        """Rows or minutes inside the file's period."""
        return self.content.frame

    @property
    def times(self) -> pl.Series:
        """The time of each row or minute, Datetime[us, UTC]."""
        name = spec_of(self.file.series.type).time_column
        return self.frame["minute" if isinstance(self.content, AggMinutes) else name]

    @property
    def rows(self) -> int:
        """Rows of the file, those outside its period included."""
        content = self.content
        return content.counters.rows if isinstance(content, AggMinutes) else content.rows

    def ends(self) -> tuple[datetime | None, datetime | None]:
        """First and last time, None where there is no row."""
        first, last = self.times.min(), self.times.max()
        if isinstance(first, datetime) and isinstance(last, datetime):
            return first, last
        return None, None

    def days(self) -> set[date]:
        """The UTC days that have rows; of a type with daily files only, the file's own day."""
        if spec_of(self.file.series.type).partitions == (Partition.DAILY,):
            return {self.file.period.start} if self.frame.height else set()
        days = self.times.cast(pl.Int64).to_numpy() // DAY_US
        changes = days[np.flatnonzero(np.diff(days, prepend=days[:1] - 1))]
        return {date.fromordinal(_EPOCH_DAY + int(day)) for day in set(changes)}


@dataclass(frozen=True, slots=True)
class MonthFrame:
    """A month of a series, and what was met while its files were read."""

    frame: pl.DataFrame
    report: MonthReport = field(default_factory=MonthReport)


def read_file_rows(path: Path, file: ArchiveFile) -> FileRows:
    """Read the ZIP at `path`, whose folder can be written to.

    Raises `RawError` for whatever the file holds, `LayerError` where it cannot be read.
    """
    try:
        return _read(path, file)
    except _UNFORESEEN as error:
        raise RawError(
            path,
            expected=f"a file of {file.series.type} that can be read",
            found=f"{type(error).__name__}: {str(error)[:300]}",
            next_step="compare it with its .CHECKSUM and fetch it again (alphaqcm verify --repair)",
        ) from error


def read_files_together(wanted: Sequence[tuple[Path, ArchiveFile]]) -> list[FileRows] | None:
    """Read small files of one series at once; None where they are to be read one by one."""
    if len(wanted) < 2 or wanted[0][1].series.type is DataType.AGGTRADES:
        return None
    try:
        tables = read_together(wanted)
    except _UNFORESEEN:
        return None
    return None if tables is None else [FileRows(table.file, table) for table in tables]


def _read(path: Path, file: ArchiveFile) -> FileRows:
    if file.series.type is DataType.AGGTRADES:
        # rows of a large file out of order are sorted on the disk it lies on: /tmp may be memory
        # and every core has a process of its own, which does best with one thread
        return FileRows(file, aggregate_file(path, file, spill=path.parent, ahead=False))
    return FileRows(file, read_archive(path, file))


def assemble(parts: Sequence[FileRows]) -> MonthFrame:
    """One month of one series from its files, monthly file first; `parts` is not empty."""
    series = parts[0].file.series
    trades = [part.content for part in parts if isinstance(part.content, AggMinutes)]
    if trades:
        minutes = merge(trades)
        report = MonthReport(rows=minutes.frame.height, counters=minutes.counters)
        return MonthFrame(minutes.frame, report)
    readings = [part.content for part in parts if isinstance(part.content, ArchiveTable)]
    return month_frame(series.type, series.interval, readings)


def missing_days(period: Period, present: set[date]) -> list[date]:
    """The UTC days of `period` that no row lies in."""
    return [day for day in period.days() if day not in present]


def inside(time: str, days: DateRange) -> pl.Expr:
    """Whether the column `time` (Datetime, UTC) lies in `days`."""
    return (
        pl.col(time)
        .cast(UTC_US)
        .to_physical()
        .is_between(days.start_us, days.end_us, closed="left")
    )


def month_frame(data_type: DataType, interval: str, readings: Sequence[ArchiveTable]) -> MonthFrame:
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
    files = {reading.file.key: FileCount(reading.rows, reading.outside) for reading in readings}
    if data_type in (DataType.FUNDING, DataType.METRICS) or frame.is_empty():
        return MonthFrame(frame, MonthReport(rows=frame.height, files=files))
    needed = [*OHLC, "volume"] if data_type is DataType.KLINES else OHLC
    has_nulls = any(frame.get_column(name).null_count() for name in needed)
    usable = frame.drop_nulls(needed) if has_nulls else frame
    time = usable.columns[0]
    unique = usable
    if bool((np.diff(usable.get_column(time).cast(pl.Int64).to_numpy()) <= 0).any()):
        unique = usable.sort(time, maintain_order=True)
        unique = unique.unique(time, keep="last", maintain_order=True)
    report = MonthReport(
        rows=unique.height,
        files=files,
        unusable=frame.height - usable.height,
        duplicates=usable.height - unique.height,
        unsorted=not frame[time].is_sorted(),
    )
    return MonthFrame(unique, report)


# series by series: an expression costs more than the rows of a small file


def _bars(reading: ArchiveTable, data_type: DataType, interval: str) -> pl.DataFrame:
    is_last_price = data_type is DataType.KLINES
    names = ("open_time", *(MINUTE_COLUMNS if is_last_price else OHLC))
    columns = [reading.frame.get_column(name) for name in names]
    if is_last_price and interval == "1m":
        columns[0] = columns[0].alias("minute")
    return pl.DataFrame(columns)


def _settlements(reading: ArchiveTable, _type: DataType, _interval: str) -> pl.DataFrame:
    names = ("calc_time", "funding_interval_hours", "last_funding_rate")
    return pl.DataFrame([reading.frame.get_column(name) for name in names])


def _metrics(reading: ArchiveTable, _type: DataType, _interval: str) -> pl.DataFrame:
    created = reading.frame.get_column("create_time")
    delay = known_delay(reading.file)
    known = created + delay if delay else created
    day = pl.Series("file_date", [reading.file.period.start], dtype=pl.Date)
    return pl.DataFrame(
        [
            known.cast(UTC_US).alias("known_time"),
            day.new_from_index(0, reading.frame.height),
            *(reading.frame.get_column(name) for name in METRICS),
        ]
    )


_MAKERS: dict[DataType, Callable[[ArchiveTable, DataType, str], pl.DataFrame]] = {
    DataType.FUNDING: _settlements,
    DataType.METRICS: _metrics,
}
