"""Connections and bytes a second of all processes that share a cache, whoever started them.

A connection is an OS lock on one of `connections` small files: taken for a request, and free the
moment its holder ends, however it ends. The rate is one moment in a file, up to which the bytes
taken so far use up the limit; every taker moves it on under the file's lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from alphaqcm.pipeline.errors import layer_error

LIMITS_FOLDER = ".limits"
"""Below the cache."""

_LOOK_EVERY = 0.02  # seconds between two looks for a free connection
_BURST = 0.1  # seconds of the rate that may be used at once after a pause
_MOMENT = struct.Struct("<d")
_FARTHEST = 3600.0  # seconds: a moment further ahead is of another boot's clock


class SharedLimits:
    """The limits of one cache, as one process keeps them; for any number of threads.

    Raises `LayerError` where the folder cannot be written.
    """

    def __init__(self, folder: Path, connections: int, rate_limit: int | None) -> None:
        self._folder = folder
        self._connections = connections
        self._rate_limit = rate_limit

    @contextlib.contextmanager
    def connection(self, stop: Callable[[], None]) -> Iterator[None]:
        """Hold one of the connections; `stop` is called while waiting, and may raise."""
        descriptor = self._take(stop)
        try:
            yield
        finally:
            os.close(descriptor)

    def _take(self, stop: Callable[[], None]) -> int:
        first = random.randrange(self._connections)  # noqa: S311
        while True:
            for number in range(self._connections):
                descriptor = self._try((first + number) % self._connections)
                if descriptor is not None:
                    return descriptor
            stop()
            time.sleep(_LOOK_EVERY)

    def _try(self, number: int) -> int | None:
        descriptor = self._open(f"connection-{number:02}")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def spend(self, count: int, stop: threading.Event) -> None:
        """Wait until `count` more bytes are within the rate, or `stop` is set."""
        if self._rate_limit is None:
            return
        wait = self._earned_in(count / self._rate_limit)
        if wait > 0:
            stop.wait(wait)

    def _earned_in(self, seconds: float) -> float:
        """Use up so many seconds of the rate; gives how long it takes until they are earned."""
        descriptor = self._open("rate")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            now = time.monotonic()  # one clock for all processes of a machine
            held = os.pread(descriptor, _MOMENT.size, 0)
            moment = _MOMENT.unpack(held)[0] if len(held) == _MOMENT.size else now
            if moment > now + _FARTHEST:
                moment = now
            moment = max(moment, now - _BURST) + seconds
            os.pwrite(descriptor, _MOMENT.pack(moment), 0)
        finally:
            os.close(descriptor)
        return float(moment - now)

    def _open(self, name: str) -> int:
        path = self._folder / name
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise layer_error(path, error) from error
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise layer_error(path, error) from error
