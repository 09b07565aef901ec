"""Helpers around run times, for programs that work at each close of a candle."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from alphaqcm.data_collection.exchange.clock import default_clock
from alphaqcm.pipeline.errors import BadName

DEFAULT_TZ = ZoneInfo("Asia/Hong_Kong")

_UNITS = {"m": "minutes", "t": "minutes", "h": "hours", "d": "days"}
_LAST_STEP = 1.0  # seconds before a run time from which the clock is looked at often
_FINE = 0.001


def now_time() -> datetime:
    """The exchange's time, in `DEFAULT_TZ`."""
    return datetime.fromtimestamp(default_clock().now(), DEFAULT_TZ)


def convert_interval_to_timedelta(time_interval: str) -> timedelta:
    """`5m` (or `5T`), `1h`, `1d` as a timedelta; raises `BadName`."""
    match = re.fullmatch(r"(\d+)([mMtThHdD])", time_interval)
    if match is None or (match[2] == "M") or int(match[1]) == 0:
        raise BadName(f"interval {time_interval!r}", expected="such as 5m, 1h or 1d")
    return timedelta(**{_UNITS[match[2].lower()]: int(match[1])})


def next_run_time(time_interval: str) -> datetime:
    """The next whole multiple of the interval since midnight, in `DEFAULT_TZ`, after now."""
    step = convert_interval_to_timedelta(time_interval)
    now = now_time()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + ((now - midnight) // step + 1) * step


async def async_sleep_until_run_time(run_time: datetime) -> None:
    """Sleep until the exchange's clock shows `run_time`, to the millisecond."""
    clock, moment = default_clock(), run_time.timestamp()
    await clock.sleep_until(moment - _LAST_STEP)
    while clock.now() < moment:
        await clock.sleep(min(_FINE * clock.speed, max(0.0, moment - clock.now())))
