"""Which archive files a month of a series is made of: the one rule, for everybody who asks.

The plan of a download, the month task, the size of a task and the update all call `month_sources`;
what is held and what is listed they know from different places.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date

from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import Partition, spec_of


def month_sources(
    series: Series,
    month: Period,
    listed: Collection[Period],
    held: Collection[Period],
    known_gaps: Collection[date],
    days: DateRange,
) -> tuple[ArchiveFile, ...]:
    """The files that cover `month`, in the order in which they are read.

    The monthly file where it can be had, then the daily files of the days that it is known to lack
    (`known_gaps`: all of its days where it cannot be used). Else the daily files. Daily files are
    named for the days in `days` and for those in `held`, the periods that the month file at hand
    was made of. Types without daily files, and months of which nothing can be had, count as their
    monthly file; a day that cannot be had between others as that day's file.

    `listed` are the periods of this month that can be had: at the source, or verified on disk.
    """
    partitions = spec_of(series.type).partitions
    monthly = series.file(month)
    monthly_there = month in listed
    if Partition.DAILY not in partitions or (monthly_there and not known_gaps):
        return (monthly,)
    by_day = Partition.MONTHLY not in partitions or any(
        period.partition is Partition.DAILY for period in listed
    )
    if not monthly_there and not by_day:
        return (monthly,)
    wanted = (
        Period.day(day)
        for day in month.days()
        if days.start <= day <= days.end or Period.day(day) in held
    )
    if monthly_there:
        return (monthly, *(series.file(day) for day in wanted if day.start in known_gaps))
    return tuple(series.file(day) for day in wanted)


def by_month(periods: Iterable[Period]) -> Mapping[date, Collection[Period]]:
    """Periods by the first day of their month: the `listed` of each."""
    found: dict[date, set[Period]] = {}
    for period in periods:
        found.setdefault(period.start.replace(day=1), set()).add(period)
    return found
