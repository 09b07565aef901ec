"""The whole of it in one process: the catalogue, the endpoint, and the feeders beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.marketstore.buckets.candles import CandleSource
from alphaqcm.data_collection.marketstore.buckets.features import FeatureSource
from alphaqcm.data_collection.marketstore.buckets.minutes import MinuteSource, RecentMinutes
from alphaqcm.data_collection.marketstore.buckets.model import BucketSource
from alphaqcm.data_collection.marketstore.buckets.user_store import UserStore
from alphaqcm.data_collection.marketstore.config import MarketstoreConfig
from alphaqcm.data_collection.marketstore.endpoint.guard import Guard, is_loopback
from alphaqcm.data_collection.marketstore.endpoint.server import EndpointServer
from alphaqcm.data_collection.marketstore.endpoint.service import DataService
from alphaqcm.data_collection.marketstore.endpoint.stream import StreamHub
from alphaqcm.data_collection.marketstore.query import Bounds, Catalogue
from alphaqcm.data_collection.serving.layer_reader import LayerReader
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.storage.layout import Layout

FOLDER: Final = "marketstore"
"""The folder of a data root in which the endpoint keeps what is its own."""

_REMOTE = "the endpoint listens beyond this machine; allow_remote_writes: true turns them on"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served, and where."""

    root: Path  # the data root
    config: MarketstoreConfig
    bounds: Bounds = field(default_factory=Bounds)


def catalogue(
    root: Path,
    market: Market,
    user: UserStore,
    recent: RecentMinutes | None = None,
    bounds: Bounds | None = None,
) -> Catalogue:
    """Every bucket of a data root; symbols of other markets than `market` are prefixed.

    The user's store comes last: what is canonical cannot be hidden by it.
    """
    sources: list[BucketSource] = []
    for one in (market, *(other for other in Market if other is not market)):
        prefix = "" if one is market else f"{one.value.upper()}."
        sources.append(CandleSource(MinuteSource(root, one, recent), prefix))
        if one is Market.UM:
            sources.append(FeatureSource(LayerReader(Layout(root, one)), prefix))
    return Catalogue((*sources, user), bounds or Bounds())


class Marketstore:
    """An endpoint over a data root, from `start` to `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        config = settings.config
        self.hub = StreamHub()
        user = UserStore(settings.root / FOLDER / "user", config.user_bytes)
        remote = not is_loopback(config.listen_host)
        service = DataService(
            catalogue(settings.root, config.market, user, bounds=settings.bounds),
            user,
            timezone=config.timezone,
            read_only=_REMOTE if remote and not config.allow_remote_writes else "",
        )
        self._server = EndpointServer(
            service.dispatcher(), self.hub, Guard(config.listen_host, config.allowed_hosts)
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

    async def stop(self) -> None:
        """Close every connection."""
        await self._server.stop()


async def serve(settings: Settings, stopping: asyncio.Event, told: Callable[[str], object]) -> None:
    """Serve on the running loop until `stopping`; `told` hears the address."""
    service = Marketstore(settings)
    await service.start()
    try:
        told(service.url)
        await stopping.wait()
    finally:
        await service.stop()
