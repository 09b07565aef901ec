"""Bars of any interval: what a month of them shows, and what is wrong with a symbol's months."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl

from pipeline.checks.finding import DAY_US, HOUR_US, Finding, Severity, Span

T = TypeVar("T")

KEPT = 50
"""Times kept a month and kind of defect; counts are always complete."""
IDLE_US = DAY_US
"""Zero volume at one price for as long as this is no quiet market but a dead one."""
JUMP = 0.5
"""Absolute log return between neighbouring bars that wants a look; is_spike uses the same."""
RELISTED_US = 7 * DAY_US
"""A symbol that is away for longer may come back as another asset."""
OTHER_ASSET = math.log(1.5)


@dataclass(frozen=True, slots=True)
class Times:
    """How many rows have a defect, and when the first of them do (microseconds)."""

    count: int = 0
    first: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class BarMonth:
    """What one month of bars shows; times in microseconds, prices in quote units."""

    rows: int
    first: int
    last: int
    gaps: tuple[Span, ...]  # between rows, not before the first nor after the last
    off_grid: Times
    disordered: Times  # OHLC out of order, or a price or volume that cannot be
    idle: tuple[Span, ...]  # zero volume at one price: a day or more, or touching the month's ends
    jumps: tuple[tuple[int, float], ...]  # (bar start, log return from the bar before)
    first_close: float
    last_close: float


@dataclass(frozen=True, slots=True)
class MonthOf(Generic[T]):
    """A month's examination with what it was made from: the evidence of its findings."""

    span: Span
    view: T
    evidence: tuple[str, ...]
    duplicates: int = 0  # rows of the archive files beyond the one kept a time
    unusable: int = 0  # rows without a price or volume
    outside: tuple[tuple[str, int], ...] = ()  # (archive key, rows outside the file's period)


def examine_bars(frame: pl.DataFrame, time: str, step: int) -> BarMonth | None:
    """Look at one month of bars; None when there are no rows.

    `frame` has `time` (Datetime[us, UTC], bar start) and open, high, low, close, and volume where
    the type has one; `step` is the interval in microseconds. Any order, duplicates allowed.
    """
    if frame.is_empty():
        return None
    ordered = frame.sort(time)
    times = ordered[time].dt.epoch("us").to_numpy()
    o, h, lo, c = (ordered[name].to_numpy() for name in ("open", "high", "low", "close"))
    impossible = ~((h >= np.maximum(o, c)) & (lo <= np.minimum(o, c)))
    idle: tuple[Span, ...] = ()
    jumps: tuple[tuple[int, float], ...] = ()
    if "volume" in ordered.columns:
        volume = ordered["volume"].to_numpy()
        impossible |= ~((lo > 0) & (volume >= 0))
        idle = _idle(times, (volume == 0) & (h == lo) & (o == c) & (o == h), c, step)
        jumps = _jumps(times, c)
    unique = np.unique(times)
    holes = np.flatnonzero(np.diff(unique) > step)
    return BarMonth(
        rows=len(times),
        first=int(unique[0]),
        last=int(unique[-1]),
        gaps=tuple(Span(int(unique[i]) + step, int(unique[i + 1])) for i in holes),
        off_grid=_times(times[times % step != 0]),
        disordered=_times(times[impossible]),
        idle=idle,
        jumps=jumps,
        first_close=float(c[0]),
        last_close=float(c[-1]),
    )


def _times(times: np.ndarray) -> Times:
    return Times(int(times.size), tuple(int(time) for time in times[:KEPT]))


def _idle(times: np.ndarray, flat: np.ndarray, close: np.ndarray, step: int) -> tuple[Span, ...]:
    still = flat.copy()
    still[1:] &= close[1:] == close[:-1]
    edges = np.flatnonzero(np.diff(still.astype(np.int8), prepend=0, append=0))
    spans = []
    for start, end in edges.reshape(-1, 2):
        span = Span(int(times[start]), int(times[end - 1]) + step)
        if start == 0 or end == len(times) or span.end - span.start >= IDLE_US:
            spans.append(span)
    return tuple(spans)


def _jumps(times: np.ndarray, close: np.ndarray) -> tuple[tuple[int, float], ...]:
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.diff(np.log(close))
    found = np.flatnonzero(np.abs(returns) > JUMP)[:KEPT]
    return tuple((int(times[i + 1]), float(returns[i])) for i in found)


def life(months: Sequence[MonthOf[BarMonth]], step: int) -> Span | None:
    """From the first bar to the end of the last one; None without bars."""
    if not months:
        return None
    return Span(months[0].view.first, months[-1].view.last + step)


def gaps_in(months: Sequence[MonthOf[BarMonth]], step: int) -> list[Span]:
    """Every gap inside the symbol's life, months joined."""
    found: list[Span] = []
    before: int | None = None
    for month in months:
        if before is not None and month.view.first > before:
            found.append(Span(before, month.view.first))
        found += month.view.gaps
        before = month.view.last + step
    return found


def bar_findings(
    series: str, symbol: str, months: Sequence[MonthOf[BarMonth]], step: int
) -> list[Finding]:
    """Everything wrong inside a symbol's own bars; gaps are judged with the other symbols' beside.

    `months` in order of time.
    """
    return [
        *_counted(series, symbol, months, step),
        *_jumped(series, symbol, months),
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
                f"{view.disordered.count} bars break it",
                month.evidence,
            )
        yield from file_findings(series, symbol, month)


def file_findings(series: str, symbol: str, month: MonthOf[Any]) -> Iterator[Finding]:
    """What was met while the month's archive files were read."""
    for count, check, severity, expected, found in (
        (
            month.duplicates,
            "duplicate-rows",
            Severity.WARNING,
            "one row a time",
            "rows beyond the first of their time; the last one read was kept",
        ),
        (
            month.unusable,
            "unusable-rows",
            Severity.WARNING,
            "a finite price and volume in every row",
            "rows without one, left out",
        ),
    ):
        if count:
            yield Finding(
                severity,
                check,
                series,
                symbol,
                month.span,
                expected,
                f"{count} {found}",
                month.evidence,
            )
    for key, count in month.outside:
        yield Finding(
            Severity.WARNING,
            "rows-outside-period",
            series,
            symbol,
            month.span,
            "rows of the file's own period",
            f"{count} rows outside it, left out",
            (key,),
        )


def _jumped(series: str, symbol: str, months: Sequence[MonthOf[BarMonth]]) -> Iterator[Finding]:
    for month in months:
        for time, change in month.view.jumps:
            yield _jump(series, symbol, time, change, month.evidence)
    for earlier, later in pairwise(months):
        away = later.view.first - earlier.view.last
        change = _log_ratio(earlier.view.last_close, later.view.first_close)
        if abs(change) > JUMP and away < RELISTED_US:
            yield _jump(series, symbol, later.view.first, change, later.evidence)


def _jump(series: str, symbol: str, time: int, change: float, evidence: tuple[str, ...]) -> Finding:
    minute = time // 60_000_000 * 60_000_000
    return Finding(
        Severity.WARNING,
        "price-jump",
        series,
        symbol,
        Span(minute, minute + 60_000_000),
        f"a log return of at most {JUMP} between neighbouring bars",
        f"{change:+.3f}",
        evidence,
    )


def _idled(
    series: str, symbol: str, months: Sequence[MonthOf[BarMonth]], step: int
) -> Iterator[Finding]:
    whole = life(months, step)
    if whole is None:
        return
    joined: list[tuple[Span, tuple[str, ...]]] = []
    for month in months:
        for span in month.view.idle:
            if joined and joined[-1][0].end == span.start:
                joined[-1] = (Span(joined[-1][0].start, span.end), joined[-1][1])
            else:
                joined.append((span, month.evidence))
    for span, evidence in joined:
        if span.end - span.start < IDLE_US:
            continue
        dead = span.end == whole.end
        yield Finding(
            Severity.WARNING,
            "frozen-after-delisting" if dead else "frozen-price",
            series,
            symbol,
            span,
            "trades, or no bars where trading has ended" if dead else "trades",
            f"{span.hours:.0f} h without volume at one price"
            + (" up to the last bar: the symbol is probably delisted" if dead else ""),
            evidence,
        )


def relisting_price(months: Sequence[MonthOf[BarMonth]], gap: Span) -> tuple[float, float] | None:
    """The closes before and after a gap that lies between two months or in one; None if unknown."""
    for earlier, later in pairwise(months):
        if earlier.view.last < gap.start <= gap.end <= later.view.first:
            return earlier.view.last_close, later.view.first_close
    return None


def _log_ratio(before: float, after: float) -> float:
    return math.log(after / before) if before > 0 and after > 0 else 0.0


def other_asset(prices: tuple[float, float] | None) -> bool:
    """Whether the prices around a long gap cannot be one asset's without a second look."""
    return prices is not None and abs(_log_ratio(*prices)) > OTHER_ASSET


def _covering(times: Times, step: int) -> Span:
    start = min(times.first) // step * step
    return Span(start, max(times.first) // step * step + step)


def _length(step: int) -> str:
    return f"{step // HOUR_US} h" if step >= HOUR_US else f"{step // 60_000_000} min"
