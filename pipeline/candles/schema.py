"""Columns of a candle as REST and the candle store have them, and the names of offsets."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from alphaqcm.pipeline.candles.window_grid import MINUTE_US, WindowGrid
from alphaqcm.pipeline.errors import BadName

PRICES: Final = ("open", "high", "low", "close")
QUANTITIES: Final = (
    "volume",
    "quote_volume",
    "trade_num",
    "taker_buy_base_asset_volume",
    "taker_buy_quote_asset_volume",
)
"""The additive columns; `trade_num` is a count, the others are sums of doubles."""

_TIME: Final = pl.Datetime("us", "UTC")
CANDLE_SCHEMA: Final[dict[str, pl.DataType]] = {
    "candle_end_time": _TIME,  # the instant the bar ends
    "candle_begin_time": _TIME,
    **{name: pl.Float64() for name in PRICES},
    "volume": pl.Float64(),
    "quote_volume": pl.Float64(),
    "trade_num": pl.Int64(),
    "taker_buy_base_asset_volume": pl.Float64(),
    "taker_buy_quote_asset_volume": pl.Float64(),
}
"""A candle's columns in the order in which they are stored."""


def parse_offsets(text: str, grid: WindowGrid) -> tuple[int, ...]:
    """`all` offsets of a grid, or a comma list such as `0m,5m`; microseconds. Raises `BadName`."""
    every = tuple(grid.part_us * number for number in range(grid.k))
    if text == "all":
        return every
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,6})m", part.strip())
        offset = int(match[1]) * MINUTE_US if match else -1
        if offset not in every:
            known = ", ".join(offset_name(one) for one in every)
            raise BadName(f"offset {part.strip()!r}", expected=f"all, or some of {known}")
        found.append(offset)
    return tuple(dict.fromkeys(found))


def offset_name(offset_us: int) -> str:
    """`0m`, `5m`, …: the name of an offset's folder."""
    return f"{offset_us // MINUTE_US}m"
