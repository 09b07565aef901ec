"""A group of symbols on one connection: replaced before it breaks, opened again when it broke."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import aiohttp

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.sockets.connection import (
    Connection,
    Counters,
    End,
    Hear,
    Patience,
)
from alphaqcm.data_collection.live.sockets.limiter import (
    RateLimiter,
    life_of_connection,
    reconnect_wait,
)
from alphaqcm.data_collection.live.sockets.routes import LIFE, SOCKETS
from alphaqcm.pipeline.domain.registry import Market

_DOUBLED = 5


@dataclass(slots=True)
class RouteProbe:
    """Which of a market's routes is used; groups share it, so that one finds out for all."""

    market: Market
    number: int = 0
    routes: tuple[str, ...] = ()  # to try in order; none: those of candles and trades

    def __post_init__(self) -> None:
        self.routes = self.routes or SOCKETS[self.market].routes

    @property
    def route(self) -> str:
        """The route that is used now."""
        return self.routes[self.number % len(self.routes)]

    def wrong(self, route: str) -> bool:
        """This route gave nothing: try the next one; whether there is another."""
        if self.route == route:
            self.number += 1
        return len(self.routes) > 1


@dataclass(frozen=True, slots=True)
class GroupParts:
    """What every group of a receiver shares; all times are seconds of the exchange's clock."""

    session: aiohttp.ClientSession
    clock: ExchangeClock
    base: str
    probe: RouteProbe
    connects: RateLimiter
    counters: Counters
    kline_mark: bytes
    hear: Hear
    lost: Callable[[Group, End], None]  # the connection broke
    restored: Callable[[Group], None]  # a new one is live after a break
    life: float = LIFE
    patience: Patience = field(default_factory=Patience)
    trades: Callable[[Group], float] = lambda _: 0.0  # a second, of symbols with candles


class Group:
    """Keeps the streams of `wanted` flowing; runs without any, too."""

    def __init__(self, number: int, parts: GroupParts) -> None:
        self.number = number
        self.wanted: dict[str, None] = {SOCKETS[parts.probe.market].pulse: None}
        self.connection: Connection | None = None
        self._parts = parts
        self._candleless = 0  # connections in a row that gave frames and never a candle

    @property
    def live(self) -> bool:
        """Whether frames of everything wanted come."""
        return self.connection is not None and self.connection.live.is_set()

    def refresh(self) -> None:
        """`wanted` has changed."""
        if self.connection is not None:
            self.connection.refresh()

    async def restart(self, why: End) -> None:
        """End the connection; `run` opens another."""
        if self.connection is not None:
            await self.connection.close(why)

    async def run(self) -> None:
        """Connect and read until cancelled."""
        fruitless, broken = 0, False
        while True:
            connection, reading = await self._open()
            try:
                if await self._wait_live(connection, reading):
                    self.connection, fruitless = connection, 0
                    if broken:
                        self._parts.restored(self)
                    connection, reading = await self._follow(connection, reading)
                why = await reading
            finally:
                await _end(connection, reading)
            self.connection, broken = None, True
            self._ended(connection, why)
            fruitless += 1
            await self._parts.clock.sleep(reconnect_wait(fruitless - 1))

    async def _open(self) -> tuple[Connection, asyncio.Task[End]]:
        parts = self._parts
        await parts.connects.turn()
        connection = Connection(
            parts.session,
            parts.base + parts.probe.route,
            self.wanted,
            parts.hear,
            parts.clock,
            parts.counters,
            parts.kline_mark,
            # the exchange itself may stand still: each time it is given longer
            replace(
                parts.patience,
                first_candle=parts.patience.first_candle * 2 ** min(self._candleless, _DOUBLED),
            ),
            lambda: parts.trades(self),
        )
        return connection, asyncio.create_task(connection.run())

    async def _wait_live(self, connection: Connection, reading: asyncio.Task[End]) -> bool:
        waiting = asyncio.create_task(connection.live.wait())
        try:
            await asyncio.wait({waiting, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        return connection.live.is_set() and not reading.done()

    async def _follow(
        self, connection: Connection, reading: asyncio.Task[End]
    ) -> tuple[Connection, asyncio.Task[End]]:
        """Replace the connection whenever its life is over; returns when one breaks."""
        while True:
            if not await self._is_due(connection, reading):
                return connection, reading
            new, new_reading = await self._open()
            try:
                good = await self._wait_live(new, new_reading)
            except BaseException:
                await _end(new, new_reading)
                raise
            if not good:
                await _end(new, new_reading)
                if reading.done():
                    return connection, reading
                await self._parts.clock.sleep(reconnect_wait(2))
                continue
            broke = reading.done()
            self.connection = new
            await _end(connection, reading)
            connection, reading = new, new_reading
            if broke:
                self._parts.restored(self)

    async def _is_due(self, connection: Connection, reading: asyncio.Task[End]) -> bool:
        """Wait until the connection should be replaced; False when it broke before."""
        clock = self._parts.clock
        until = connection.live_since + life_of_connection(self._parts.life)
        leaving = asyncio.create_task(connection.leaving.wait())
        try:
            while not reading.done():
                left = (until - clock.elapsed()) / clock.speed
                if left <= 0 or connection.leaving.is_set():
                    return True
                await asyncio.wait(
                    {leaving, reading}, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
            return False
        finally:
            leaving.cancel()

    def _ended(self, connection: Connection, why: End) -> None:
        ends = self._parts.counters.ends
        ends[why] = ends.get(why, 0) + 1
        route = connection.url.removeprefix(self._parts.base)
        if why is End.WRONG_ROUTE:
            self._parts.probe.wrong(route)
        elif connection.klines.count:
            self._candleless = 0
        elif why is End.NO_CANDLES:
            self._candleless += 1
            if self._candleless % 2 == 0:  # a second one on the same route
                self._parts.probe.wrong(route)
        self._parts.lost(self, why)


async def _end(connection: Connection, reading: asyncio.Task[End]) -> None:
    """Close a connection and wait for its reader."""
    await connection.close()
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await reading
