"""HTTP connections that end: bounds on the head of an answer, and a least rate for all of it.

A socket's time-out is reset by any single byte, and `http.client` reads interim answers
(`100 Continue`) for as long as they come. So the waiting itself is measured here, at each read of
the socket: time that this program spends otherwise (its own rate limit, a slow disk) does not
count against the source.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any, cast

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

LEAST_RATE = 512
"""Bytes a second that a source must give while it is waited for."""

MAX_HEAD = 1 << 18
"""Bytes of one answer's head, interim answers included; real ones have about 500."""

_NO_TIMEOUT = 30.0  # seconds: taken where the socket has none


class TooSlow(TimeoutError):
    """Bytes come, but so few that the answer would never end."""


class TooLong(ConnectionError):
    """The head of an answer does not end."""


class _PacedReader(io.RawIOBase):
    """Reads a socket's bytes and weighs them against the time waited for them.

    The head of the answer may take twice the socket's time-out; then each time-out's worth of
    waiting must have brought `LEAST_RATE` times as many bytes.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._raw = cast(io.RawIOBase, sock.makefile("rb", buffering=0))
        self._window = sock.gettimeout() or _NO_TIMEOUT
        self._waited = 0.0
        self._came = 0
        self._in_head = True

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, target: Any) -> int | None:
        """Fill `target` with what has come; raises `TooSlow` and `TooLong`."""
        began = time.monotonic()
        size = self._raw.readinto(target)
        self._waited += time.monotonic() - began
        self._came += size or 0
        if self._in_head:
            if self._came > MAX_HEAD + len(target):
                raise TooLong(f"more than {MAX_HEAD} bytes before the answer itself")
            if self._waited > 2 * self._window:
                raise TooSlow(f"no whole head of an answer within {2 * self._window:g} s")
        elif self._waited > self._window:
            if size and self._came < LEAST_RATE * self._window:
                raise TooSlow(f"{self._came} bytes in {self._waited:.3g} s")
            self._waited, self._came = 0.0, 0
        return size

    def head_is_read(self) -> None:
        """From now on it is the body that is read."""
        self._in_head = False
        self._waited, self._came = 0.0, 0

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()


class _PacedSocket:
    """What `http.client.HTTPResponse` asks of a socket: one file to read."""

    def __init__(self, reader: _PacedReader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The paced bytes."""
        return io.BufferedReader(self._reader)


class _PacedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **named: Any) -> None:
        self._reader = _PacedReader(sock)
        super().__init__(cast(socket.socket, _PacedSocket(self._reader)), *args, **named)

    def begin(self) -> None:
        super().begin()
        self._reader.head_is_read()


class _Connection(HTTPConnection):
    response_class = _PacedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _PacedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class PacedAdapter(HTTPAdapter):
    """The adapter of requests, over connections that keep these bounds."""

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        """See `HTTPAdapter`."""
        super().init_poolmanager(*args, **named)
        _pace(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        """See `HTTPAdapter`."""
        manager = super().proxy_manager_for(proxy, **named)
        if not proxy.lower().startswith("socks"):
            _pace(manager)
        return manager


def _pace(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
