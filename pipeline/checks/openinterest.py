"""Metrics: 288 rows a day, labels that mean what the file's date says, open interest above zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import polars as pl

from alphaqcm.pipeline.checks.bars.examine import MonthOf
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, counted
from alphaqcm.pipeline.domain.time import DAY_US, epoch_us

ROWS_A_DAY = 288
STEP_US = 300_000_000
SERIES = "metrics"


@dataclass(frozen=True, slots=True)
class MetricsDay:
    """One daily file: `day` is its midnight; times in microseconds."""

    day: int
    rows: int
    distinct: int
    first: int
    last: int
    zero: tuple[int, ...]  # known times with an open interest of zero


def examine_metrics(frame: pl.DataFrame) -> tuple[MetricsDay, ...]:
    """The month's daily files; frame as in a metrics month file (known_time, file_date, values)."""
    known = pl.col("known_time").dt.epoch("us")
    days = (
        frame.group_by("file_date")
        .agg(
            pl.len().alias("rows"),
            known.n_unique().alias("distinct"),
            known.min().alias("first"),
            known.max().alias("last"),
            known.filter(pl.col("sum_open_interest") == 0).sort().alias("zero"),
        )
        .sort("file_date")
    )
    return tuple(
        MetricsDay(
            epoch_us(row["file_date"]),
            row["rows"],
            row["distinct"],
            row["first"],
            row["last"],
            tuple(row["zero"]),
        )
        for row in days.iter_rows(named=True)
    )


def metrics_findings(
    symbol: str, months: Sequence[MonthOf[tuple[MetricsDay, ...]]], traded: Sequence[TimeRange]
) -> list[Finding]:
    """Days that are absent, short, doubled, labelled wrongly, or with an open interest of zero.

    `traded` are the spans in which the symbol has a market: metrics are wanted there only.
    """
    days = [(day, month.evidence) for month in months for day in month.view]
    findings = [
        finding
        for month in months
        for day in month.view
        for finding in _day(symbol, day, month, traded)
    ]
    for (before, keys_before), (after, keys_after) in pairwise(days):
        for span in traded:
            start = max(before.day + DAY_US, -(-span.start // DAY_US) * DAY_US)
            end = min(after.day, span.end // DAY_US * DAY_US)
            if start < end:
                absent = TimeRange(start, end)
                around = (*_near(keys_before, before.day), *_near(keys_after, after.day))
                findings.append(
                    Finding(
                        Severity.ERROR,
                        "metrics-days-absent",
                        SERIES,
                        symbol,
                        absent,
                        f"{ROWS_A_DAY} rows a day",
                        "none",
                        tuple(dict.fromkeys(around)),
                    )
                )
    return findings


def _near(evidence: tuple[str, ...], day: int) -> tuple[str, ...]:
    """The keys of one day's file, or all where none is told apart."""
    stamp = TimeRange(day, day + DAY_US)
    return tuple(key for key in evidence if f"-{stamp}.zip" in key) or evidence


def _day(
    symbol: str,
    day: MetricsDay,
    month: MonthOf[tuple[MetricsDay, ...]],
    traded: Sequence[TimeRange],
) -> Iterator[Finding]:
    span = TimeRange(day.day, day.day + DAY_US)
    where = _near(month.evidence, day.day)
    outside = sum(count for key, count in month.outside if key in where)
    if _shifted(day, span) and outside:
        yield Finding(
            Severity.ERROR,
            "metrics-labels",
            SERIES,
            symbol,
            span,
            "rows known from 00:05 to 24:00 of the file's day",
            f"{_clock(day.first - span.start)} to {_clock(day.last - span.start)} and {outside} "
            "row outside the day: the labels do not mean what they should at this date",
            where,
        )
        return
    if outside:
        yield Finding(
            Severity.WARNING,
            "rows-outside-period",
            SERIES,
            symbol,
            span,
            "rows of the file's own period",
            f"{counted(outside, 'rows')} outside it, left out",
            where,
        )
    whole = any(life.start <= span.start and span.end <= life.end for life in traded)
    if day.distinct != ROWS_A_DAY and whole:
        yield Finding(
            Severity.WARNING,
            "metrics-rows",
            SERIES,
            symbol,
            span,
            f"{ROWS_A_DAY} rows a day",
            f"{day.distinct}",
            where,
        )
    if day.rows > day.distinct:
        yield Finding(
            Severity.WARNING,
            "metrics-doubled",
            SERIES,
            symbol,
            span,
            "one row a time",
            f"{counted(day.rows - day.distinct, 'rows')} more; the last one read was kept",
            where,
        )
    if day.zero:
        yield Finding(
            Severity.WARNING,
            "metrics-zero-open-interest",
            SERIES,
            symbol,
            TimeRange(day.zero[0] - STEP_US, day.zero[-1]),
            "open interest above 0",
            f"0 in {counted(len(day.zero), 'rows')}",
            where,
        )


def _shifted(day: MetricsDay, span: TimeRange) -> bool:
    """Whether the rows lie one step off, as they do when labels are read the wrong way round."""
    late = day.first == span.start + 2 * STEP_US and day.last == span.end
    early = day.first == span.start + STEP_US and day.last == span.end - STEP_US
    return day.distinct == ROWS_A_DAY - 1 and (late or early)


def _clock(offset_us: int) -> str:
    text = str(timedelta(microseconds=offset_us))
    return text.removesuffix(":00")
