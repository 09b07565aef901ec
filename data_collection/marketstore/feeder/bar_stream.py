"""Candles to `/ws` as they close: minutes at once, longer ones as a query would give them."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, Final

from alphaqcm.data_collection.marketstore.bucket_key import TIMEFRAMES, BucketKey
from alphaqcm.data_collection.marketstore.buckets.candles import (
    COLUMNS,
    CandleSource,
)
from alphaqcm.data_collection.marketstore.buckets.model import Wanted
from alphaqcm.data_collection.marketstore.dataset import EPOCH
from alphaqcm.data_collection.marketstore.endpoint.stream import StreamHub
from alphaqcm.data_collection.marketstore.feeder.recent import Minute
from alphaqcm.data_collection.marketstore.feeder.server_sink import ServerSink
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.pipeline.candles.window_grid import MINUTE_US, WindowGrid
from alphaqcm.pipeline.errors import PipelineError

_LONGER: Final = {
    name: WindowGrid.of("1m", interval) for name, interval in TIMEFRAMES.items() if name != "1Min"
}
_NAMES: Final = {group: [column.name for column in COLUMNS[group]] for group in COLUMNS}


@lru_cache(16)
def _ended(end_us: int) -> list[tuple[str, int]]:
    """The longer timeframes of which a window ends at an instant, and its start."""
    return [
        (name, end_us - grid.window_us)
        for name, grid in _LONGER.items()
        if grid.floor_us(end_us) == end_us
    ]


class BarStream:
    """Publishes one market's candles; `closed` is called on the hub's event loop."""

    def __init__(
        self, hub: StreamHub, source: CandleSource, log: Log, sink: ServerSink | None = None
    ) -> None:
        self._hub = hub
        self._source = source
        self._log = log
        self._sink = sink
        self._due: asyncio.Queue[tuple[BucketKey, int]] = asyncio.Queue()

    def closed(self, minute: Minute) -> None:
        """A minute has closed: publish it, and have those published that end with it."""
        if self._sink is not None:
            self._sink.closed(minute)
        symbol = self._source.prefix + minute.symbol
        ended = _ended(minute.begin_us + MINUTE_US)
        for group, names in _NAMES.items():
            key = f"{symbol}/1Min/{group}"
            if self._hub.wants(key):
                row = (minute.begin_us // 1_000_000, *minute.values, 1)
                # the columns of OHLCV are the first ones of OHLCV_EXT
                self._hub.publish(key, dict(zip(names, row, strict=False)))
            for timeframe, start in ended:
                if self._hub.wants_some(timeframe, group) and self._hub.wants(
                    f"{symbol}/{timeframe}/{group}"
                ):
                    self._due.put_nowait((BucketKey(symbol, timeframe, group), start))

    async def run(self) -> None:
        """Publish longer candles, until cancelled; each is read as a query reads it."""
        while True:
            key, start = await self._due.get()
            try:
                row = await asyncio.to_thread(self._read, key, start)
            except PipelineError as error:
                self._log.event("problem", part="bars", error=error)
                continue
            if row:
                self._hub.publish(str(key), row)

    def _read(self, key: BucketKey, start_us: int) -> dict[str, Any]:
        bucket = self._source.find(key)
        if bucket is None:
            return {}
        names = [column.name for column in bucket.columns]
        rows = bucket.read(Wanted(start_us * 1000, start_us * 1000), names)
        return {name: values[0].item() for name, values in rows.items()} if rows[EPOCH].size else {}
