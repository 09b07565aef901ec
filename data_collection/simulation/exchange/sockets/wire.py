"""One WebSocket connection: its subscriptions, and the bytes that wait for it.

Frames are encoded once for all subscribers and written to the transport as they are: several
connections share the same bytes, and a step of the pump is one write a connection.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from dataclasses import dataclass, field

from aiohttp import web

from alphaqcm.data_collection.simulation.exchange.sockets.streams import Route, Stream
from alphaqcm.data_collection.simulation.exchange.stats import Stats
from alphaqcm.data_collection.simulation.exchange.tape.listing import Market

MOST_WAITING = 64 * 2**20
"""Bytes that may wait for a client before the exchange cuts it off as too slow."""

_TEXT, _PING = 0x81, 0x89


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """One whole server frame, unmasked."""
    size = len(payload)
    if size < 126:
        return bytes((opcode, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", opcode, 126, size) + payload
    return struct.pack("!BBQ", opcode, 127, size) + payload


def ping(payload: bytes) -> bytes:
    """A ping frame."""
    return frame(payload, _PING)


@dataclass(eq=False, slots=True)
class Wire:
    """An open connection of one market; `unit` 1000 means times in microseconds."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport
    market: Market
    route: Route
    combined: bool
    unit: int
    opened_ms: int
    streams: dict[str, Stream | None] = field(default_factory=dict)
    waiting: list[bytes] = field(default_factory=list)
    messages: deque[float] = field(default_factory=deque)  # when the client's last ones came
    pinged_ms: float = 0
    pong_due_ms: float | None = None
    ping_payload: bytes = b""
    held_until_ms: float = 0  # a stall
    half_open: bool = False
    cut_at_ms: float | None = None  # a planned shutdown
    closing: asyncio.Task[bool] | None = None

    def flush(self, stats: Stats, now_ms: float) -> None:
        """Write what waits, in one piece."""
        if self.half_open:
            self.waiting.clear()
            return
        if not self.waiting or now_ms < self.held_until_ms or self.transport.is_closing():
            return
        data = b"".join(self.waiting)
        stats.frames += len(self.waiting)
        stats.frame_bytes += len(data)
        self.waiting.clear()
        self.transport.write(data)

    def abort(self, *, reset: bool = False) -> None:
        """End the TCP connection without a close frame; `reset` in the middle of a frame."""
        if reset and self.waiting:
            last = self.waiting[-1]
            self.transport.write(last[: max(3, len(last) // 2)])
            handle = self.transport.get_extra_info("socket")
            if handle is not None:
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.waiting.clear()
        self.transport.abort()
