"""The simulated exchange as a server: one address for REST, WebSockets and the test's own paths."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Self

from aiohttp import web

from alphaqcm.data_collection.simulation.exchange.admin import AdminDesk
from alphaqcm.data_collection.simulation.exchange.rest.dispatch import RestDesk
from alphaqcm.data_collection.simulation.exchange.sockets.accept import BASES, SocketDoor
from alphaqcm.data_collection.simulation.exchange.sockets.playback import Pump
from alphaqcm.data_collection.simulation.exchange.sockets.topics import Hub
from alphaqcm.data_collection.simulation.exchange.state import ExchangeSpec, ExchangeState

_PATIENCE_S = 0.5  # with requests that are still being answered when it stops


class ExchangeServer:
    """Serves one exchange on the running event loop, from `start` to `stop`."""

    def __init__(self, state: ExchangeState, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._admin, self._rest = AdminDesk(state), RestDesk(state)
        hub = Hub(state)
        self._door, self.pump = SocketDoor(state, hub), Pump(state, hub)
        self._hub = hub
        self._pumping: asyncio.Task[None] | None = None
        self._runner = web.ServerRunner(
            web.Server(self._answer, access_log=None), shutdown_timeout=_PATIENCE_S
        )
        self.url = ""

    async def start(self) -> None:
        """Listen; raises OSError where the address is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, backlog=1024)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._pumping = asyncio.create_task(self.pump.run())

    async def serve_until(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping`; what makes the streams fail is raised."""
        if self._pumping is None:
            return
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({waiting, self._pumping}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._pumping.done():
            self._pumping.result()

    async def stop(self) -> None:
        """Close every connection."""
        if self._pumping is not None:
            self._pumping.cancel()
        for wire in list(self._hub.wires):
            wire.transport.abort()
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/__"):
            return await self._admin.answer(request)
        if request.path.partition("/")[2].partition("/")[0] in BASES:
            return await self._door.answer(request)
        return await self._rest.answer(request)


class Exchange:
    """An exchange in a thread of its own: serves on `url` from `start` to `stop`, or in a `with`.

    Raises OSError where the port is taken.
    """

    def __init__(
        self, spec: ExchangeSpec | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.state = ExchangeState(spec or ExchangeSpec())
        self._address = (host, port)
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self.pump: Pump
        self.url = ""

    def start(self) -> None:
        """Serve in the background."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop serving; open connections are closed. Raises what made the streams fail."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = ExchangeServer(self.state, *self._address)
        try:
            await server.start()
            self.url, self.pump = server.url, server.pump
            self._ready.set()
            await server.serve_until(self._stopping)
        except Exception as error:  # noqa: BLE001 (told to the thread that starts or stops)
            self._failure = error
        finally:
            self._ready.set()
            await server.stop()


async def serve_until(
    state: ExchangeState,
    address: tuple[str, int],
    stopping: asyncio.Event,
    told: Callable[[str], object],
) -> None:
    """Serve on the running loop until `stopping`; `told` hears the address."""
    server = ExchangeServer(state, *address)
    await server.start()
    try:
        told(server.url)
        await server.serve_until(stopping)
    finally:
        await server.stop()
