"""The simulated exchange's clock: starts anywhere, runs at any speed, can be set wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


class ExchangeClock:
    """Milliseconds since the epoch that pass `speed` times as fast as real ones.

    `now` is what the exchange believes; `true_now` leaves out `skew_ms`, by which the exchange's
    clock can be set wrong against the one that its clients follow.
    """

    def __init__(
        self, start_ms: int, speed: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.start_ms: float = start_ms
        self.speed = speed
        self.skew_ms = 0
        self._monotonic = monotonic
        self._zero = monotonic()

    def true_now(self) -> float:
        """Milliseconds that a client's own clock shows."""
        return self.start_ms + (self._monotonic() - self._zero) * 1000 * self.speed

    def now(self) -> float:
        """Milliseconds that the exchange's clock shows."""
        return self.true_now() + self.skew_ms

    def now_ms(self) -> int:
        """`now` in whole milliseconds."""
        return int(self.now())

    def real_seconds(self, milliseconds: float) -> float:
        """How long `milliseconds` of this clock last, in real seconds."""
        return max(0.0, milliseconds) / 1000 / self.speed

    def advance(self, milliseconds: float) -> None:
        """Move the clock forward at once, for those who would rather not wait."""
        self.start_ms += milliseconds

    def as_json(self) -> dict[str, object]:
        """What `GET /__clock__` answers."""
        now = self.true_now()
        moment = datetime.fromtimestamp(now / 1000, UTC)
        return {
            "now": int(now),
            "iso": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "speed": self.speed,
        }
