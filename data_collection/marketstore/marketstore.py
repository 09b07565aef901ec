"""The whole of it in one process: the catalogue, the endpoint, and the feeders beside it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.data_collection.build.candles.fetch import first_error
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.client import RestClient, create_aiohttp_session
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.exchange.endpoints import EXCHANGE_VARIABLE
from alphaqcm.data_collection.live.sockets.routes import TESTNET, Addresses
from alphaqcm.data_collection.marketstore.buckets.candles import CandleSource
from alphaqcm.data_collection.marketstore.buckets.features import FeatureSource
from alphaqcm.data_collection.marketstore.buckets.minutes import MinuteSource
from alphaqcm.data_collection.marketstore.buckets.model import BucketSource
from alphaqcm.data_collection.marketstore.buckets.ticks import TickSource, TickStore
from alphaqcm.data_collection.marketstore.buckets.user_store import UserStore
from alphaqcm.data_collection.marketstore.config import FeederConfig, MarketstoreConfig, Sink
from alphaqcm.data_collection.marketstore.endpoint.guard import Guard, is_loopback
from alphaqcm.data_collection.marketstore.endpoint.server import EndpointServer
from alphaqcm.data_collection.marketstore.endpoint.service import DataService
from alphaqcm.data_collection.marketstore.endpoint.stream import StreamHub
from alphaqcm.data_collection.marketstore.feeder.backfill import Places
from alphaqcm.data_collection.marketstore.feeder.bar_stream import BarStream
from alphaqcm.data_collection.marketstore.feeder.feeder import Feeder
from alphaqcm.data_collection.marketstore.feeder.real_time import Outlets
from alphaqcm.data_collection.marketstore.feeder.recent import Recent
from alphaqcm.data_collection.marketstore.feeder.server_sink import ServerSink
from alphaqcm.data_collection.marketstore.query import Bounds, Catalogue
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.data_collection.serving.layer_reader import LayerReader
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.storage.layout import Layout

FOLDER: Final = "marketstore"
"""The folder of a data root in which the endpoint keeps what is its own."""

_TIMEOUT: Final = 10.0  # seconds a request to the exchange may take
_REMOTE: Final = "the endpoint listens beyond this machine; allow_remote_writes: true turns them on"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served, and where."""

    root: Path  # the data root
    config: MarketstoreConfig
    bounds: Bounds = field(default_factory=Bounds)
    source: str = OFFICIAL_SOURCE  # the archive that feeders take history from
    exchange: str | None = None  # one host for everything, such as a stand-in's
    clock: ExchangeClock | None = None  # another than the process's own


@dataclass(frozen=True, slots=True)
class Stores:
    """What the endpoint holds beside the files of the data root."""

    user: UserStore
    ticks: TickStore
    recent: Recent = field(default_factory=Recent)

    @classmethod
    def below(cls, root: Path, user_bytes: int) -> Stores:
        """Those of a data root."""
        folder = root / FOLDER
        return cls(UserStore(folder / "user", user_bytes), TickStore(folder))


def prefix_of(market: Market, default: Market) -> str:
    """What stands before the symbols of a market."""
    return "" if market is default else f"{market.value.upper()}."


def catalogue(root: Path, market: Market, stores: Stores, bounds: Bounds) -> Catalogue:
    """Every bucket of a data root; symbols of other markets than `market` are prefixed.

    The user's store comes last: what is canonical cannot be hidden by it.
    """
    sources: list[BucketSource] = []
    for one in (market, *(other for other in Market if other is not market)):
        prefix = prefix_of(one, market)
        sources.append(CandleSource(MinuteSource(root, one, stores.recent), prefix))
        sources.append(TickSource(stores.ticks, one, prefix))
        if one is Market.UM:
            sources.append(FeatureSource(LayerReader(Layout(root, one)), prefix))
    return Catalogue((*sources, stores.user), bounds)


class Marketstore:
    """An endpoint over a data root, from `start` to `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        config = settings.config
        self.hub = StreamHub()
        self._stores = Stores.below(settings.root, config.user_bytes)
        remote = not is_loopback(config.listen_host)
        service = DataService(
            catalogue(settings.root, config.market, self._stores, settings.bounds),
            self._stores.user,
            timezone=config.timezone,
            read_only=_REMOTE if remote and not config.allow_remote_writes else "",
        )
        self.dispatcher = service.dispatcher()
        self._feeding: asyncio.Task[None] | None = None
        self._server = EndpointServer(
            self.dispatcher, self.hub, Guard(config.listen_host, config.allowed_hosts)
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    async def start(self) -> None:
        """Listen; raises `UsageError` where the address is taken or none of this machine's."""
        config = self._settings.config
        try:
            await self._server.start(config.listen_host, config.listen_port)
        except OSError as error:
            raise UsageError(
                f"listen_host {config.listen_host} listen_port {config.listen_port}",
                expected="an address that can be listened on",
                found=f"{error.strerror or error}",
                next_step="name another listen_port, or 0 for a free one",
            ) from error

    async def wait(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping`; what ends a feeder against its will is raised."""
        waiting = asyncio.create_task(stopping.wait())
        self._feeding = asyncio.create_task(self._feed())
        await asyncio.wait({waiting, self._feeding}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if self._feeding.done():
                self._feeding.result()
            await waiting
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors
        finally:
            waiting.cancel()

    async def stop(self) -> None:
        """End the feeders, close every connection."""
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)
        await self._server.stop()

    async def _feed(self) -> None:
        """Run every feeder that is turned on."""
        wanted = [
            one
            for one in self._settings.config.feeders
            if one.backfill.enabled or one.realtime.enabled
        ]
        if not wanted:
            return
        async with (
            create_aiohttp_session(_TIMEOUT) as session,
            asyncio.TaskGroup() as group,
        ):
            for one in wanted:
                group.create_task(self._feeder(one, session).run())

    def _feeder(self, config: FeederConfig, session: aiohttp.ClientSession) -> Feeder:
        settings, stores = self._settings, self._stores
        addresses = addresses_of(config, settings.exchange)
        client = RestClient(session, addresses.rest, settings.clock)
        log = Log(f"feeder-{config.market}")
        prefix = prefix_of(config.market, settings.config.market)
        candles = CandleSource(MinuteSource(settings.root, config.market, stores.recent), prefix)
        server = config.sink is Sink.MARKETSTORE
        sink = ServerSink(config, candles, client.clock, log) if server else None
        bars = BarStream(self.hub, candles, log, sink)
        outlets = Outlets(stores.recent, stores.ticks, self.hub, bars, prefix)
        places = Places(settings.root, settings.source)
        return Feeder(config, places, client, addresses, outlets, log, sink)


def addresses_of(config: FeederConfig, exchange: str | None) -> Addresses:
    """Where a feeder finds the exchange: `exchange`, else ALPHAQCM_EXCHANGE, else its own hosts."""
    host = exchange or os.environ.get(EXCHANGE_VARIABLE)
    if host:
        return Addresses.at(host)
    return TESTNET if config.testnet else Addresses()


async def serve(settings: Settings, stopping: asyncio.Event, told: Callable[[str], object]) -> None:
    """Serve on the running loop until `stopping`; `told` hears the address."""
    service = Marketstore(settings)
    await service.start()
    try:
        told(service.url)
        await service.wait(stopping)
    finally:
        await service.stop()
