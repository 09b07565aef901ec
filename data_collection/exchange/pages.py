"""Pages of candles, planned before anything is asked: they need no order among them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alphaqcm.data_collection.exchange.endpoints import (
    KLINE_LIMITS,
    ROUTES,
    Endpoint,
)
from alphaqcm.pipeline.domain.registry import Market

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Page:
    """The candles that begin in [begin_ms, end_ms), at most `candles`."""

    begin_ms: int
    end_ms: int
    interval_ms: int

    @property
    def candles(self) -> int:
        """How many there are where none is missing."""
        return (self.end_ms - self.begin_ms) // self.interval_ms


def plan_pages(market: Market, interval_ms: int, start_ms: int, end_ms: int) -> list[Page]:
    """Pages that cover the candles beginning in [start_ms, end_ms), in order of time.

    Each is asked for with both ends and exactly as many candles as it spans, so that every market's
    rule of what comes first gives the same rows.
    """
    limits = KLINE_LIMITS[market]
    most = limits.page
    if limits.most_days is not None:
        most = max(1, min(most, limits.most_days * _DAY_MS // interval_ms))
    begin = -(-start_ms // interval_ms) * interval_ms
    stop = -(-end_ms // interval_ms) * interval_ms
    step = most * interval_ms
    return [Page(left, min(left + step, stop), interval_ms) for left in range(begin, stop, step)]


def weight_of(market: Market, page: Page) -> int:
    """What the page costs."""
    return ROUTES[market, Endpoint.KLINES].weight.of({"limit": page.candles})


def shortest_seconds(weight: int, used: int, cap: int, now: float) -> float:
    """The least time that `weight` takes where `used` of this minute's `cap` is gone.

    K windows are needed; from the third on each costs a whole minute, the first lasts until the
    next boundary.
    """
    windows = max(1, math.ceil((weight + used) / cap))
    return 0.0 if windows < 2 else (60 - now % 60) + 60.0 * (windows - 2)
