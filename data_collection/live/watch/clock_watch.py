"""Holds our clock against the exchange's each minute, and notices a machine that was asleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from alphaqcm.data_collection.errors import Banned, NoAnswer
from alphaqcm.data_collection.exchange.client import RestClient
from alphaqcm.pipeline.domain.registry import Market

EVERY = 60.0  # seconds of the exchange's clock
MOST_OFFSET = 0.5  # seconds
_LOOK = 1.0  # seconds of real time
_ASLEEP = 5.0  # seconds


def _sleep_seconds() -> float:
    """Seconds for which the machine was suspended since it started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


@dataclass(slots=True)
class ClockWatch:
    """`offset`: seconds by which the exchange was ahead of our clock when it was last asked."""

    client: RestClient
    market: Market
    alert: Callable[[str, str], None]
    woke: Callable[[], None]
    offset: float = 0.0

    async def run(self) -> None:
        """Ask each minute until cancelled."""
        clock = self.client.clock
        slept = _sleep_seconds()
        due = clock.elapsed() + EVERY
        while True:
            await asyncio.sleep(min(_LOOK, max(0.01, (due - clock.elapsed()) / clock.speed)))
            now_slept = _sleep_seconds()
            if now_slept - slept > _ASLEEP:
                self.alert("asleep", f"the machine was asleep for {now_slept - slept:.0f} s")
                slept = now_slept
                self.woke()
            elif clock.elapsed() < due:
                continue
            due = clock.elapsed() + EVERY
            await self._ask()

    async def _ask(self) -> None:
        clock = self.client.clock
        sent, before = time.monotonic(), clock.now()
        try:
            told, _ = await self.client.server_time(self.market)
        except (NoAnswer, Banned) as error:
            self.alert("clock", f"the exchange does not tell its time: {error}")
            return
        way = (time.monotonic() - sent) * clock.speed
        self.offset = told / 1000 - (before + way / 2)
        if abs(self.offset) - way / 2 > MOST_OFFSET:
            self.alert(
                "clock", f"our clock was off by {-self.offset * 1000:+.0f} ms; it is set now"
            )
