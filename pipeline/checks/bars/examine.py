"""Bars of any interval: what a month of them shows, and what is wrong with a symbol's months."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
import polars as pl

from alphaqcm.pipeline.checks.finding import TimeRange
from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US, MINUTE_US

T = TypeVar("T")

KEPT = 50
"""Times kept a month and kind of defect; counts are always complete."""
IDLE_US = DAY_US
"""Zero volume at one price for as long as this is no quiet market but a dead one."""
QUIET_US = 5 * MINUTE_US
"""Zero volume for less than this is an ordinary pause."""
STILL_US = 6 * HOUR_US
STILL_TRADED = 60
"""Trades in so many minutes of a span that long, all at one price, are no market either."""
JUMP = 0.5
"""Absolute log return between neighbouring bars that wants a look; is_spike uses the same."""
RELISTED_US = 2 * DAY_US
"""A symbol that is away for longer may come back as another asset."""


@dataclass(frozen=True, slots=True)
class Times:
    """How many rows have a defect, and when the first of them do (microseconds)."""

    count: int = 0
    first: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """Bars in a row that all stand at one price; long ones, and those at the month's ends."""

    span: TimeRange
    traded: int  # bars with volume
    price: float
    after: float | None = None  # the close of the bar that follows in the same month


@dataclass(frozen=True, slots=True)
class BarMonth:
    """What one month of bars shows; times in microseconds, prices in quote units."""

    rows: int
    first: int
    last: int
    gaps: tuple[TimeRange, ...]  # between rows, not before the first nor after the last
    closes: tuple[tuple[float, float], ...]  # the closes before and after each gap
    off_grid: Times
    disordered: Times  # OHLC out of order, or a price or volume that cannot be
    idle: tuple[Run, ...]  # zero volume at one price
    still: tuple[Run, ...]  # one price, with or without volume
    jumps: tuple[tuple[int, float], ...]  # (bar start, log return from the bar before)
    first_close: float
    last_close: float
    traded: bool  # bars of trades, not of a mark, an index or a premium
    quiet: tuple[TimeRange, ...] = ()  # zero volume for `QUIET_US` or at the month's ends
    without_volume: int = 0  # bars with zero volume


@dataclass(frozen=True, slots=True)
class MonthOf(Generic[T]):
    """A month's examination with what it was made from: the evidence of its findings."""

    span: TimeRange
    view: T
    evidence: tuple[str, ...]
    outside: tuple[tuple[str, int], ...] = ()  # (archive key, rows outside the file's period)


def in_order(frame: pl.DataFrame, time: str) -> pl.DataFrame:
    """The frame sorted by `time`, rows of one time as they stood; month files mostly are."""
    return frame if frame[time].is_sorted() else frame.sort(time, maintain_order=True)


def examine_bars(frame: pl.DataFrame, time: str, step: int) -> BarMonth | None:
    """Look at one month of bars; None when there are no rows.

    `frame` has `time` (Datetime[us, UTC], bar start) and open, high, low, close, and volume where
    the type has one; `step` is the interval in microseconds. Any order, duplicates allowed.
    """
    if frame.is_empty():
        return None
    ordered = in_order(frame, time)
    times = ordered[time].dt.epoch("us").to_numpy()
    o, h, lo, c = (ordered[name].to_numpy() for name in ("open", "high", "low", "close"))
    impossible = ~((h >= np.maximum(o, c)) & (lo <= np.minimum(o, c)))
    idle: tuple[Run, ...] = ()
    still: tuple[Run, ...] = ()
    jumps: tuple[tuple[int, float], ...] = ()
    quiet: tuple[TimeRange, ...] = ()
    without_volume = 0
    if "volume" in ordered.columns:
        volume = ordered["volume"].to_numpy()
        impossible |= ~((lo > 0) & (volume >= 0))
        flat = (h == lo) & (o == c) & (o == h)
        idle = _runs(_Bars(times, c, volume, step), flat & (volume == 0), IDLE_US)
        still = _runs(_Bars(times, c, volume, step), flat, STILL_US)
        jumps = _jumps(times, c)
        quiet = _quiet(times // step * step, volume == 0, step)
        without_volume = int(np.count_nonzero(volume == 0))
    slots = times // step * step  # a bar off the grid still fills its place
    holes = np.flatnonzero(np.diff(slots) > step)
    return BarMonth(
        rows=len(times),
        first=int(slots[0]),
        last=int(slots[-1]),
        gaps=tuple(TimeRange(int(slots[i]) + step, int(slots[i + 1])) for i in holes),
        closes=tuple((float(c[i]), float(c[i + 1])) for i in holes),
        off_grid=_times(times[times % step != 0]),
        disordered=_times(times[impossible]),
        idle=idle,
        still=still,
        jumps=jumps,
        first_close=float(c[0]),
        last_close=float(c[-1]),
        traded="volume" in ordered.columns,
        quiet=quiet,
        without_volume=without_volume,
    )


def _times(times: np.ndarray) -> Times:
    return Times(int(times.size), tuple(int(time) for time in times[:KEPT]))


@dataclass(frozen=True, slots=True)
class _Bars:
    times: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    step: int


def _runs(bars: _Bars, chosen: np.ndarray, long: int) -> tuple[Run, ...]:
    follows = np.zeros(len(chosen), dtype=bool)
    follows[1:] = chosen[1:] & chosen[:-1] & (bars.close[1:] == bars.close[:-1])
    starts = np.flatnonzero(chosen & ~follows)
    after = np.append(follows[1:], False)
    ends = np.flatnonzero(chosen & ~after) + 1
    length = bars.times[ends - 1] + bars.step - bars.times[starts]
    kept = (length >= long) | (starts == 0) | (ends == len(chosen))
    return tuple(
        Run(
            TimeRange(int(bars.times[start]), int(bars.times[end - 1]) + bars.step),
            int(np.count_nonzero(bars.volume[start:end])),
            float(bars.close[start]),
            float(bars.close[end]) if end < len(bars.close) else None,
        )
        for start, end in zip(starts[kept], ends[kept], strict=True)
    )


def _quiet(slots: np.ndarray, silent: np.ndarray, step: int) -> tuple[TimeRange, ...]:
    """Stretches of bars without volume that follow each other: long ones, and those at the ends."""
    follows = np.zeros(len(silent), dtype=bool)
    follows[1:] = silent[1:] & silent[:-1] & (np.diff(slots) <= step)
    starts = np.flatnonzero(silent & ~follows)
    ends = np.flatnonzero(silent & ~np.append(follows[1:], False))
    long = slots[ends] + step - slots[starts] >= QUIET_US
    kept = long | (starts == 0) | (ends == len(silent) - 1)
    return tuple(
        TimeRange(int(start), int(end) + step)
        for start, end in zip(slots[starts[kept]], slots[ends[kept]], strict=True)
    )


def _jumps(times: np.ndarray, close: np.ndarray) -> tuple[tuple[int, float], ...]:
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.diff(np.log(close))
    together = np.diff(times) < RELISTED_US
    found = np.flatnonzero((np.abs(returns) > JUMP) & together)[:KEPT]
    return tuple((int(times[i + 1]), float(returns[i])) for i in found)


def life(months: Sequence[MonthOf[BarMonth]], step: int) -> TimeRange | None:
    """From the first bar to the end of the last one; None without bars."""
    if not months:
        return None
    return TimeRange(months[0].view.first, months[-1].view.last + step)


def gaps_in(months: Sequence[MonthOf[BarMonth]], step: int) -> list[TimeRange]:
    """Every gap inside the symbol's life, months joined."""
    found: list[TimeRange] = []
    before: int | None = None
    for month in months:
        if before is not None and month.view.first > before:
            found.append(TimeRange(before, month.view.first))
        found += month.view.gaps
        before = month.view.last + step
    return found


def relisting_price(
    months: Sequence[MonthOf[BarMonth]], gap: TimeRange
) -> tuple[float, float] | None:
    """The closes before and after a gap; None where it is none of these months'."""
    for month in months:
        for span, closes in zip(month.view.gaps, month.view.closes, strict=True):
            if span == gap:
                return closes
    for earlier, later in pairwise(months):
        if earlier.view.last < gap.start <= gap.end <= later.view.first:
            return earlier.view.last_close, later.view.first_close
    return None
