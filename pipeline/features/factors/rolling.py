"""Columns over a symbol's earlier rows: flags, rolling windows, `is_valid_for_training`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from alphaqcm.pipeline.features.columns import TAIL_ROWS
from alphaqcm.pipeline.features.factors.minutes import EPS
from alphaqcm.pipeline.features.factors.orderflow import ratio
from alphaqcm.pipeline.features.factors.segments import Bools, Floats, floats, nullable, times_us
from alphaqcm.pipeline.features.factors.windows import (
    gap_flags,
    hours_since_trade,
    lag,
    quantile99,
    rolling_mean,
    row_span,
    running_quantile99,
    true_ranges,
    volume_spikes,
)

LOOKBACK_COLUMNS = (
    "datetime",
    "high",
    "low",
    "close",
    "volume",
    "vwap",
    "funding_rate",
    "oi_open_interest",
    "oi_open_interest_usd",
    "rv_std_sqrt60",
)
"""What the row columns need of the rows before."""

DAY_ROWS = 24
WEEK_ROWS = 168
MATURE_ROWS = 24
MAX_LOG_CHANGE = 0.5
MIN_MINUTES = 50
NO_TRADE = -1


@dataclass(frozen=True, slots=True)
class Lookback:
    """What is known of the rows before the ones to compute.

    `tail` has the `LOOKBACK_COLUMNS` of the last of them, at least `columns.TAIL_ROWS` where there
    are so many; `volume` has all their volumes, in order; `last_trade` is the start of the last of
    all of them with volume, however long ago, in microseconds since the epoch: -1 if there is none.
    """

    tail: pl.DataFrame
    volume: Floats
    last_trade: int = NO_TRADE

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Lookback:
        """All that is to be known of `rows`: all rows before, with `LOOKBACK_COLUMNS`, in order."""
        volume = floats(rows["volume"])
        traded = np.flatnonzero(volume > 0)
        last = int(times_us(rows["datetime"])[traded[-1]]) if traded.size else NO_TRADE
        return cls(rows.select(LOOKBACK_COLUMNS).tail(TAIL_ROWS), volume, last)

    @property
    def rows(self) -> int:
        """How many rows lie before."""
        return int(self.volume.size)


NOTHING_BEFORE = Lookback(pl.DataFrame(), np.empty(0))


def row_columns(frame: pl.DataFrame, before: Lookback = NOTHING_BEFORE) -> pl.DataFrame:
    """`frame` with its row columns added, and `vwap` filled from the row before.

    `frame` has `LOOKBACK_COLUMNS` and `n_minutes_kept`, in order of time. A row's result is the
    same bits whether the rows before it are in `frame` or in `before`.
    """
    seeds = frame.select(LOOKBACK_COLUMNS)
    skip = before.tail.height
    if skip:
        seeds = pl.concat([before.tail.select(LOOKBACK_COLUMNS), seeds])
    vwap = seeds["vwap"].forward_fill()
    time = times_us(seeds["datetime"])
    value = {name: floats(seeds[name]) for name in LOOKBACK_COLUMNS[1:]}
    close, volume, realized = value["close"], value["volume"], value["rv_std_sqrt60"]

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        oi_delta = _change(value["oi_open_interest"])
        oi_delta_usd = _change(value["oi_open_interest_usd"])
        traded = np.where(volume == 0.0, np.nan, volume)
        atr = rolling_mean(true_ranges(value["high"], value["low"], close), DAY_ROWS)
        columns = {
            "funding_delta": _change(value["funding_rate"]),
            "oi_delta": oi_delta,
            "oi_delta_over_volume": oi_delta / (traded + EPS),
            "oi_delta_usd": oi_delta_usd,
            "oi_delta_usd_over_quote_volume": oi_delta_usd / (close * traded + EPS),
            "rv_stability_24h": realized / (rolling_mean(realized, DAY_ROWS) + EPS),
            "turnover_ratio": ratio(volume, rolling_mean(volume, DAY_ROWS)),
            "price_efficiency": ratio(realized, ratio(atr, close)),
            "returns_1h": close / lag(close, 1) - 1.0,
            "returns_24h": close / lag(close, DAY_ROWS) - 1.0,
            "returns_168h": close / lag(close, WEEK_ROWS) - 1.0,
            "vol_regime": ratio(realized, rolling_mean(realized, WEEK_ROWS)),
        }
        spike = np.abs(np.log(close / lag(close, 1))) > MAX_LOG_CHANGE
    gap, resumed, cooling = gap_flags(time)
    columns["gap_seconds"] = gap
    columns["row_span_168h"] = row_span(time, WEEK_ROWS)
    volume_spike = volume_spikes(volume)

    own_volume = volume[skip:]
    all_volume = np.concatenate((before.volume, own_volume))
    columns = {name: array[skip:] for name, array in columns.items()}
    columns["hours_since_trade"] = hours_since_trade(time[skip:], own_volume, before.last_trade)
    columns["volume_clean_pit"] = np.minimum(
        own_volume, running_quantile99(all_volume)[before.rows :]
    )

    mature = np.arange(before.rows, before.rows + frame.height) >= MATURE_ROWS
    flags = {
        "under_maintenance": resumed[skip:],
        "cooldown_no_trade": cooling[skip:],
        "trade_allowed": ~cooling[skip:],
        "is_stable": ~cooling[skip:],
        "is_spike": spike[skip:],
        "is_volume_spike": volume_spike[skip:],
        "is_mature": mature,
    }
    flags["is_valid_for_training"] = _valid(flags, floats(frame["n_minutes_kept"]), own_volume)
    return frame.with_columns(
        vwap.slice(skip),
        *(nullable(name, array) for name, array in columns.items()),
        *(pl.Series(name, array) for name, array in flags.items()),
    )


def _change(values: Floats) -> Floats:
    return values - lag(values, 1)


def _valid(flags: dict[str, Bools], minutes_kept: Floats, volume: Floats) -> Bools:
    stops = (
        "cooldown_no_trade",
        "under_maintenance",
        "is_spike",
        "is_volume_spike",
    )
    valid = flags["trade_allowed"] & flags["is_mature"] & (minutes_kept >= MIN_MINUTES)
    valid &= volume > 0.0
    for name in stops:
        valid &= ~flags[name]
    return np.asarray(valid)


def with_volume_clean(table: pl.DataFrame) -> pl.DataFrame:
    """The table with volume_clean, the one column that needs all rows, later ones too."""
    limit = quantile99(floats(table["volume"]))
    clean = pl.min_horizontal(pl.col("volume"), pl.lit(limit))
    return table.with_columns(clean.alias("volume_clean"))
