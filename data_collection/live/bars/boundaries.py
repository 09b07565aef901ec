"""What is done at every close: the exchange's list of symbols, and who is late."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from alphaqcm.data_collection.errors import Banned, NoAnswer
from alphaqcm.data_collection.exchange.endpoints import Endpoint
from alphaqcm.data_collection.exchange.governor import Priority
from alphaqcm.data_collection.live.bars.universe import TRADING, Change
from alphaqcm.data_collection.live.events import Control, ControlKind
from alphaqcm.data_collection.live.files.info_files import PREMIUM
from alphaqcm.pipeline.domain.registry import Market

if TYPE_CHECKING:
    from alphaqcm.data_collection.live.service import LiveClient

_NAMED = 10
_SLACK = 5.0  # seconds before a close at which its frames may come, where clocks differ
_TASKS_KEPT = 64


class Boundaries:
    """Follows the closes of the interval."""

    def __init__(self, client: LiveClient) -> None:
        self._client = client
        self._look = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed_us = 0  # the last boundary
        self.late: tuple[str, ...] = ()  # symbols without a candle at the last check

    def look_now(self) -> None:
        """The exchange's list of symbols may have changed."""
        self._look.set()

    async def run(self) -> None:
        """Work at each boundary until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._closes())
                group.create_task(self._looks())
        finally:
            for task in self._tasks:
                task.cancel()

    async def _closes(self) -> None:
        clock, step = self._client.clock, self._client.keeper.interval_ms
        await self._write_infos(clock.now_ms() // step * step)
        while True:
            end_ms = (clock.now_ms() // step + 1) * step
            await clock.sleep_until(end_ms / 1000)
            end_ms = clock.now_ms() // step * step  # a clock that jumped passes closes over
            self.closed_us = end_ms * 1000
            for one in list(self._tasks):
                if one.done():
                    one.result()
                    self._tasks.discard(one)
            self._spawn(self._list_and_write(end_ms))
            self._spawn(self._check(end_ms))

    async def _looks(self) -> None:
        while True:
            await self._look.wait()
            self._look.clear()
            await self._list()
            await self._client.clock.sleep(1.0)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) < _TASKS_KEPT:
            self._tasks.add(asyncio.create_task(work))
        else:
            work.close()

    async def _list_and_write(self, end_ms: int) -> None:
        if await self._list():
            await self._write_infos(end_ms)

    async def _list(self) -> bool:
        """Ask what is traded; whether it was answered."""
        client = self._client
        try:
            info = await client.client.exchange_info(client.market)
        except (NoAnswer, Banned) as error:
            client.alerts.tell("rest", f"exchangeInfo: {error}")
            return False
        self._apply(client.universe.update(info.symbols, client.clock.now_ms()))
        return True

    def _apply(self, change: Change) -> None:
        client, keeper = self._client, self._client.keeper
        for info in change.listed:
            client.list_symbol(info)
            client.log.event("listed", symbol=info.symbol)
            client.bus.publish(Control(ControlKind.LISTED, client.market, info.symbol))
        for symbol, status in change.statuses:
            if status == TRADING:
                keeper.trading.add(symbol)
            else:
                keeper.trading.discard(symbol)
                keeper.halted_since.setdefault(symbol, client.clock.now_ms())
            client.log.event("status", symbol=symbol, status=status)
            detail = {"status": status}
            client.bus.publish(Control(ControlKind.STATUS, client.market, symbol, detail=detail))
        for symbol in change.delisted:
            keeper.trading.discard(symbol)
            self._tasks.add(asyncio.create_task(self._delist(symbol)))

    async def _delist(self, symbol: str) -> None:
        """Give the last candle time to come, then move the files aside."""
        client = self._client
        await client.clock.sleep(client.config.candle_close_timeout_sec)
        book = client.keeper.books.get(symbol)
        if book is not None:
            await client.repairer.mend(symbol, rounds=1)
            client.publisher.mark(symbol)
            await client.publisher.drain()
            client.end_symbol(symbol)
        client.alerts.tell("delisted", f"{symbol} is traded no more", symbol)
        client.bus.publish(Control(ControlKind.DELISTED, client.market, symbol))

    async def _write_infos(self, end_ms: int) -> None:
        client = self._client
        infos = sorted(client.universe.infos.values(), key=lambda one: one.symbol)
        try:
            await asyncio.to_thread(client.infos.write_rules, infos, client.market, end_ms * 1000)
            if client.config.funding_rate and client.market is not Market.SPOT:
                rows = await client.client.ask(
                    client.market, Endpoint.PREMIUM_INDEX, PREMIUM, priority=Priority.LIVE
                )
                names = [one.symbol for one in infos]
                await asyncio.to_thread(client.infos.write_funding, rows, names, end_ms * 1000)
        except (NoAnswer, Banned, OSError) as error:
            client.alerts.tell("files", f"exginfo or funding is not written: {error}")

    async def _check(self, end_ms: int) -> None:
        """Who has no candle so long after the close is asked for over REST."""
        client = self._client
        since_close = client.clock.now() - end_ms / 1000
        closed_at = client.clock.elapsed() - since_close - _SLACK
        await client.clock.sleep_until(end_ms / 1000 + client.config.candle_close_timeout_sec)
        late = sorted(client.keeper.late(end_ms))
        self.late = tuple(late)
        new = client.repairer.check(late)
        client.metrics.late += len(new)
        if new:
            named = ", ".join(new[:_NAMED]) + (" …" if len(new) > _NAMED else "")
            client.alerts.tell("late", f"no candle in time of {len(new)} symbols: {named}")
        if late:
            client.bus.publish(
                Control(
                    ControlKind.EXPIRED, client.market, "", end_ms * 1000, {"late": tuple(late)}
                )
            )
        await client.receiver.check_deaf(closed_at, frozenset(client.keeper.trading))
