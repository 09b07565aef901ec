"""The exchange's candle intervals and the windows they cut time into."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from alphaqcm.data_collection.simulation.exchange.tape.trades import Ints

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
MONDAY_MS = 4 * DAY_MS
"""The first Monday after the epoch: weeks start on Mondays."""

WIDTHS: dict[str, int] = {
    "1s": SECOND_MS,
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": WEEK_MS,
}
MONTH = "1M"
INTERVALS = (*WIDTHS, MONTH)


def _month_ms(number: int) -> int:
    return int(datetime(1970 + number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000)


def window_number(interval: str, moment_ms: int) -> int:
    """The number of the window that holds a moment."""
    if interval == MONTH:
        day = datetime.fromtimestamp(moment_ms // 1000, UTC)
        return (day.year - 1970) * 12 + day.month - 1
    return (moment_ms - _origin(interval)) // WIDTHS[interval]


def window_start(interval: str, number: int) -> int:
    """Where the window of a number starts, ms."""
    if interval == MONTH:
        return _month_ms(number)
    return number * WIDTHS[interval] + _origin(interval)


def _origin(interval: str) -> int:
    return MONDAY_MS if interval == "1w" else 0


def windows(interval: str, first: int, stop: int) -> tuple[Ints, Ints]:
    """Starts and ends of the windows numbered [first, stop), ms."""
    if interval == MONTH:
        edges = np.array([_month_ms(n) for n in range(first, stop + 1)], dtype=np.int64)
    else:
        edges = np.arange(first, stop + 1, dtype=np.int64) * WIDTHS[interval] + _origin(interval)
    if stop <= first:
        return edges[:0], edges[:0]
    return edges[:-1], edges[1:]
