"""A symbol's inputs and its own columns: the hour's statistics, joined with the other types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from alphaqcm.pipeline.domain.registry import METRICS
from alphaqcm.pipeline.domain.time import epoch_us
from alphaqcm.pipeline.features.columns import SYMBOL_COLUMNS, schema
from alphaqcm.pipeline.features.factors.funding import hourly_funding
from alphaqcm.pipeline.features.factors.hour.hour_statistics import hour_statistics
from alphaqcm.pipeline.features.factors.metrics import hourly_metrics
from alphaqcm.pipeline.features.factors.minutes import read_minutes
from alphaqcm.pipeline.features.factors.orderflow import MINUTE_PRICES, hourly_orderflow
from alphaqcm.pipeline.features.factors.rolling import Lookback, row_columns
from alphaqcm.pipeline.features.factors.segments import TIME
from alphaqcm.pipeline.reading.aggtrades.model import FLOW_SUMS

_CLOSES: dict[str, pl.DataType] = {"open_time": TIME, "close": pl.Float64()}
NEEDED: dict[str, dict[str, pl.DataType]] = {
    "klines": {"minute": TIME}
    | dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64()),
    "aggtrades": {"minute": TIME}
    | dict.fromkeys(FLOW_SUMS, pl.Float64())
    | dict.fromkeys(MINUTE_PRICES, pl.Float64()),
    "mark": _CLOSES,
    "index": _CLOSES,
    "premium": _CLOSES,
    "funding": {
        "calc_time": TIME,
        "funding_interval_hours": pl.Float64(),
        "last_funding_rate": pl.Float64(),
    },
    "metrics": {"known_time": TIME, "file_date": pl.Date()} | dict.fromkeys(METRICS, pl.Float64()),
}
"""What is read of each input, by the fields of `Inputs`."""


MinuteRows = pl.DataFrame | Iterable[pl.DataFrame]
"""Rows of minutes at once, or piece by piece where no hour has rows in two pieces (months)."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """A symbol's rows of each type as the month files have them, in any order; empty if none.

    klines: `minute`, open, high, low, close, volume; aggtrades: the 1m aggTrades layer; mark,
    index, premium: `open_time`, close; funding: `calc_time`, `funding_interval_hours`,
    `last_funding_rate`; metrics: `known_time`, `file_date` and the six values.
    """

    klines: MinuteRows
    aggtrades: MinuteRows
    mark: pl.DataFrame
    index: pl.DataFrame
    premium: pl.DataFrame
    funding: pl.DataFrame
    metrics: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Days:
    """The days of a run, both ends included, and the day from which rows are computed."""

    start: date
    end: date
    since: date


def own_columns(
    symbol: str, inputs: Inputs, days: Days, before: Lookback
) -> tuple[pl.DataFrame, str | None]:
    """`SYMBOL_COLUMNS` of the rows from `days.since` on, and the last hour that has metrics.

    `symbol` is the table's name. The rows are the same bits as those of a table computed from
    `days.start` on, provided `before` tells of its rows before and `inputs` hold the day before
    `days.since` too. volume_clean is null here: it needs all rows.
    """
    first, stop = epoch_us(days.since), epoch_us(days.end + timedelta(days=1))
    hours = _hourly(
        inputs.klines, "klines", lambda rows: hour_statistics(read_minutes(rows, first, stop))
    )
    settled = hourly_funding(inputs.funding, days.start, days.end)
    known = hourly_metrics(inputs.metrics, days.start, days.end)
    flow = _hourly(inputs.aggtrades, "aggtrades", hourly_orderflow)
    for side in (
        flow.rename({"minute": "datetime"} | {n: f"at_{n}" for n in flow.columns[1:]}),
        settled.select("datetime", *_funding_columns()),
        known.select(pl.col("create_time").alias("datetime"), *_metrics_columns()),
        _closes(inputs.mark, "triad_mark_close"),
        _closes(inputs.index, "triad_index_close"),
        _closes(inputs.premium, "triad_premium_close"),
    ):
        hours = hours.join(side, on="datetime", how="left", maintain_order="left")
    rows = row_columns(hours, before).with_columns(
        pl.lit(None, pl.Float64).alias("volume_clean"),
        pl.lit(symbol).alias("symbol"),
        _basis().alias("triad_basis"),
        (pl.col("datetime") + pl.duration(hours=1)).alias("bar_end_time"),
        (pl.col("datetime") + pl.duration(hours=1, milliseconds=1)).alias("feature_time"),
    )
    frame = rows.select(pl.col(name).cast(dtype) for name, dtype in schema(SYMBOL_COLUMNS).items())
    last_metrics = known["create_time"].max()
    return frame, None if last_metrics is None else str(last_metrics)


def _hourly(
    rows: MinuteRows, field: str, hours_of: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """Hours of each piece, one piece held at a time, in order of time."""
    pieces = [rows] if isinstance(rows, pl.DataFrame) else rows
    none = hours_of(pl.DataFrame(schema=NEEDED[field]))
    hours = pl.concat([none, *(hours_of(piece) for piece in pieces)])
    return hours.sort(hours.columns[0])


def moment(day: date) -> pl.Expr:
    """Midnight UTC of `day`, as a literal."""
    return pl.lit(day).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _funding_columns() -> list[pl.Expr]:
    interval = pl.col("funding_interval_hours")
    hours = pl.when(interval > 0).then(interval).otherwise(8.0)
    rate = pl.col("last_funding_rate") * 365.0 * 24.0 / hours
    annualized = pl.when(rate.is_finite()).then(rate).otherwise(None)
    return [
        pl.col("last_funding_rate").alias("funding_rate"),
        annualized.alias("funding_annualized"),
        (annualized.abs() > 0.30).alias("arb_pressure"),
    ]


def _metrics_columns() -> list[pl.Expr]:
    names = {
        "sum_open_interest": "oi_open_interest",
        "sum_open_interest_value": "oi_open_interest_usd",
        "sum_toptrader_long_short_ratio": "ls_toptrader_long_short_ratio",
        "sum_taker_long_short_vol_ratio": "ls_taker_long_short_vol_ratio",
    }
    return [pl.col(name).alias(alias) for name, alias in names.items()]


def _closes(bars: pl.DataFrame, name: str) -> pl.DataFrame:
    """Close by the hour of open_time; of several bars in an hour the last by open_time counts."""
    close = pl.col("close").cast(pl.Float64)
    return (
        bars.select(
            pl.col("open_time").cast(TIME),
            pl.when(close.is_finite()).then(close).otherwise(None).alias(name),
        )
        .drop_nulls("open_time")
        .sort("open_time", maintain_order=True)
        .select(pl.col("open_time").dt.truncate("1h").alias("datetime"), name)
        .unique("datetime", keep="last", maintain_order=True)
    )


def _basis() -> pl.Expr:
    index = pl.col("triad_index_close")
    basis = (pl.col("close") - index) / index
    return pl.when((index != 0) & basis.is_finite()).then(basis).otherwise(None)
