"""A feeder at work: history and real time beside each other, each begun anew when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.client import RestClient
from alphaqcm.data_collection.exchange.endpoints import TRADE_TYPE_OF_MARKET
from alphaqcm.data_collection.exchange.fetcher import BinanceFetcher
from alphaqcm.data_collection.live.sockets.routes import Addresses
from alphaqcm.data_collection.marketstore.config import FeederConfig
from alphaqcm.data_collection.marketstore.feeder.backfill import Backfill, Places
from alphaqcm.data_collection.marketstore.feeder.real_time import Outlets, RealTime
from alphaqcm.data_collection.marketstore.feeder.server_sink import ServerSink
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.pipeline.errors import PipelineError

_AGAIN: Final = 30.0  # seconds before a part that failed is begun anew; doubles
_AT_MOST: Final = 600.0


class Feeder:
    """Runs until it is cancelled."""

    def __init__(
        self,
        config: FeederConfig,
        places: Places,
        client: RestClient,
        addresses: Addresses,
        outlets: Outlets,
        log: Log,
        sink: ServerSink | None = None,
    ) -> None:
        self._config = config
        self._log = log
        self._client = client
        self._sink = sink
        fetcher = BinanceFetcher(TRADE_TYPE_OF_MARKET[config.market], client=client)
        self._backfill = Backfill(config, places, fetcher, log.say)
        self._real_time = RealTime(config, addresses, client.clock, self._backfill, outlets, log)

    async def run(self) -> None:
        """Backfill and real time, as they are turned on."""
        async with asyncio.TaskGroup() as group:
            if self._sink is not None:
                group.create_task(self._sink.run())
            if self._config.backfill.enabled:
                group.create_task(self._until_done("backfill", self._bring_history))
            if self._config.realtime.enabled:
                group.create_task(self._until_done("real time", self._listen))

    async def _bring_history(self) -> None:
        await self._backfill.run()
        if self._sink is not None:
            self._sink.everything()

    async def _listen(self) -> None:
        await self._client.server_time(self._config.market)  # the clock is the exchange's
        await self._real_time.run()

    async def _until_done(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        wait = _AGAIN
        while True:
            try:
                await work()
            except UsageError:
                raise  # the words do not fit: it would not go better the next time
            except PipelineError as error:
                self._log.event("problem", part=name, error=error, again_in=f"{wait:.0f}s")
                await self._client.clock.sleep(wait)
                wait = min(2 * wait, _AT_MOST)
            else:
                self._log.event("done", part=name)
                return
