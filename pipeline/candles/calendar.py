"""The complete calendar of a symbol's minutes: holes filled and marked, funding joined, epochs.

Between the first and the last candle every minute has a row. In a hole the last close is held as
all four prices, quantities are 0 and `is_filled` says so. A symbol whose name was given to another
asset, or that paused for days, is cut into epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA, PRICES, QUANTITIES
from alphaqcm.pipeline.candles.window_grid import DAY_US, MINUTE_US
from alphaqcm.pipeline.errors import TableError

_LONG_GAP_US: Final = 2 * DAY_US
_GAP_US: Final = DAY_US
_PRICE_JUMP: Final = 0.10

CALENDAR_SCHEMA: Final[dict[str, pl.DataType]] = {
    **CANDLE_SCHEMA,
    "is_filled": pl.Boolean(),  # no candle of this minute is known
    "vwap_1m": pl.Float64(),
    "funding_rate": pl.Float64(),  # of the settlement within the minute, else null
    "funding_time": pl.Datetime("us", "UTC"),
}
"""Columns of the calendar."""


def complete_minutes(
    candles: pl.DataFrame, funding: pl.DataFrame, contract_size: float | None = None
) -> pl.DataFrame:
    """Every minute from the first to the last candle; `CALENDAR_SCHEMA`.

    `candles` are 1m candles in order of time, `funding` has funding_time (Datetime UTC) and
    funding_rate. `contract_size` (quote units) is told for coin-margined contracts, whose volume
    counts contracts and whose quote volume is in the base asset. Raises `TableError` for candles
    off the minute.
    """
    if not candles.height:
        return pl.DataFrame(schema=CALENDAR_SCHEMA)
    begin = candles["candle_begin_time"].to_physical().to_numpy()
    if (begin % MINUTE_US).any() or (np.diff(begin) <= 0).any():
        raise TableError(
            "candles of the calendar", expected="whole minutes in order, each once", found="others"
        )
    place = (begin - begin[0]) // MINUTE_US
    count = int(place[-1]) + 1
    source = np.zeros(count, np.int64)
    source[place] = np.arange(place.size)
    source = np.maximum.accumulate(source)
    filled = np.ones(count, np.bool_)
    filled[place] = False
    minutes = begin[0] + np.arange(count) * MINUTE_US
    values: dict[str, npt.NDArray[np.generic]] = {
        "candle_end_time": minutes + MINUTE_US,
        "candle_begin_time": minutes,
    }
    close = candles["close"].to_numpy()[source]
    for name in PRICES:
        values[name] = np.where(filled, close, candles[name].to_numpy()[source])
    for name in QUANTITIES:
        held = candles[name].to_numpy()[source]
        values[name] = np.where(filled, held.dtype.type(0), held)
    values["is_filled"] = filled
    frame = pl.DataFrame(values).with_columns(vwap(contract_size).alias("vwap_1m"))
    return frame.join(
        _settlements(funding), on="candle_begin_time", how="left", maintain_order="left"
    ).select(pl.col(name).cast(kind) for name, kind in CALENDAR_SCHEMA.items())


def vwap(contract_size: float | None = None) -> pl.Expr:
    """Volume-weighted price of a candle, clipped to [low, high]; its close where nothing traded."""
    quote, volume = pl.col("quote_volume"), pl.col("volume")
    if contract_size is not None:
        price = pl.when(quote > 0).then(volume * contract_size / quote)
    else:
        price = pl.when(volume > 0).then(quote / volume)
    return price.otherwise(pl.col("close")).clip(pl.col("low"), pl.col("high"))


def _settlements(funding: pl.DataFrame) -> pl.DataFrame:
    """One settlement a minute, the last of several."""
    time = pl.col("funding_time").cast(pl.Datetime("us", "UTC"))
    return (
        funding.select(
            (time.to_physical() // MINUTE_US * MINUTE_US).alias("candle_begin_time"),
            time,
            pl.col("funding_rate").cast(pl.Float64),
        )
        .sort("funding_time")
        .unique("candle_begin_time", keep="last", maintain_order=True)
    )


def split_epochs(calendar: pl.DataFrame, symbol: str) -> list[tuple[str, pl.DataFrame]]:
    """The calendar cut at its long holes: `SP0_SYM`, `SP1_SYM`, …, the last part keeps `symbol`.

    A hole above 2 days, or above 1 day with a price more than 10 % away, starts a new epoch; the
    filled minutes of such a hole belong to none.
    """
    known = np.flatnonzero(~calendar["is_filled"].to_numpy())
    if not known.size:
        return [(symbol, calendar)]
    close, opening = calendar["close"].to_numpy(), calendar["open"].to_numpy()
    hole_us = (np.diff(known) - 1) * MINUTE_US
    jump = np.abs(opening[known[1:]] / close[known[:-1]] - 1)
    cuts = np.flatnonzero((hole_us > _LONG_GAP_US) | ((hole_us > _GAP_US) & (jump > _PRICE_JUMP)))
    starts = [0, *(int(known[cut + 1]) for cut in cuts)]
    stops = [*(int(known[cut]) + 1 for cut in cuts), calendar.height]
    return [
        (name, calendar.slice(start, stop - start))
        for name, start, stop in zip(_names(symbol, len(starts)), starts, stops, strict=True)
    ]


def _names(symbol: str, count: int) -> Sequence[str]:
    return [*(f"SP{number}_{symbol}" for number in range(count - 1)), symbol]
