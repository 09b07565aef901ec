"""The exchange's clock: its time, and sleeping until a time of it; never the machine's own.

The time is what the exchange last told plus what the monotonic clock has counted since. Tests run
against a stand-in whose clock may go faster: `ALPHAQCM_TEST_CLOCK` names its address (on loopback
only), whose clock then stands for the machine's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
import urllib.request
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from alphaqcm.data_collection.errors import UsageError

TEST_CLOCK_VARIABLE = "ALPHAQCM_TEST_CLOCK"
_UNKNOWN = 1.0  # seconds: how far a clock may be off that nobody told the time
_FRESH = 30.0  # seconds for which an exact reading is kept against a less exact one
_STEP = 0.5  # seconds at most between two looks while a test's clock may be set


class _Reading(msgspec.Struct):
    iso: str
    speed: float


class ExchangeClock:
    """Time in seconds since the epoch (UTC) as the exchange counts it."""

    def __init__(self, now: float | None = None, speed: float = 1.0) -> None:
        self._anchor = time.monotonic()
        self._base = time.time() if now is None else now
        self.speed = speed
        self.uncertainty = _UNKNOWN * speed  # seconds of the exchange's time

    @classmethod
    def from_environment(cls) -> ExchangeClock:
        """The clock of `ALPHAQCM_TEST_CLOCK` where that is set; raises `UsageError`."""
        url = os.environ.get(TEST_CLOCK_VARIABLE)
        if not url:
            return cls()
        _require_loopback(url)
        began = time.monotonic()
        try:
            address = f"{url.rstrip('/')}/__clock__"
            with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310
                reading = msgspec.json.decode(answer.read(), type=_Reading)
        except (OSError, msgspec.MsgspecError) as error:
            raise UsageError(
                f"{TEST_CLOCK_VARIABLE}={url}",
                expected="a stand-in that tells its clock",
                found=f"{error}",
            ) from error
        ended = time.monotonic()
        clock = cls(speed=reading.speed)
        told = datetime.fromisoformat(reading.iso.replace("Z", "+00:00"))
        clock._anchor = (began + ended) / 2
        clock._base = told.astimezone(UTC).timestamp()
        return clock

    def now(self) -> float:
        """The exchange's time, in seconds."""
        return self._base + (time.monotonic() - self._anchor) * self.speed

    def now_ms(self) -> int:
        """The exchange's time, in milliseconds."""
        return int(self.now() * 1000)

    def told(self, server_ms: int, sent: float, received: float) -> None:
        """Take over what the exchange says: `sent` and `received` are monotonic seconds.

        Of several answers the one with the shortest way counts, unless it is half a minute old, or
        the exchange's clock was set since.
        """
        doubt = (received - sent) / 2 * self.speed
        stale = received - self._anchor > _FRESH
        was_set = abs(self.offset(server_ms, sent, received)) > doubt + self.uncertainty
        if doubt > self.uncertainty and not stale and not was_set:
            return
        self._anchor = (sent + received) / 2
        self._base = server_ms / 1000
        self.uncertainty = doubt

    def offset(self, server_ms: int, sent: float, received: float) -> float:
        """Seconds by which the exchange is ahead of this clock, as an answer tells; see `told`."""
        here = self._base + ((sent + received) / 2 - self._anchor) * self.speed
        return server_ms / 1000 - here

    def elapsed(self) -> float:
        """Seconds of the exchange's pace since some moment; never set back or forth."""
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        """Sleep so many seconds of the exchange's time."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)

    async def sleep_until(self, moment: float) -> None:
        """Sleep until a moment of the exchange's time, never shorter."""
        while (left := moment - self.now()) > 0:
            await asyncio.sleep(min(left / self.speed, _STEP))


def _require_loopback(url: str) -> None:
    host = urlsplit(url).hostname or ""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback or urlsplit(url).scheme != "http":
        raise UsageError(
            f"{TEST_CLOCK_VARIABLE}={url}",
            expected="an http address of this machine, such as http://127.0.0.1:8080",
            found="another host",
            next_step=f"unset {TEST_CLOCK_VARIABLE}: only tests use it",
        )


_default: ExchangeClock | None = None


def default_clock() -> ExchangeClock:
    """The one clock of this process; fetchers keep it at the exchange's time."""
    global _default
    if _default is None:
        _default = ExchangeClock.from_environment()
    return _default


def utc(seconds: float) -> datetime:
    """Seconds since the epoch as a datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
