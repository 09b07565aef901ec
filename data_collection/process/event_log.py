"""Logs of workers: one line an event, `key=value` pairs, to be read by people and by grep."""

from __future__ import annotations

import contextlib
import shlex
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from alphaqcm.pipeline.domain.time import to_stamp


class Log:
    """One line an event, flushed at once."""

    def __init__(self, worker: str, write: Callable[[str], object] | None = None) -> None:
        self._worker = worker
        self._write = write or sys.stdout.write
        self._guard = threading.Lock()

    def event(self, name: str, **told: object) -> None:
        """Write one event; values with blanks are quoted."""
        stamp = to_stamp(datetime.now(UTC))
        parts = [f"{key}={shlex.quote(str(value))}" for key, value in told.items() if value != ""]
        line = " ".join([stamp, f"worker={self._worker}", f"event={name}", *parts])
        # a log that cannot be written (its terminal closed, its disk full) must not end the work
        with self._guard, contextlib.suppress(OSError):
            self._write(line.replace("\n", " ") + "\n")
            if self._write == sys.stdout.write:
                sys.stdout.flush()

    def say(self, text: str) -> None:
        """Something worth knowing that is no event of a task."""
        self.event("note", text=text)
