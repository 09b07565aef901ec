"""The stream `/ws`: clients name keys or globs, and get each bar, trade or book as it comes.

Candles of hundreds of symbols close at the same moment. Their messages are framed here and go to a
client in one write, instead of one each: that is what the time to its callback is made of.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from alphaqcm.data_collection.marketstore.bucket_key import (
    matches,
    require_part,
    spelled,
    split_key,
)
from alphaqcm.pipeline.errors import BadName

_LOG = logging.getLogger("alphaqcm.marketstore")
_MOST_PATTERNS: Final = 5000
_LONGEST: Final = 1 << 20  # bytes of a client's message
_BEHIND: Final = 8 << 20  # bytes that a slow client may be behind
_MOST_CLIENTS: Final = 1000
_REMEMBERED: Final = 50_000  # keys of which is remembered who wants them
_AT_ONCE: Final = 64  # frames in one write: few enough that a client has work while more come
_BINARY: Final = 0x82  # a whole binary message
_HEARTBEAT: Final = 30.0  # seconds between two pings


class Subscription(msgspec.Struct):
    """What a client wants."""

    streams: Annotated[list[str], msgspec.Meta(min_length=1, max_length=_MOST_PATTERNS)]


_DECODER = msgspec.msgpack.Decoder(Subscription)
_ENCODER = msgspec.msgpack.Encoder()


Glob = tuple[str, str, str]


@dataclass(slots=True, eq=False)
class _Client:
    """One connection: what it wants, and what it has not been sent yet."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport
    keys: frozenset[str] = frozenset()
    globs: tuple[Glob, ...] = ()
    waiting: list[bytes] = field(default_factory=list)  # frames of this turn of the event loop
    size: int = 0  # their bytes

    def send(self, frame: bytes) -> bool:
        """Put a frame to those that are written next; whether the client keeps up."""
        if self.size + self.transport.get_write_buffer_size() > _BEHIND:
            return False
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self.waiting.append(frame)
        self.size += len(frame)
        if len(self.waiting) >= _AT_ONCE:
            self.flush()
        return True

    def flush(self) -> None:
        """Write what waits, in one piece."""
        data, self.waiting, self.size = b"".join(self.waiting), [], 0
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def wants(self, key: str) -> bool:
        if key in self.keys:
            return True
        parts = key.split("/")
        return any(all(map(matches, glob, parts)) for glob in self.globs)

    def wants_some(self, timeframe: str, group: str) -> bool:
        end = f"/{timeframe}/{group}"
        return any(key.endswith(end) for key in self.keys) or any(
            matches(glob[1], timeframe) and matches(glob[2], group) for glob in self.globs
        )


class StreamHub:
    """The connections of `/ws`; `publish` is called on their event loop."""

    def __init__(self) -> None:
        self._clients: set[_Client] = set()
        # both until a client comes, asks or leaves
        self._wanting: dict[str, tuple[_Client, ...]] = {}
        self._some: dict[tuple[str, str], bool] = {}

    def wants(self, key: str) -> bool:
        """Whether some client has subscribed to a key."""
        return bool(self._clients_of(key))

    def wants_some(self, timeframe: str, group: str) -> bool:
        """Whether some client may have subscribed to a key of a timeframe and group."""
        found = self._some.get((timeframe, group))
        if found is None:
            found = any(client.wants_some(timeframe, group) for client in self._clients)
            self._some[timeframe, group] = found
        return found

    def _clients_of(self, key: str) -> tuple[_Client, ...]:
        found = self._wanting.get(key)
        if found is None:
            if len(self._wanting) > _REMEMBERED:
                self._wanting.clear()
            found = tuple(client for client in self._clients if client.wants(key))
            self._wanting[key] = found
        return found

    def _let_go(self, client: _Client) -> None:
        self._clients.discard(client)
        self._forget()

    def _forget(self) -> None:
        self._wanting.clear()
        self._some.clear()

    def publish(self, key: str, data: Mapping[str, Any]) -> None:
        """Send one message to every client that wants the key; a client too slow is let go."""
        frame: bytes | None = None
        for client in self._clients_of(key):
            if frame is None:
                frame = _frame(_ENCODER.encode({"key": key, "data": data}))
            if not client.send(frame):
                _LOG.warning("a stream client is %d bytes behind: let go", _BEHIND)
                self._let_go(client)
                client.transport.abort()

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client until it leaves."""
        # no compression: what is framed here and what aiohttp sends must be read by one rule
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT, max_msg_size=_LONGEST, compress=False)
        await socket.prepare(request)
        if len(self._clients) >= _MOST_CLIENTS or request.transport is None:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too many clients")
            return socket
        client = _Client(socket, request.transport)
        self._clients.add(client)
        try:
            async for message in socket:
                if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                    break
                told = _subscribe(client, message.data)
                self._forget()
                if told:
                    client.flush()
                    await socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=told.encode())
                    break
                client.send(_frame(message.data))  # the echo says that it is subscribed
        finally:
            self._let_go(client)
        return socket

    async def close(self) -> None:
        """Say goodbye to every client."""
        for client in list(self._clients):
            client.flush()
            with contextlib.suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(client.socket.close(code=WSCloseCode.GOING_AWAY), 1.0)
            self._let_go(client)


def _subscribe(client: _Client, data: bytes | str) -> str:
    """Take over what the client wants; why not, where that cannot be."""
    if isinstance(data, str):
        return "expected a binary message of msgpack"
    try:
        wanted = [_glob(text) for text in _DECODER.decode(data).streams]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "expected {streams: [keys or globs]}"
    except BadName:
        return "expected keys such as BTCUSDT/1Min/OHLCV or */1Min/OHLCV"
    client.keys = frozenset("/".join(one) for one in wanted if "*" not in "".join(one))
    client.globs = tuple(one for one in wanted if "*" in "".join(one))
    return ""


def _glob(text: str) -> Glob:
    """The parts of a key or glob; raises `BadName`."""
    symbol, timeframe, group = split_key(text)
    for part in (symbol, timeframe, group):
        require_part(part.replace("*", "x"))
    return symbol, timeframe if "*" in timeframe else spelled(timeframe), group


def _frame(message: bytes) -> bytes:
    """A message as one unmasked binary frame (RFC 6455, section 5.2)."""
    size = len(message)
    if size < 126:
        head = bytes((_BINARY, size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", _BINARY, 126, size)
    else:
        head = struct.pack("!BBQ", _BINARY, 127, size)
    return head + message
