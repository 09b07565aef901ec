"""Funding settlements: their schedule, and whether they stay inside the symbol's life."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from alphaqcm.pipeline.checks.bars.examine import MonthOf
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, counted
from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US, MINUTE_US

DEFAULT_HOURS = 8
JITTER_US = MINUTE_US
"""Settlements are stamped a few milliseconds after the hour; a minute is no jitter any more."""
SERIES = "fundingRate"


@dataclass(frozen=True, slots=True)
class Settlement:
    """One settlement: its stamp (microseconds) and the interval it closes, in hours."""

    time: int
    interval: int

    @property
    def hour(self) -> int:
        """The hour it takes effect."""
        return self.time // HOUR_US * HOUR_US


def examine_settlements(frame: pl.DataFrame) -> tuple[Settlement, ...]:
    """The month's settlements in order of time; frame as in a fundingRate month file."""
    hours = pl.col("funding_interval_hours")
    known = pl.when(hours > 0).then(hours).otherwise(DEFAULT_HOURS).cast(pl.Int64)
    rows = frame.select(pl.col("calc_time").dt.epoch("us").alias("t"), known.alias("h")).sort("t")
    return tuple(Settlement(time, interval) for time, interval in rows.iter_rows())


def funding_findings(
    symbol: str,
    months: Sequence[MonthOf[tuple[Settlement, ...]]],
    traded: Sequence[TimeRange],
) -> list[Finding]:
    """Missing, doubled, off-hour settlements, changes of the interval, rows without a market.

    `traded` are the spans in which the symbol has bars that trade, gaps below a day joined.
    """
    rows = [(item, month.evidence) for month in months for item in month.view]
    rows.sort(key=lambda row: row[0].time)
    return [
        *_steps(symbol, rows),
        *_off_hour(symbol, rows),
        *_without_market(symbol, rows, traded),
        *_absent_months(symbol, months),
    ]


def _steps(symbol: str, rows: Sequence[tuple[Settlement, tuple[str, ...]]]) -> Iterator[Finding]:
    for (before, _), (item, evidence) in pairwise(rows):
        step = (item.hour - before.hour) // HOUR_US
        longest = max(before.interval, item.interval)
        if step == 0:
            yield _finding(
                Severity.WARNING,
                "funding-doubled",
                symbol,
                TimeRange(item.hour, item.hour + HOUR_US),
                "one settlement an hour at most",
                "two",
                evidence,
            )
        elif step > longest and step * HOUR_US < 32 * DAY_US:
            missing = -(-step // longest) - 1
            yield _finding(
                Severity.ERROR,
                "funding-missing",
                symbol,
                TimeRange(before.hour + longest * HOUR_US, item.hour),
                f"a settlement every {longest} h",
                f"{missing} missing",
                evidence,
            )
        if item.interval != before.interval:
            yield _finding(
                Severity.INFO,
                "funding-interval-changed",
                symbol,
                TimeRange(item.hour, item.hour + HOUR_US),
                f"settlements every {before.interval} h",
                f"every {item.interval} h from here on",
                evidence,
            )


def _off_hour(symbol: str, rows: Sequence[tuple[Settlement, tuple[str, ...]]]) -> Iterator[Finding]:
    for item, evidence in rows:
        if item.time - item.hour > JITTER_US:
            yield _finding(
                Severity.WARNING,
                "funding-off-hour",
                symbol,
                TimeRange(item.hour, item.hour + HOUR_US),
                "a stamp at most one minute after the hour",
                f"{(item.time - item.hour) / 1e6:.3f} s after it",
                evidence,
            )


def _without_market(
    symbol: str, rows: Sequence[tuple[Settlement, tuple[str, ...]]], traded: Sequence[TimeRange]
) -> Iterator[Finding]:
    if not traded:
        return
    first = traded[0].start
    lost: list[tuple[Settlement, tuple[str, ...]]] = []
    for item, evidence in rows:
        inside = any(span.start - DAY_US <= item.hour <= span.end + DAY_US for span in traded)
        if not inside and item.hour > first:
            lost.append((item, evidence))
    groups: list[list[tuple[Settlement, tuple[str, ...]]]] = []
    for row in lost:
        if groups and row[0].hour - groups[-1][-1][0].hour <= 2 * DAY_US:
            groups[-1].append(row)
        else:
            groups.append([row])
    for group in groups:
        yield _finding(
            Severity.WARNING,
            "funding-without-market",
            symbol,
            TimeRange(group[0][0].hour, group[-1][0].hour + HOUR_US),
            "no settlements where the symbol does not trade",
            f"{counted(len(group), 'settlements')} without trades within a day",
            group[0][1],
        )


def _absent_months(
    symbol: str, months: Sequence[MonthOf[tuple[Settlement, ...]]]
) -> Iterator[Finding]:
    for before, after in pairwise(months):
        if before.span.end < after.span.start:
            yield _finding(
                Severity.ERROR,
                "funding-months-absent",
                symbol,
                TimeRange(before.span.end, after.span.start),
                "a file for every month between the first and the last",
                "none",
                (*before.evidence, *after.evidence),
            )


def _finding(
    severity: Severity,
    check: str,
    symbol: str,
    period: TimeRange,
    expected: str,
    found: str,
    evidence: tuple[str, ...],
) -> Finding:
    return Finding(severity, check, SERIES, symbol, period, expected, found, evidence)
