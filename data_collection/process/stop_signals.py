"""Ctrl-C, SIGTERM and a closed terminal, for a process that must not be cut at just any place."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Self


class StopSignals:
    """Turns SIGINT, SIGTERM and SIGHUP into `KeyboardInterrupt`, outside of `shield` blocks."""

    def __init__(self) -> None:
        self.signum = 0
        self._shields = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        again = bool(self.signum)
        self.signum = self.signum or signum
        if again or not self._shields:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Let the block finish; the signal is then seen by `check`."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1

    def check(self) -> None:
        """Raise for a signal that came during a shield."""
        if self.signum:
            raise KeyboardInterrupt
