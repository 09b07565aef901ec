"""Bucket keys, `SYMBOL/TIMEFRAME/GROUP`, and the destinations of queries made of them.

A part of a key is a file's name in the user's store as well, so nothing else than word characters,
dots and dashes may stand in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alphaqcm.pipeline.errors import BadName

CATEGORY: Final = "Symbol/Timeframe/AttributeGroup"
"""What the parts of a key are; the only categories there are."""

TIMEFRAMES: Final[Mapping[str, str]] = {
    "1Min": "1m",
    "3Min": "3m",
    "5Min": "5m",
    "15Min": "15m",
    "30Min": "30m",
    "1H": "1h",
    "4H": "4h",
    "1D": "1d",
    "1W": "1w",
}
"""The timeframes of candles, and the interval that each is; weeks start on Monday (UTC)."""

_SPELLED: Final = {
    **{own.lower(): own for own in TIMEFRAMES},
    **{interval: own for own, interval in TIMEFRAMES.items()},
}
_PART = re.compile(r"[\w.-]{1,64}")
_LONGEST_NAME = 200  # bytes of a part in UTF-8: with a suffix it still is a file's name
_OTHER_TIMEFRAME = re.compile(r"[1-9][0-9]{0,3}(Sec|Min|H|D|W|M|Y)")


@dataclass(frozen=True, slots=True, order=True)
class BucketKey:
    """The key of one bucket; `timeframe` in MarketStore's own spelling."""

    symbol: str
    timeframe: str
    group: str

    @classmethod
    def parse(cls, text: str) -> BucketKey:
        """Read `SYM/TF/GROUP`, with or without `:Symbol/Timeframe/AttributeGroup`.

        Raises `BadName` for anything that cannot be one.
        """
        parts = split_key(text)
        for part in parts:
            require_part(part)
        return cls(parts[0], spelled(parts[1]), parts[2])

    def __str__(self) -> str:
        return f"{self.symbol}/{self.timeframe}/{self.group}"

    @property
    def full(self) -> str:
        """With its categories, as replies name it."""
        return f"{self}:{CATEGORY}"


def split_key(text: str) -> tuple[str, str, str]:
    """The three parts of a key or destination as they stand there; raises `BadName`."""
    key, colon, category = text.partition(":")
    parts = key.split("/")
    if (colon and category != CATEGORY) or len(parts) != 3 or not all(parts):
        raise BadName(
            f"key {text[:200]!r}",
            expected=f"SYMBOL/TIMEFRAME/GROUP, such as BTCUSDT/1Min/OHLCV (and then :{CATEGORY})",
        )
    return parts[0], parts[1], parts[2]


def require_part(part: str) -> None:
    """Raise `BadName` where a part of a key could not be a file's name as well."""
    if part in (".", "..") or not _PART.fullmatch(part) or len(part.encode()) > _LONGEST_NAME:
        raise BadName(
            f"part {part[:80]!r} of a key",
            expected="1 to 64 letters, digits, `_`, `.` and `-`, not `.` or `..` alone",
        )


def spelled(timeframe: str) -> str:
    """A timeframe in MarketStore's spelling: `1m` and `1min` are `1Min`, `1w` is `1W`.

    One that candles do not have (`1Sec`, `2H`) stays as it is; raises `BadName` for what is none.
    """
    own = _SPELLED.get(timeframe) or _SPELLED.get(timeframe.lower() if timeframe != "1M" else "")
    if own is None and not _OTHER_TIMEFRAME.fullmatch(timeframe):
        raise BadName(
            f"timeframe {timeframe[:80]!r}",
            expected="one of " + ", ".join(TIMEFRAMES) + " or an alias (1m … 1w)",
        )
    return own or timeframe


def matches(glob: str, name: str) -> bool:
    """Whether a name is one that a glob means; `*` stands for any letters. Takes linear time."""
    head, *rest = glob.split("*")
    if not rest:
        return glob == name
    *middle, tail = rest
    at, end = len(head), len(name) - len(tail)
    if at > end or not name.startswith(head) or not name.endswith(tail):
        return False
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
