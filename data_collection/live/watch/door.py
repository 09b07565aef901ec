"""`/metrics` and `/health` on loopback, and the status file that `bmac status` reads."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
from aiohttp import web

from alphaqcm.data_collection.live.watch.metrics import prometheus
from alphaqcm.data_collection.live.watch.snapshot import Watcher, samples, status_path

_EVERY = 1.0  # seconds of real time
_HOST = "127.0.0.1"


class Door:
    """Serves and writes what a watcher sees; `port` 0 is a free one."""

    def __init__(self, watcher: Watcher, port: int = 0) -> None:
        self._watcher, self._port = watcher, port

    async def serve(self) -> None:
        """Serve until cancelled."""
        runner = web.ServerRunner(web.Server(self._answer, access_log=None))
        await runner.setup()
        try:
            await web.TCPSite(runner, _HOST, self._port).start()
            self._watcher.port = runner.addresses[0][1]
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def write(self) -> None:
        """Write the status file each second until cancelled; the last time at the end."""
        try:
            while True:
                self.write_once()
                await asyncio.sleep(_EVERY)
        finally:
            self.write_once()

    def write_once(self) -> None:
        """Write the status file; a disk that is full must not end anything."""
        path = status_path(self._watcher.client.base)
        temp = path.with_name(f".{path.name}.tmp")
        with contextlib.suppress(OSError):
            temp.write_bytes(msgspec.json.encode(self._watcher.look()))
            temp.replace(path)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        status = self._watcher.look()
        if request.path == "/metrics":
            return web.Response(
                text=prometheus(samples(status)), content_type="text/plain", charset="utf-8"
            )
        if request.path == "/health":
            good = status.warm and status.connections_live > 0
            return web.Response(
                status=200 if good else 503,
                body=msgspec.json.encode(status),
                content_type="application/json",
            )
        return web.Response(status=404)
