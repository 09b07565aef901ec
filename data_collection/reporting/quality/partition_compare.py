"""Monthly against daily files: those at hand in the cache, or all that the source lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from alphaqcm.data_collection.archive.archive import Archive, Fetched
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner, open_task_runner
from alphaqcm.data_collection.reporting.quality.month_files import MonthFile
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange
from alphaqcm.pipeline.checks.partitions import day_finding
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Partition, spec_of
from alphaqcm.pipeline.domain.series_type import parse_typed, series_of
from alphaqcm.pipeline.errors import RawError
from alphaqcm.pipeline.reading.month_file import assemble, read_file_rows


def partition_findings(
    settings: RunSettings, symbol: str, files: dict[str, list[MonthFile]], *, deep: bool
) -> Iterator[Finding]:
    """Days that the monthly and the daily file tell differently.

    Without `deep` only what lies in the cache is compared, and no trades: they are long to read.
    """
    with open_task_runner(
        settings
    ) as runner:  # lists a series once, and only where something is fetched
        for name, months in files.items():
            data_type, _ = parse_typed(name)
            if set(spec_of(data_type).partitions) != set(Partition):
                continue
            if data_type is DataType.AGGTRADES and not deep:
                continue
            series = series_of(settings.market, name, symbol)
            for month in months:
                yield from _month(runner, symbol, name, series.file(month.month), month, deep=deep)


def _month(
    runner: TaskRunner,
    symbol: str,
    name: str,
    monthly: ArchiveFile,
    month: MonthFile,
    *,
    deep: bool,
) -> Iterator[Finding]:
    path = runner.settings.layout.cache / monthly.key
    if monthly.key not in month.inputs or not path.exists():
        return
    days = [
        monthly.series.file(day)
        for day in map(Period.day, monthly.period.days())
        if month.span.start <= day.start_us < month.span.end
    ]
    days = [day for day in days if day.key not in month.inputs]  # those filled holes of the month
    found = _fetched(runner.archive, days) if deep else _at_hand(runner.settings, days)
    if not found:
        return
    try:
        whole = assemble([read_file_rows(path, monthly)]).frame
    except RawError as error:
        yield _unreadable(symbol, name, monthly, error)
        return
    time = pl.col(whole.columns[0]).dt.epoch("us")
    for day, place in found:
        try:
            own = assemble([read_file_rows(place, day)]).frame
        except RawError as error:
            yield _unreadable(symbol, name, day, error)
            continue
        mine = whole.filter(time >= day.period.start_us, time < day.period.end_us)
        finding = day_finding(symbol, name, day, (mine, own))
        if finding is not None:
            yield finding


def _unreadable(symbol: str, series: str, file: ArchiveFile, error: RawError) -> Finding:
    return Finding(
        Severity.ERROR,
        "file-unusable",
        series,
        symbol,
        TimeRange(file.period.start_us, file.period.end_us),
        error.expected or "a file that can be read",
        f"{error.found}; in the cache: {error.subject}",
        (file.key,),
    )


def _at_hand(settings: RunSettings, days: Sequence[ArchiveFile]) -> list[tuple[ArchiveFile, Path]]:
    folder = (settings.layout.cache / days[0].key).parent if days else None
    if folder is None or not folder.is_dir():
        return []
    there = {path.name for path in folder.iterdir()}
    return [(day, folder / day.name) for day in days if day.name in there]


def _fetched(archive: Archive, days: Sequence[ArchiveFile]) -> list[tuple[ArchiveFile, Path]]:
    brought = archive.fetch([day for day in days if day.period in archive.periods(day.series)])
    return [(day, item.path) for day, item in brought.items() if isinstance(item, Fetched)]
