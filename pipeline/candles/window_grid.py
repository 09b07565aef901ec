"""Which window a candle belongs to: intervals, offsets, and weeks that start on Monday (UTC)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from alphaqcm.pipeline.errors import BadName

MINUTE_US: Final = 60_000_000
DAY_US: Final = 1_440 * MINUTE_US
WEEK_US: Final = 7 * DAY_US
_MONDAY_US: Final = 4 * DAY_US  # 1970-01-05, the first Monday after the epoch
_UNITS: Final = {"m": MINUTE_US, "h": 60 * MINUTE_US, "d": DAY_US, "w": WEEK_US}


def interval_us(text: str) -> int:
    """Microseconds of an interval: `1m` to `1d` in whole minutes (`90m`, `4h`), or `1w`.

    Raises `BadName` for anything else, months (`1M`) included.
    """
    length = _length(text)
    if length is None or not (MINUTE_US <= length <= DAY_US or length == WEEK_US):
        raise BadName(
            f"interval {text!r}",
            expected="1m to 1d in whole minutes, such as 5m, 1h or 12h, or 1w",
            next_step="name another interval",
        )
    return length


def _length(text: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip())
    return int(match[1]) * _UNITS[match[2]] if match else None


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows of `window_us`, made of parts of `part_us`, that start `offset_us` after the grid.

    The grid is counted from the epoch, that of weeks from a Monday. All in microseconds.
    """

    part_us: int
    window_us: int
    offset_us: int = 0

    def __post_init__(self) -> None:
        if self.window_us % self.part_us or not 0 <= self.offset_us < self.window_us:
            raise BadName(
                f"windows of {self.window_us // MINUTE_US} minutes",
                expected="a multiple of the candles' interval, the offset shorter than a window",
                found=f"candles of {self.part_us // MINUTE_US} minutes, offset "
                f"{self.offset_us // MINUTE_US}",
            )
        if self.offset_us % self.part_us:
            raise BadName(
                f"offset of {self.offset_us // MINUTE_US} minutes",
                expected=f"a multiple of the candles' {self.part_us // MINUTE_US} minutes",
            )

    @classmethod
    def of(cls, part: str, window: str, offset: str = "0m") -> WindowGrid:
        """The grid of `window`s at `offset` from candles of `part`; raises `BadName`."""
        shift = _length(offset)
        if shift is None:
            raise BadName(
                f"offset {offset!r}", expected="minutes, hours or days, such as 0m, 5m or 8h"
            )
        return cls(interval_us(part), interval_us(window), shift)

    @property
    def k(self) -> int:
        """Parts of a whole window."""
        return self.window_us // self.part_us

    @property
    def origin_us(self) -> int:
        """Start of window 0."""
        return self.offset_us + (_MONDAY_US if self.window_us % WEEK_US == 0 else 0)

    def start_us(self, window: int) -> int:
        """Start of window number `window`."""
        return self.origin_us + window * self.window_us

    def floor_us(self, time_us: int) -> int:
        """Start of the window that holds `time_us`."""
        return self.start_us((time_us - self.origin_us) // self.window_us)

    def ceil_us(self, time_us: int) -> int:
        """The first start of a window at or after `time_us`."""
        return self.start_us(-((self.origin_us - time_us) // self.window_us))
