"""Whether candles come on a connection on which other frames do.

Running candles are pushed when they change, a few times a second: symbols that trade much are never
quiet for long. How long they may be is told by what their newest candles have counted, or by
what the connection itself has given so far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

TRADES = 50.0
"""So many trades bring a candle: that none of them does is no chance."""

_WINDOW = 10.0  # seconds
_MANY, _IN_A_ROW = 10, 6  # frames in each of so many windows are a steady flow


@dataclass(slots=True)
class KlineWatch:
    """Counts the frames of candles; times are seconds of the exchange's clock."""

    first: float  # after the acknowledgement, until the first candle
    silence: float  # after a steady flow
    trades: Callable[[], float]  # a second, of the symbols whose candles are asked for
    last: float = 0.0  # when the newest candle came
    count: int = 0
    _windows: int = 0  # of steady flow
    _paused: bool = False  # no candle in the last window
    _since: float = 0.0
    _counted: int = 0

    def heard(self, now: float) -> None:
        """A candle came, open or closed."""
        self.last = now
        self.count += 1

    def missing(self, now: float, acknowledged: float | None) -> bool:
        """Whether candles should have come; asked each second or so."""
        self._look(now)
        if self.count:
            return self._windows >= _IN_A_ROW and now - self.last >= self.silence
        return (
            acknowledged is not None
            and now - acknowledged >= self.first
            and self.trades() * self.first >= TRADES
        )

    def _look(self, now: float) -> None:
        """Close a window whose time is over."""
        if now - self._since < _WINDOW:
            return
        frames = self.count - self._counted
        if not frames:  # silence, or between the closes of an exchange that tells no more
            self._paused = True
        elif frames < _MANY:
            self._windows, self._paused = 0, False
        else:
            self._windows = 1 if self._paused else self._windows + 1
            self._paused = False
        self._since, self._counted = now, self.count
