"""A server on a real socket that answers klines as a script says, and a client of it.

The clock runs 600 times faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from alphaqcm.data_collection.exchange.client import RestClient, create_aiohttp_session
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.exchange.endpoints import Bases

NOON = 1_772_020_800.0  # a whole minute
USED = "X-MBX-USED-WEIGHT-1M"


@dataclass(slots=True)
class Script:
    """Answers to klines, one after the other, the last one for ever; and when each was asked."""

    answers: list[web.Response]
    asked: list[float] = field(default_factory=list)
    times: int = 0  # requests for the time
    server_ms: int | None = None  # what the time is told to be; None: as it is
    slept: list[float] = field(default_factory=list)  # pauses of the client


def answer(status: int = 200, body: bytes = b"[]", **headers: str) -> web.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(status=status, body=body, headers=named)


class WatchedClock(ExchangeClock):
    """A clock that notes for how long its users asked to sleep."""

    def __init__(self, now: float, speed: float, slept: list[float]) -> None:
        super().__init__(now, speed)
        self.slept = slept

    async def sleep(self, seconds: float) -> None:
        """Sleep, and note it."""
        self.slept.append(seconds)
        await super().sleep(seconds)


def play(script: Script, body: Callable[[RestClient], Awaitable[None]]) -> None:
    """Run `body` with a client of a server that answers so."""

    async def main() -> None:
        clock = WatchedClock(NOON + 5, 600.0, script.slept)
        clock.uncertainty = 0.0

        async def serve(request: web.BaseRequest) -> web.Response:
            if request.path.endswith("/time"):
                script.times += 1
                now_ms = clock.now_ms() if script.server_ms is None else script.server_ms
                return web.json_response({"serverTime": now_ms}, headers={USED: "1"})
            found = script.answers[min(len(script.asked), len(script.answers) - 1)]
            script.asked.append(clock.now())
            return web.Response(status=found.status, body=found.body, headers=found.headers)

        runner = web.ServerRunner(web.Server(serve))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        bases = Bases.at(f"http://127.0.0.1:{runner.addresses[0][1]}")
        try:
            async with asyncio.timeout(60), create_aiohttp_session(timeout_sec=20) as session:
                await body(RestClient(session, bases, clock, notify=lambda _: None))
        finally:
            await runner.cleanup()

    asyncio.run(main())
