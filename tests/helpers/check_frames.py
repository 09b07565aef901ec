"""Frames of bars and trades that the tests of the checks plant their defects in."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from alphaqcm.pipeline.checks.finding import TimeRange
from alphaqcm.pipeline.domain.time import epoch_us

MINUTE = 60_000_000
KEY = "data/futures/um/monthly/klines/XUSDT/1m/XUSDT-1m-2024-02.zip"
START = datetime(2024, 2, 1, tzinfo=UTC)
MONTH = TimeRange(epoch_us(date(2024, 2, 1)), epoch_us(date(2024, 3, 1)))


def us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def minutes(count: int, start: datetime = START) -> pl.DataFrame:
    """Bars of a price that moves a little every minute."""
    last = start + timedelta(minutes=count - 1)
    index = pl.int_range(count, eager=True)
    close = 100 + (index % 7) / 10
    return pl.DataFrame(
        {
            "minute": pl.datetime_range(
                start, last, "1m", time_unit="us", time_zone="UTC", eager=True
            ),
            "open": close - 0.05,
            "high": close + 0.1,
            "low": close - 0.1,
            "close": close,
            "volume": 1.0 + (index % 5),
            "quote_volume": (1.0 + (index % 5)) * 100,
            "count": 3 + index % 4,
            "taker_buy_volume": 0.5 + (index % 5) / 2,
            "taker_buy_quote_volume": (0.5 + (index % 5) / 2) * 100,
        }
    )


def trades_of(klines: pl.DataFrame) -> pl.DataFrame:
    """The aggTrades layer's columns that tell the same trades."""
    return klines.select(
        "minute",
        pl.col("volume").alias("base_volume"),
        "quote_volume",
        pl.col("taker_buy_volume").alias("taker_buy_qty"),
        pl.col("taker_buy_quote_volume").alias("taker_buy_quote"),
        pl.col("count").alias("raw_trade_count"),
        pl.col("open").alias("price_first"),
        pl.col("high").alias("price_high"),
        pl.col("low").alias("price_low"),
        pl.col("close").alias("price_last"),
    )


def at(row: int, name: str, value: float) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()) == row).then(value).otherwise(name).alias(name)
