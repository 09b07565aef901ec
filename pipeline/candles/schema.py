"""Columns of a candle, intervals and offsets as texts."""

from __future__ import annotations

import re
from datetime import timedelta

import polars as pl

from alphaqcm.pipeline.errors import BadName

PRICES = ("open", "high", "low", "close")
QUANTITIES = (
    "volume",
    "quote_volume",
    "trade_num",
    "taker_buy_base_asset_volume",
    "taker_buy_quote_asset_volume",
)
"""The additive columns; `trade_num` is a count, the others are sums of doubles."""

_TIME = pl.Datetime("us", "UTC")
CANDLE_SCHEMA: dict[str, pl.DataType] = {
    "candle_end_time": _TIME,  # the instant the bar ends
    "candle_begin_time": _TIME,
    **{name: pl.Float64() for name in PRICES},
    "volume": pl.Float64(),
    "quote_volume": pl.Float64(),
    "trade_num": pl.Int64(),
    "taker_buy_base_asset_volume": pl.Float64(),
    "taker_buy_quote_asset_volume": pl.Float64(),
}
"""A candle's columns as they are stored."""

_UNITS = {"m": 60, "h": 3600, "d": 86400}


def parse_interval(text: str) -> timedelta:
    """`5m`, `1h`, `1d` as a length of time; raises `BadName`."""
    match = re.fullmatch(r"([1-9]\d*)([mhd])", text)
    if match is None:
        raise BadName(
            f"interval {text!r}",
            expected="a whole number of m (minutes), h (hours) or d (days), such as 5m",
        )
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def windows_of(interval: timedelta, base: timedelta) -> int:
    """How many candles of `base` make one of `interval`; raises `BadName` where none do."""
    count, rest = divmod(interval, base)
    if rest or count < 1 or timedelta(days=1) % interval:
        raise BadName(
            f"interval of {interval} from candles of {base}",
            expected="a whole multiple that divides a day",
        )
    return count


def parse_offsets(text: str, interval: timedelta, base: timedelta) -> tuple[timedelta, ...]:
    """`all`, or a comma list such as `0m,5m`, each a multiple of `base`; raises `BadName`."""
    step = timedelta(0)
    every = tuple(base * n for n in range(windows_of(interval, base)))
    if text == "all":
        return every
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)m", part.strip())
        step = timedelta(minutes=int(match[1])) if match else timedelta(days=-1)
        if step not in every:
            known = ", ".join(offset_name(one) for one in every)
            raise BadName(f"offset {part.strip()!r}", expected=f"all, or some of {known}")
        found.append(step)
    return tuple(dict.fromkeys(found))


def offset_name(offset: timedelta) -> str:
    """`0m`, `5m`, …: the name of an offset's folder."""
    return f"{int(offset.total_seconds()) // 60}m"
