"""What is wrong with a symbol's bars, from the months' examinations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from alphaqcm.pipeline.checks.bars.examine import (
    IDLE_US,
    JUMP,
    RELISTED_US,
    STILL_TRADED,
    STILL_US,
    BarMonth,
    MonthOf,
    Run,
    Times,
    life,
)
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, counted
from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US

OTHER_ASSET = math.log(1.5)
"""Absolute log ratio of the prices around a long absence beyond which it is no single asset."""


def bar_findings(
    series: str, symbol: str, months: Sequence[MonthOf[BarMonth]], step: int
) -> list[Finding]:
    """Everything wrong inside a symbol's own bars; gaps are judged with the other symbols' beside.

    `months` in order of time.
    """
    return [
        *_counted(series, symbol, months, step),
        *_jumped(series, symbol, months, step),
        *_idled(series, symbol, months, step),
    ]


def _counted(
    series: str, symbol: str, months: Sequence[MonthOf[BarMonth]], step: int
) -> Iterator[Finding]:
    for month in months:
        view = month.view
        if view.off_grid.count:
            yield Finding(
                Severity.ERROR,
                "off-grid-times",
                series,
                symbol,
                _covering(view.off_grid, step),
                f"bars that start at a multiple of {_length(step)}",
                f"{view.off_grid.count} that do not",
                month.evidence,
            )
        if view.disordered.count:
            yield Finding(
                Severity.ERROR,
                "ohlc-disorder",
                series,
                symbol,
                _covering(view.disordered, step),
                "low <= open, close <= high, prices above 0, volumes not below 0",
                f"{counted(view.disordered.count, 'bars')} against it",
                month.evidence,
            )


def _jumped(
    series: str, symbol: str, months: Sequence[MonthOf[BarMonth]], step: int
) -> Iterator[Finding]:
    resumed = {run.span.end for run in _long_idle(months)}
    for month in months:
        for time, change in month.view.jumps:
            if time not in resumed:
                yield _jump(series, symbol, _bar(time, step), change, month.evidence)
    for earlier, later in pairwise(months):
        away = later.view.first - earlier.view.last
        change = _log_ratio(earlier.view.last_close, later.view.first_close)
        together = away < RELISTED_US and later.view.first not in resumed
        if later.view.traded and together and abs(change) > JUMP:
            yield _jump(series, symbol, _bar(later.view.first, step), change, later.evidence)


def _bar(time: int, step: int) -> TimeRange:
    start = time // step * step
    return TimeRange(start, start + step)


def _jump(
    series: str, symbol: str, bar: TimeRange, change: float, evidence: tuple[str, ...]
) -> Finding:
    return Finding(
        Severity.WARNING,
        "price-jump",
        series,
        symbol,
        bar,
        f"a log return of at most {JUMP} between neighbouring bars",
        f"{change:+.3f}",
        evidence,
    )


def _idled(
    series: str, symbol: str, months: Sequence[MonthOf[BarMonth]], step: int
) -> Iterator[Finding]:
    whole = life(months, step)
    for run, evidence in _joined(months, "idle"):
        dead = whole is not None and run.span.end == whole.end
        if not dead and run.span.end - run.span.start >= RELISTED_US:
            back = relisted(series, symbol, run.span, (run.price, run.after), evidence)
            yield replace(back, severity=Severity.WARNING)  # the bars are there
            continue
        yield Finding(
            Severity.WARNING,
            "bars-after-delisting" if dead else "bars-without-trades",
            series,
            symbol,
            run.span,
            "trades, or no bars where trading has ended" if dead else "trades",
            f"{run.span.hours:.0f} h without volume at one price"
            + (" up to the last bar: the symbol is probably delisted" if dead else ""),
            evidence,
        )
    for run, evidence in _joined(months, "still"):
        if run.traded >= STILL_TRADED:
            yield Finding(
                Severity.WARNING,
                "frozen-price",
                series,
                symbol,
                run.span,
                "a price that moves where there are trades",
                f"{run.span.hours:.0f} h at {run.price:.8g}, "
                f"trades in {counted(run.traded, 'bars')}",
                evidence,
            )


def _joined(
    months: Sequence[MonthOf[BarMonth]], kind: Literal["idle", "still"]
) -> Iterator[tuple[Run, tuple[str, ...]]]:
    """Long runs, those that cross a month's end put together."""
    joined: list[tuple[Run, tuple[str, ...]]] = []
    for month in months:
        if joined and joined[-1][0].after is None:
            run, keys = joined[-1]  # it reached the end of the month before
            joined[-1] = (replace(run, after=month.view.first_close), keys)
        for run in month.view.idle if kind == "idle" else month.view.still:
            last = joined[-1][0] if joined else None
            if last and last.span.end == run.span.start and last.price == run.price:
                span = TimeRange(last.span.start, run.span.end)
                traded = last.traded + run.traded
                joined[-1] = (Run(span, traded, run.price, run.after), joined[-1][1])
            else:
                joined.append((run, month.evidence))
    long = IDLE_US if kind == "idle" else STILL_US
    return ((run, keys) for run, keys in joined if run.span.end - run.span.start >= long)


def idle_spans(months: Sequence[MonthOf[BarMonth]]) -> list[TimeRange]:
    """The spans of a day or more without volume at one price, months joined."""
    return [run.span for run, _ in _joined(months, "idle")]


def _log_ratio(before: float, after: float) -> float:
    return math.log(after / before) if before > 0 and after > 0 else 0.0


def _long_idle(months: Sequence[MonthOf[BarMonth]]) -> list[Run]:
    return [
        run for run, _ in _joined(months, "idle") if run.span.end - run.span.start >= RELISTED_US
    ]


def relisted(
    series: str,
    symbol: str,
    away: TimeRange,
    prices: tuple[float | None, float | None],
    evidence: tuple[str, ...],
) -> Finding:
    """A name that comes back after days without a market; worse where the price is another."""
    before, after = prices
    other, told = False, ""
    if before is not None and after is not None:
        other = abs(_log_ratio(before, after)) > OTHER_ASSET
        told = f", price {before:.6g} before and {after:.6g} after"
    return Finding(
        Severity.ERROR if other else Severity.WARNING,
        "relisted",
        series,
        symbol,
        away,
        "one asset under this name from first to last bar",
        f"no trades for {away.hours / 24:.1f} days{told}",
        evidence,
    )


def _covering(times: Times, step: int) -> TimeRange:
    start = min(times.first) // step * step
    return TimeRange(start, max(times.first) // step * step + step)


def _length(step: int) -> str:
    return f"{step // HOUR_US} h" if step >= HOUR_US else f"{step // MINUTE_US} min"
