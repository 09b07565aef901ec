"""What was met while a month's archive files were read, as its footer's report tells it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, counted
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import Partition
from alphaqcm.pipeline.reading.month_report import MonthReport

_KEY = re.compile(r"data/(spot|futures/\w+)/\S+?\.zip")


def file_findings(
    series: str, symbol: str, span: TimeRange, inputs: Sequence[str], report: MonthReport
) -> Iterator[Finding]:
    """Files that cannot be used, days taken from daily files, doubled, unusable and outside rows.

    `inputs` are the archive keys the month file was made from, `report` is its footer's.
    """
    for problem in report.problems:
        found_key = _KEY.search(problem)
        period = ArchiveFile.parse(found_key[0]).period if found_key else None
        yield Finding(
            Severity.ERROR,
            "file-unusable",
            series,
            symbol,
            span if period is None else TimeRange(period.start_us, period.end_us),
            "a file that holds what its checksum and its type promise",
            problem[found_key.end() :].lstrip(":; ") if found_key else problem,
            (found_key[0],) if found_key else (),
        )
    patches = list(_patched(series, symbol, inputs))
    yield from patches
    for key, told in (report.files or {}).items():
        if told.outside and series != "metrics":  # metrics judges its own labels
            period = ArchiveFile.parse(key).period
            yield Finding(
                Severity.WARNING,
                "rows-outside-period",
                series,
                symbol,
                TimeRange(period.start_us, period.end_us),
                "rows of the file's own period",
                f"{counted(told.outside, 'rows')} outside it, left out",
                (key,),
            )
    for name, severity, check, expected, found in (
        (
            "duplicates",
            Severity.WARNING,
            "duplicate-rows",
            "one row a time",
            "rows beyond the first of their time; the last one read was kept",
        ),
        (
            "unusable",
            Severity.WARNING,
            "unusable-rows",
            "a finite price and volume in every row",
            "rows without one, left out",
        ),
        ("unsorted", Severity.INFO, "rows-unsorted", "rows in order of time", "sorted on reading"),
    ):
        count = getattr(report, name)
        if name == "unsorted" and patches:
            continue  # the daily file's rows come after the monthly file's
        if count:
            text = found if count is True else f"{count} {found}"
            yield Finding(severity, check, series, symbol, span, expected, text, tuple(inputs))


def _patched(series: str, symbol: str, inputs: Sequence[str]) -> Iterator[Finding]:
    files = [ArchiveFile.parse(key) for key in inputs]
    monthly = [file for file in files if file.period.partition is Partition.MONTHLY]
    for file in files if monthly else ():
        if file.period.partition is Partition.DAILY:
            yield Finding(
                Severity.INFO,
                "day-taken-from-daily-file",
                series,
                symbol,
                TimeRange(file.period.start_us, file.period.end_us),
                "every day in the monthly file",
                "none of this day's rows; its daily file has them",
                (monthly[0].key, file.key),
            )
