"""The mirror's connections: a thread each, a bounded number of them, none without end."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 30.0
"""Seconds: a client has so long for its next request, and for taking the next bytes."""

CONNECTIONS = 1_100
"""Clients at once: one of ours opens 1,024 at most."""


class BoundedServer(ThreadingHTTPServer):
    """Hangs up on each connection beyond so many; `patience` is for its handlers."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        patience: float,
        connections: int,
    ) -> None:
        self.patience = patience
        self._places = threading.BoundedSemaphore(connections)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread; hang up where there is no place left."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are expected: nothing to say."""
