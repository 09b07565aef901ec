"""Limits of the exchange's streams: connections an address opens, messages a connection gets."""

from __future__ import annotations

import asyncio
import random
from collections import deque

from alphaqcm.data_collection.exchange.clock import ExchangeClock

_FIRST, _MOST = 0.5, 30.0  # seconds


class RateLimiter:
    """At most `count` turns in any `seconds` of the exchange's clock."""

    def __init__(self, clock: ExchangeClock, count: int, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=count)
        self._line = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for the next turn; turns are given in the order in which they were asked for."""
        async with self._line:
            if len(self._times) == self._times.maxlen:
                while (wait := self._times[0] + self._seconds - self._clock.elapsed()) > 0:
                    await self._clock.sleep(wait)
            self._times.append(self._clock.elapsed())


def reconnect_wait(attempt: int) -> float:
    """Seconds before the next try after so many fruitless ones: full jitter."""
    return random.uniform(0.0, min(_MOST, _FIRST * 2**attempt))  # noqa: S311


def life_of_connection(seconds: float) -> float:
    """`seconds` less up to an hour, so that connections are not all replaced at once."""
    return seconds - random.uniform(0.0, min(3600.0, seconds / 10))  # noqa: S311
