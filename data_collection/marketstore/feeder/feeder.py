"""A feeder at work: history and real time beside each other, each begun anew when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from alphaqcm.data_collection.exchange.client import RestClient
from alphaqcm.data_collection.exchange.endpoints import TRADE_TYPE_OF_MARKET
from alphaqcm.data_collection.exchange.fetcher import BinanceFetcher
from alphaqcm.data_collection.marketstore.config import FeederConfig
from alphaqcm.data_collection.marketstore.feeder.backfill import Backfill, Places
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.pipeline.errors import PipelineError

_AGAIN: Final = 30.0  # seconds before a part that failed is begun anew; doubles
_AT_MOST: Final = 600.0


class Feeder:
    """Runs until it is cancelled."""

    def __init__(self, config: FeederConfig, places: Places, client: RestClient) -> None:
        self._config = config
        self._log = Log(f"feeder-{config.market}")
        self._clock = client.clock
        self._fetcher = BinanceFetcher(TRADE_TYPE_OF_MARKET[config.market], client=client)
        self._backfill = Backfill(config, places, self._fetcher, self._log.say)

    async def run(self) -> None:
        """Backfill and real time, as they are turned on."""
        async with asyncio.TaskGroup() as group:
            if self._config.backfill.enabled:
                group.create_task(self._until_done("backfill", self._backfill.run))

    async def _until_done(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        wait = _AGAIN
        while True:
            try:
                await work()
            except PipelineError as error:
                self._log.event("problem", part=name, error=error, again_in=f"{wait:.0f}s")
                await self._clock.sleep(wait)
                wait = min(2 * wait, _AT_MOST)
            else:
                self._log.event("done", part=name)
                return
