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


@dataclass(frozen=True, slots=True)
class RowWindows:
    """What the columns over earlier rows are computed from: arrays of shape (rows,).

    The rows are those of one symbol (a table), or one row each of many (live).
    """

    close: Floats
    close_before: Floats  # of the row before
    close_day: Floats  # 24 rows earlier
    close_week: Floats  # 168 rows earlier
    volume: Floats
    volume_day: Floats  # mean over the last 24 rows
    realized: Floats  # rv_std_sqrt60
    realized_day: Floats
    realized_week: Floats
    true_range: Floats  # mean over the last 24 rows

    def columns(self) -> dict[str, Floats]:
        """The wide table's columns; what is undefined is no finite number."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return {
                "rv_stability_24h": self.realized / (self.realized_day + EPS),
                "turnover_ratio": ratio(self.volume, self.volume_day),
                "price_efficiency": ratio(self.realized, ratio(self.true_range, self.close)),
                "returns_1h": self.close / self.close_before - 1.0,
                "returns_24h": self.close / self.close_day - 1.0,
                "returns_168h": self.close / self.close_week - 1.0,
                "vol_regime": ratio(self.realized, self.realized_week),
            }

    def spike(self) -> Bools:
        """Whether the close moved by more than `MAX_LOG_CHANGE` since the row before."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(np.abs(np.log(self.close / self.close_before)) > MAX_LOG_CHANGE)


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
        deltas = {
            "funding_delta": _change(value["funding_rate"]),
            "oi_delta": oi_delta,
            "oi_delta_over_volume": oi_delta / (traded + EPS),
            "oi_delta_usd": oi_delta_usd,
            "oi_delta_usd_over_quote_volume": oi_delta_usd / (close * traded + EPS),
        }
    windows = RowWindows(
        close=close,
        close_before=lag(close, 1),
        close_day=lag(close, DAY_ROWS),
        close_week=lag(close, WEEK_ROWS),
        volume=volume,
        volume_day=rolling_mean(volume, DAY_ROWS),
        realized=realized,
        realized_day=rolling_mean(realized, DAY_ROWS),
        realized_week=rolling_mean(realized, WEEK_ROWS),
        true_range=rolling_mean(true_ranges(value["high"], value["low"], close), DAY_ROWS),
    )
    columns = deltas | windows.columns()
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

    flags = row_flags(
        resumed=resumed[skip:],
        cooling=cooling[skip:],
        spike=windows.spike()[skip:],
        volume_spike=volume_spike[skip:],
        mature=np.arange(before.rows, before.rows + frame.height) >= MATURE_ROWS,
        minutes_kept=floats(frame["n_minutes_kept"]),
        volume=own_volume,
    )
    return frame.with_columns(
        vwap.slice(skip),
        *(nullable(name, array) for name, array in columns.items()),
        *(pl.Series(name, array) for name, array in flags.items()),
    )


def _change(values: Floats) -> Floats:
    return values - lag(values, 1)


def row_flags(
    *,
    resumed: Bools,
    cooling: Bools,
    spike: Bools,
    volume_spike: Bools,
    mature: Bools,
    minutes_kept: Floats,
    volume: Floats,
) -> dict[str, Bools]:
    """The quality flags of each row from what is known of it."""
    valid = ~cooling & mature & (minutes_kept >= MIN_MINUTES) & (volume > 0.0)
    valid &= ~resumed & ~spike & ~volume_spike
    return {
        "under_maintenance": resumed,
        "cooldown_no_trade": cooling,
        "trade_allowed": ~cooling,
        "is_stable": ~cooling,
        "is_spike": spike,
        "is_volume_spike": volume_spike,
        "is_mature": mature,
        "is_valid_for_training": np.asarray(valid),
    }


def with_volume_clean(table: pl.DataFrame) -> pl.DataFrame:
    """The table with volume_clean, the one column that needs all rows, later ones too."""
    limit = quantile99(floats(table["volume"]))
    clean = pl.min_horizontal(pl.col("volume"), pl.lit(limit))
    return table.with_columns(clean.alias("volume_clean"))
