"""Candles to a real server: history once the backfill is done, then each candle as it closes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.marketstore.bucket_key import TIMEFRAMES, BucketKey
from alphaqcm.data_collection.marketstore.buckets.candles import OHLCV, CandleSource
from alphaqcm.data_collection.marketstore.buckets.model import SECOND, Wanted
from alphaqcm.data_collection.marketstore.config import FeederConfig
from alphaqcm.data_collection.marketstore.feeder.recent import Minute
from alphaqcm.data_collection.marketstore.writer import ServerWriter
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.pipeline.candles.window_grid import MINUTE_US, WindowGrid
from alphaqcm.pipeline.errors import PipelineError

_AGAIN: Final = 10.0  # seconds of the exchange's clock before what failed is written again


_MENDED: Final = 1800  # seconds in which REST may still mend what came over a stream


class ServerSink:
    """Writes one feeder's OHLCV candles in its timeframes; `closed` is called on the event loop.

    What is to be written is what the server lacks: everything from shortly before its newest candle
    on, so that nothing is lost while it is away, and what REST has mended since is mended there.
    While a backfill is on its way nothing is written: the newest candle would hide the older ones.
    """

    def __init__(
        self, config: FeederConfig, source: CandleSource, clock: ExchangeClock, log: Log
    ) -> None:
        self._config, self._source = config, source
        self._clock, self._log = clock, log
        self._writer = ServerWriter(config.server)
        self._grids = {name: WindowGrid.of("1m", TIMEFRAMES[name]) for name in config.timeframes}
        self._due: asyncio.Queue[BucketKey] = asyncio.Queue()
        self._waiting: set[BucketKey] = set()
        self._ready = not config.backfill.enabled

    def everything(self) -> None:
        """Bring the server up to date in every bucket: the backfill is done."""
        self._ready = True
        for symbol in self._config.symbols:
            self._ask_for(symbol, self._config.timeframes)

    def closed(self, minute: Minute) -> None:
        """A minute has closed: write the candles that end with it."""
        if not self._ready:
            return
        end = minute.begin_us + MINUTE_US
        self._ask_for(
            minute.symbol,
            [name for name, grid in self._grids.items() if grid.floor_us(end) == end],
        )

    async def run(self) -> None:
        """Write what is due, until cancelled."""
        while True:
            key = await self._due.get()
            self._waiting.discard(key)
            try:
                rows = await asyncio.to_thread(self._bring, key)
            except PipelineError as error:
                self._log.event("problem", part="server", error=error)
                await self._clock.sleep(_AGAIN)
                self._ask_for(key.symbol.removeprefix(self._source.prefix), [key.timeframe])
                continue
            if rows > 1:
                self._log.event("written", bucket=key, rows=rows)

    def _ask_for(self, symbol: str, timeframes: Sequence[str]) -> None:
        for timeframe in timeframes:
            key = BucketKey(self._source.prefix + symbol, timeframe, OHLCV)
            if key not in self._waiting:
                self._waiting.add(key)
                self._due.put_nowait(key)

    def _bring(self, key: BucketKey) -> int:
        bucket = self._source.find(key)
        if bucket is None:
            return 0
        last = self._writer.last_epoch(key)
        window = self._grids[key.timeframe].window_us // 1_000_000
        again = max(window, _MENDED)
        start = self._config.backfill.start_ms // 1000 if last is None else last - again
        rows = bucket.read(Wanted(start * SECOND), [column.name for column in bucket.columns])
        return self._writer.write(key, bucket.columns, rows)
