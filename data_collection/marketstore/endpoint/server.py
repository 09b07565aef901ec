"""The endpoint on HTTP: `/rpc`, `/ws` and `/heartbeat`, on the running event loop."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from alphaqcm._version import __version__
from alphaqcm.data_collection.marketstore.endpoint.guard import Guard
from alphaqcm.data_collection.marketstore.endpoint.rpc import Dispatcher, failure
from alphaqcm.data_collection.marketstore.endpoint.stream import StreamHub
from alphaqcm.data_collection.marketstore.faults import Code, RpcFault

MSGPACK: Final = "application/x-msgpack"
VERSION_HEADER: Final = "Marketstore-Version"
_PATIENCE = 2.0  # seconds for requests that are still being answered when it stops


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How much the endpoint takes on."""

    body: int = 64 << 20  # bytes of a request
    seconds: float = 30.0  # that a request may take
    threads: int = 4  # requests that are answered at once; others wait


class EndpointServer:
    """Serves one dispatcher and one hub, from `start` to `stop`."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        hub: StreamHub,
        guard: Guard,
        limits: ServerLimits | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._limits = limits or ServerLimits()
        self._hub = hub
        self._began = time.monotonic()
        self._threads = ThreadPoolExecutor(self._limits.threads, thread_name_prefix="rpc")
        app = web.Application(middlewares=[guard.check], client_max_size=self._limits.body)
        app.router.add_post("/rpc", self._rpc)
        app.router.add_head("/rpc", self._version)
        app.router.add_get("/ws", hub.connect)
        app.router.add_get("/heartbeat", self._heartbeat)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_PATIENCE)
        self.url = ""

    async def start(self, host: str, port: int) -> None:
        """Listen; raises OSError where the address is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        own = self._runner.addresses[0]
        shown = f"[{own[0]}]" if ":" in own[0] else own[0]
        self.url = f"http://{shown}:{own[1]}"

    async def stop(self) -> None:
        """Close every connection."""
        await self._hub.close()
        await self._runner.cleanup()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _rpc(self, request: web.Request) -> web.Response:
        if request.content_type != MSGPACK:
            return web.Response(status=415, text=f"expected Content-Type {MSGPACK}\n")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            told = f"a body of at most {self._limits.body} bytes"
            fault = RpcFault(Code.INVALID_REQUEST, "body too large", told)
            response = _reply(failure(fault))
            response.force_close()  # the rest of the body is not read
            return response
        answer = asyncio.get_running_loop().run_in_executor(
            self._threads, partial(self._dispatcher.reply, body)
        )
        try:
            return _reply(await asyncio.wait_for(answer, self._limits.seconds))
        except TimeoutError:
            told = f"it took longer than {self._limits.seconds:g} s; ask for less"
            return _reply(failure(RpcFault(Code.SERVER, "timeout", told)))

    async def _version(self, _request: web.Request) -> web.Response:
        return web.Response(headers={VERSION_HEADER: __version__})

    async def _heartbeat(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "status": "queryable",
                "version": __version__,
                "git_hash": __version__,
                "uptime": f"{time.monotonic() - self._began:.3f}s",
            }
        )


def _reply(body: bytes) -> web.Response:
    return web.Response(body=body, content_type=MSGPACK, headers={VERSION_HEADER: __version__})
