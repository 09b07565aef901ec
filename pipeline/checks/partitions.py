"""A day told twice: by its month's file and by its own."""

from __future__ import annotations

import polars as pl

from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, counted, utc
from alphaqcm.pipeline.domain.archive_file import ArchiveFile


def day_finding(
    symbol: str, series: str, daily: ArchiveFile, frames: tuple[pl.DataFrame, pl.DataFrame]
) -> Finding | None:
    """What differs between (the monthly file's, the daily file's) rows of one day; None if nothing.

    Both frames are a month file's rows of this day: the first column is the time, unique.
    """
    monthly, own = (frame.sort(frame.columns[0]) for frame in frames)
    if monthly.equals(own):
        return None
    time = monthly.columns[0]
    told = [
        f"{counted(rows.height, 'rows')} only in the {where} file"
        for where, rows in (
            ("monthly", monthly.join(own, on=time, how="anti")),
            ("daily", own.join(monthly, on=time, how="anti")),
        )
        if rows.height
    ]
    both = monthly.join(own, on=time, suffix="_daily").sort(time)
    differ = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}_daily")) for name in monthly.columns[1:]
    )
    wrong = both.filter(differ)
    if wrong.height:
        first = utc(wrong[time].dt.epoch("us")[0])
        rows = counted(wrong.height, "rows")
        told.append(f"{rows} with other values, the first at {first:%H:%M}")
    return Finding(
        Severity.WARNING,
        "monthly-daily-differ",
        series,
        symbol,
        TimeRange(daily.period.start_us, daily.period.end_us),
        "the same rows in the monthly and the daily file",
        ", ".join(told),
        (daily.key,),
    )
