"""aggTrades by themselves: ids, doubled rows, quantities, as counted while the files were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from alphaqcm.pipeline.checks.bars.examine import MonthOf
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, counted
from alphaqcm.pipeline.domain.time import MINUTE_US

SERIES = "aggTrades"


@dataclass(frozen=True, slots=True)
class TradeMonth:
    """One month of aggTrades: first and last minute (microseconds) and id, and its counters.

    `counters` are those of `pipeline.reading.aggtrades.Counters`, by name.
    """

    first: int
    last: int
    first_id: int
    last_id: int
    counters: Mapping[str, int]


def trade_findings(symbol: str, months: Sequence[MonthOf[TradeMonth]]) -> list[Finding]:
    """What the counters of each month tell, and ids that do not go on from month to month."""
    findings = [finding for month in months for finding in _counted(symbol, month)]
    for before, after in pairwise(months):
        if before.span.end == after.span.start:
            findings += _step(symbol, before, after)
    return findings


def _counted(symbol: str, month: MonthOf[TradeMonth]) -> Iterator[Finding]:
    told = month.view.counters
    gaps = told.get("id_gaps", 0) - told.get("single_skips", 0)
    for count, severity, check, expected, noun, found in (
        (
            told.get("duplicates", 0),
            Severity.WARNING,
            "duplicate-rows",
            "every trade once",
            "rows",
            "equal in every field to another; each is counted once",
        ),
        (
            told.get("outside_period", 0),
            Severity.WARNING,
            "rows-outside-period",
            "rows of the file's own period",
            "rows",
            "outside it, left out",
        ),
        (
            told.get("shared_ids", 0),
            Severity.WARNING,
            "trade-ids-shared",
            "an id of its own for every trade",
            "rows",
            "with the id of a different trade; all count",
        ),
        (
            told.get("zero_quantities", 0),
            Severity.WARNING,
            "zero-quantities",
            "quantities above 0",
            "rows",
            "with a quantity of 0",
        ),
        (
            told.get("out_of_order", 0),
            Severity.INFO,
            "rows-unsorted",
            "rows in order of time and id",
            "rows",
            "before the row above; sorted while reading",
        ),
        (
            gaps,
            Severity.WARNING,
            "trade-id-gap",
            "ids without gaps (single ids left out are ordinary)",
            "places",
            f"where ids are missing, {counted(told.get('missing_ids', 0), 'ids')} in all, "
            f"{told.get('largest_gap', 0)} at most at one place",
        ),
    ):
        if count > 0:
            text = f"{counted(count, noun)} {found}"
            yield Finding(
                severity, check, SERIES, symbol, month.span, expected, text, month.evidence
            )


def _step(
    symbol: str, before: MonthOf[TradeMonth], after: MonthOf[TradeMonth]
) -> Iterator[Finding]:
    step = after.view.first_id - before.view.last_id - 1
    if step in (0, 1):
        return
    yield Finding(
        Severity.WARNING,
        "trade-id-gap" if step > 0 else "trade-ids-shared",
        SERIES,
        symbol,
        TimeRange(before.view.last, after.view.first + MINUTE_US),
        "ids that go on where the month before ended",
        f"{counted(abs(step), 'ids')} {'missing' if step > 0 else 'told again'}",
        (*before.evidence[-1:], *after.evidence[:1]),
    )
