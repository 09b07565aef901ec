"""`klines` and its variants: which windows a request means in each market, and their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from alphaqcm.data_collection.simulation.exchange.facts import CM_KLINE_DAYS, ApiError
from alphaqcm.data_collection.simulation.exchange.faults import FaultKind
from alphaqcm.data_collection.simulation.exchange.rest.request import Ask
from alphaqcm.data_collection.simulation.exchange.tape.intervals import (
    DAY_MS,
    SECOND_MS,
    window_number,
    window_start,
    windows,
)
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.protocol import Reference
from alphaqcm.data_collection.simulation.exchange.tape.trades import Bars
from alphaqcm.data_collection.simulation.exchange.text import array, kline_rows, writer

Rows = Callable[[int, int], list[str]]
"""The rows of the windows numbered [first, stop)."""

_WRONG_MS = 5 * SECOND_MS
_SAMPLE_MS = 15 * SECOND_MS  # between the samples of a reference price


@dataclass(frozen=True, slots=True)
class Page:
    """The windows a request may mean, and from which end the limit counts."""

    first: int
    stop: int
    oldest_first: bool
    limit: int

    def rows(self, make: Rows) -> list[str]:
        """Up to `limit` rows: absent windows do not count, so more are looked at."""
        found: list[str] = []
        first, stop = self.first, self.stop
        while len(found) < self.limit and first < stop:
            span = max(self.limit - len(found), 16)
            if self.oldest_first:
                cut = min(stop, first + span)
                found += make(first, cut)
                first = cut
            else:
                cut = max(first, stop - span)
                found = make(cut, stop) + found
                stop = cut
        return found[: self.limit] if self.oldest_first else found[-self.limit :]


def page_of(ask: Ask, listing: Listing, interval: str) -> Page:
    """Spot and um count from `startTime` on, cm back from `endTime`; without a start all do."""
    start, end = ask.moment("startTime"), ask.moment("endTime")
    if start is not None and end is not None and start > end:
        if ask.market is not Market.SPOT:
            raise ApiError(-1023, "Start time is greater than end time.")
        return Page(0, 0, True, 1)
    oldest_first = start is not None
    if ask.market is Market.CM:
        span = CM_KLINE_DAYS * DAY_MS
        if start is not None and end is not None and end - start > span:
            raise ApiError(-1127, f"More than {CM_KLINE_DAYS} days between startTime and endTime.")
        if start is not None and end is None:
            end = min(ask.now_ms, start + span)
        elif start is None and end is not None:
            start = end - span
        oldest_first = False
    first, stop = ask.venue.window_range(listing, interval)
    if start is not None:
        number = window_number(interval, start)
        first = max(first, number + (window_start(interval, number) < start))
    if end is not None:
        stop = min(stop, window_number(interval, end) + 1)
    return Page(first, stop, oldest_first, ask.limit())


def klines(ask: Ask) -> bytes:
    """Candles of a symbol."""
    return _traded(ask, ask.listing(), ask.interval())


def continuous_klines(ask: Ask) -> bytes:
    """Candles of a pair's contract of one type."""
    pair, kind = ask.text("pair"), ask.text("contractType")
    return _traded(ask, ask.traded(ask.of_pair(pair, kind)), ask.interval())


def _traded(ask: Ask, listing: Listing, interval: str) -> bytes:
    def make(first: int, stop: int) -> list[str]:
        bars = ask.venue.bars(listing, interval, first, stop)
        return kline_rows(_bent(ask, listing, bars), listing, ask.unit)

    return array(page_of(ask, listing, interval).rows(make))


def _bent(ask: Ask, listing: Listing, bars: Bars) -> Bars:
    """The bars, those closed in the last five seconds made wrong where a fault says so."""
    if not ask.state.fault_plan.has(FaultKind.WRONG_LAST):
        return bars
    fresh = (bars.end <= ask.now_ms) & (bars.end > ask.now_ms - _WRONG_MS)
    if not fresh.any() or not ask.state.fault_plan.concerning(
        FaultKind.WRONG_LAST, listing, ask.now_ms
    ):
        return bars
    volume = np.where(fresh, bars.volume // 2, bars.volume)
    return replace(bars, volume=volume, count=np.where(fresh, bars.count // 2, bars.count))


def index_klines(ask: Ask) -> bytes:
    """Candles of a pair's index price."""
    return _referred(ask, ask.traded(ask.of_pair(ask.text("pair"), "")), Reference.INDEX)


def mark_klines(ask: Ask) -> bytes:
    """Candles of a symbol's mark price."""
    return _referred(ask, ask.listing(), Reference.MARK)


def premium_klines(ask: Ask) -> bytes:
    """Candles of a symbol's premium index."""
    return _referred(ask, ask.listing(), Reference.PREMIUM)


def _referred(ask: Ask, listing: Listing, kind: Reference) -> bytes:
    interval = ask.interval()

    def make(first: int, stop: int) -> list[str]:
        return reference_rows(ask, listing, kind, interval, first, stop)

    return array(page_of(ask, listing, interval).rows(make))


def reference_rows(
    ask: Ask, listing: Listing, kind: Reference, interval: str, first: int, stop: int
) -> list[str]:
    """Rows of a reference price: sampled four times a minute, no volume, a count of seconds."""
    rows: list[str] = []
    write = writer(8)
    starts, ends = windows(interval, first, stop)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        moments = np.arange(start, min(end, ask.now_ms), _SAMPLE_MS, dtype=np.int64)
        values = ask.venue.tape.reference(listing, kind, moments) if len(moments) else moments
        known = values[values >= 0] if kind is not Reference.PREMIUM else values
        if not len(known):
            continue
        o, h, l, c = known[0], known.max(), known.min(), known[-1]  # noqa: E741
        count = (min(end, ask.now_ms) - start) // SECOND_MS
        prices = '","'.join(write(int(value)) for value in (o, h, l, c))
        rows.append(f'[{start},"{prices}","0",{end - 1},"0",{count},"0","0","0"]')
    return rows


def truth(ask: Ask, listing: Listing, interval: str) -> tuple[Bars, bytes]:
    """Every closed candle that opens in [startTime, endTime], without a limit."""
    first, stop = ask.venue.window_range(listing, interval)
    start, end = ask.moment("startTime"), ask.moment("endTime")
    if start is not None:
        number = window_number(interval, start)
        first = max(first, number + (window_start(interval, number) < start))
    if end is not None:
        stop = min(stop, window_number(interval, end) + 1)
    bars = ask.venue.bars(listing, interval, first, stop)
    bars = bars.take(bars.end <= ask.now_ms)
    return bars, array(kline_rows(bars, listing))
