"""Keeps the parts of a process running: one that fails is started again, the others go on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from alphaqcm.data_collection.errors import RegionRefused, RequestRefused, UsageError
from alphaqcm.data_collection.exchange.clock import ExchangeClock

Part = Callable[[], Awaitable[None]]
_FIRST, _MOST = 0.5, 30.0  # seconds
_HEALTHY = 60.0  # seconds after which a part that fails has not failed in a row
_FATAL = (RegionRefused, RequestRefused, UsageError)


class Supervisor:
    """Runs parts side by side until one ends the whole, or `run` is cancelled."""

    def __init__(self, clock: ExchangeClock, alert: Callable[[str, str], None]) -> None:
        self.restarts: Counter[str] = Counter()
        self._clock, self._alert = clock, alert
        self._parts: dict[str, Part] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, name: str, part: Part) -> None:
        """Keep a part running; one that returns by itself is done."""
        self._parts[name] = part

    async def run(self) -> None:
        """Run all parts; raises what ends the whole (a region that is refused, wrong settings)."""
        try:
            self._tasks = {
                name: asyncio.create_task(self._keep(name, part), name=name)
                for name, part in self._parts.items()
            }
            for task in asyncio.as_completed(self._tasks.values()):
                await task
        finally:
            for one in self._tasks.values():
                one.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _keep(self, name: str, part: Part) -> None:
        in_a_row = 0
        while True:
            began = self._clock.elapsed()
            try:
                await part()
            except Exception as failure:
                error = _first_of(failure)
                if isinstance(error, _FATAL):
                    raise error from failure
                if self._clock.elapsed() - began > _HEALTHY:
                    in_a_row = 0
                self.restarts[name] += 1
                what = f"{type(error).__name__}: {error}".splitlines()[0]
                self._alert("restart", f"{name} failed and is started again: {what}")
                await self._clock.sleep(min(_MOST, _FIRST * 2**in_a_row))
                in_a_row += 1
            else:
                return


def _first_of(error: Exception) -> Exception:
    """The error that ends the whole where one of a group does, else the first of the group."""
    if not isinstance(error, ExceptionGroup):
        return error
    leaves = [_first_of(one) for one in error.exceptions]
    return next((one for one in leaves if isinstance(one, _FATAL)), leaves[0])
