"""A MarketStore endpoint in a thread of the test's process, and small data roots for it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pymarketstore as pymkts

from alphaqcm.data_collection.marketstore.config import MarketstoreConfig
from alphaqcm.data_collection.marketstore.marketstore import Marketstore, Settings
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.data_collection.simulation.sample.defect_parser import parse_trap
from tests.helpers.built_root import settings_of, walk

HOLES = (
    ("BTCUSDT", "2024-01-03T03:10", "2024-01-03T03:30"),
    ("BTCUSDT", "2024-01-09T00:00", "2024-01-11T07:13"),
    ("BTCUSDT", "2024-01-20T22:59", "2024-01-20T23:01"),
)
MONTH = SampleSpec(
    symbols=("BTCUSDT", "ETHUSDT"),
    start=date(2024, 1, 1),
    days=31,
    minutes_only=True,
    compression=1,
    traps=tuple(
        parse_trap(f"missing-rows symbol={symbol} type=klines interval=1m start={a} end={b}")
        for symbol, a, b in HOLES
    ),
)


@functools.cache
def _month() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="alphaqcm-test-")
    write_sample(Path(folder.name) / "source", MONTH)
    settings = settings_of(MONTH, Path(folder.name) / "source", Path(folder.name) / "root")
    walk(replace(settings, types=("klines:1m",)), months_only=True)
    return folder


def month_with_holes(folder: Path) -> Path:
    """A data root with the minutes of MONTH, holes in BTCUSDT; a copy below `folder`."""
    shutil.copytree(Path(_month().name) / "root", folder / "root")
    return folder / "root"


class Served:
    """An endpoint that serves in a thread; `call` runs something on its loop."""

    def __init__(self, service: Marketstore, loop: asyncio.AbstractEventLoop) -> None:
        self.service = service
        self._loop = loop

    @property
    def url(self) -> str:
        return self.service.url

    @property
    def rpc(self) -> str:
        return f"{self.url}/rpc"

    def client(self) -> pymkts.Client:
        return pymkts.Client(self.rpc)

    def call(self, do: Callable[..., object], *words: object) -> None:
        self._loop.call_soon_threadsafe(do, *words)


@contextlib.contextmanager
def served(root: Path, config: MarketstoreConfig | None = None, **words: Any) -> Iterator[Served]:
    """Serve a data root on a free port of loopback; `words` are of `Settings`."""
    loop = asyncio.new_event_loop()
    config = replace(config or MarketstoreConfig(), listen_port=0)
    settings = Settings(root, config, **words)
    stopping = asyncio.Event()

    async def make() -> Marketstore:
        service = Marketstore(settings)
        await service.start()
        return service

    async def end(service: Marketstore) -> None:
        stopping.set()
        await feeding
        await service.stop()

    thread = threading.Thread(target=loop.run_forever, name="endpoint", daemon=True)
    thread.start()
    try:
        service = asyncio.run_coroutine_threadsafe(make(), loop).result(60)
        feeding = asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(service.wait(stopping), loop), loop=loop
        )
        try:
            yield Served(service, loop)
        finally:
            asyncio.run_coroutine_threadsafe(end(service), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
