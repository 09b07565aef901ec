"""Checks of one source against another: trades and klines, hours and minutes, mark prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from alphaqcm.pipeline.checks import cross
from alphaqcm.pipeline.checks.bars.examine import MonthOf
from alphaqcm.pipeline.checks.reconcile import reconcile_month, reconciliation_findings
from alphaqcm.pipeline.domain.time import HOUR_US
from tests.helpers.check_frames import MONTH, START, minutes, trades_of, us


def test_equal_trades_reconcile_exactly() -> None:
    klines = minutes(1440)
    kept = reconcile_month(trades_of(klines), klines)
    assert (kept["hours"], kept["exact"], kept["mismatched"]) == (24, 24, 0)
    assert reconciliation_findings("X", [(kept, ())]) == []


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("base_volume", "volume"),
        ("quote_volume", "quote_volume"),
        ("taker_buy_qty", "taker_buy_volume"),
        ("taker_buy_quote", "taker_buy_quote_volume"),
        ("raw_trade_count", "count"),
        ("price_first", "open"),
        ("price_high", "high"),
        ("price_low", "low"),
        ("price_last", "close"),
    ],
)
def test_every_quantity_that_differs_is_named_with_its_hour(column: str, field: str) -> None:
    klines = minutes(1440)
    hour = pl.col("minute").dt.hour() == 7
    changed = trades_of(klines).with_columns(
        pl.when(hour).then(pl.col(column) * 2).otherwise(column).alias(column)
    )
    kept = reconcile_month(changed, klines)
    assert list(kept["fields"]) == [field]
    assert kept["spans"] == [[us(START) + 7 * HOUR_US, us(START) + 8 * HOUR_US]]


def test_a_difference_in_the_last_digits_is_rounding() -> None:
    klines = minutes(120)
    almost = trades_of(klines).with_columns(pl.col("quote_volume") * (1 + 1e-12))
    kept = reconcile_month(almost, klines)
    assert (kept["exact"], kept["rounding"], kept["mismatched"]) == (0, 2, 0)


def test_hours_that_one_side_lacks_are_told() -> None:
    klines = minutes(1440)
    kept = reconcile_month(trades_of(klines).filter(pl.col("minute").dt.hour() != 3), klines)
    [finding] = reconciliation_findings("X", [(kept, ())])
    assert (finding.check, str(finding.period)) == ("aggtrades-hours-missing", "2024-02-01 03:00")


def test_minutes_without_trades_need_no_aggtrades() -> None:
    klines = minutes(120)
    quiet = klines.with_columns(
        pl.when(pl.col("minute").dt.minute() < 30).then(0).otherwise(n).alias(n)
        for n in ("volume", "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume")
    )
    kept = reconcile_month(trades_of(quiet.filter(pl.col("count") > 0)), quiet)
    assert kept["exact"] == 2


def coin_margined(klines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Klines of contracts of 100 USD, and their trades: coins in quote_volume, to 8 decimals."""
    coins = [
        (pl.col(contracts) * 100 / pl.col("close")).round(8).alias(name)
        for contracts, name in (
            ("volume", "quote_volume"),
            ("taker_buy_volume", "taker_buy_quote_volume"),
        )
    ]
    told = klines.with_columns(coins)
    trades = trades_of(klines).with_columns(
        base_volume=klines["volume"] * 100 / klines["close"],
        quote_volume=klines["volume"] * 100,
        taker_buy_qty=klines["taker_buy_volume"] * 100 / klines["close"],
        taker_buy_quote=klines["taker_buy_volume"] * 100,
    )
    return trades, told


def test_coin_margined_trades_reconcile_in_contracts_and_coins() -> None:
    kept = reconcile_month(*coin_margined(minutes(120)), contract=100.0)
    assert (kept["hours"], kept["mismatched"], kept["fields"]) == (2, 0, {})


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("quote_volume", "volume"),
        ("taker_buy_quote", "taker_buy_volume"),
        ("base_volume", "quote_volume"),
        ("taker_buy_qty", "taker_buy_quote_volume"),
    ],
)
def test_a_coin_margined_amount_that_differs_is_named(column: str, field: str) -> None:
    trades, klines = coin_margined(minutes(120))
    late = pl.col("minute").dt.hour() == 1
    changed = trades.with_columns(
        pl.when(late).then(pl.col(column) * 1.001).otherwise(column).alias(column)
    )
    kept = reconcile_month(changed, klines, contract=100.0)
    assert list(kept["fields"]) == [field]
    assert kept["mismatched"] == 1


def test_a_mark_price_far_from_the_last_price_is_found() -> None:
    hours = cross.hours_of_minutes(minutes(240))
    mark = hours.select(
        pl.from_epoch("hour", time_unit="us").dt.replace_time_zone("UTC").alias("open_time"),
        pl.when(pl.int_range(pl.len()) == 2)
        .then(pl.col("close") * 1.2)
        .otherwise("close")
        .alias("close"),
    )
    view = cross.examine_cross(hours, None, {"markPriceKlines:1h": mark})
    [finding] = cross.cross_findings("X", MonthOf(MONTH, view, ()))
    assert (finding.check, str(finding.period)) == ("price-divergence", "2024-02-01 02:00")
    assert "+20.0%" in finding.found


def test_a_bar_off_the_hour_is_compared_with_no_hour() -> None:
    hours = cross.hours_of_minutes(minutes(120))
    start = datetime(2024, 2, 1, tzinfo=UTC)
    close = hours["close"].to_list()
    moments = [start, start + timedelta(minutes=30), start + timedelta(hours=1)]
    mark = pl.DataFrame({"open_time": moments, "close": [close[0], close[0] * 3, close[1]]})
    mark = mark.cast({"open_time": pl.Datetime("us", "UTC")})
    assert cross.examine_cross(hours, None, {"markPriceKlines:1h": mark}) == {}


def test_a_last_price_of_zero_is_far_from_any_mark_price() -> None:
    hours = cross.hours_of_minutes(minutes(60))
    mark = hours.select(
        pl.from_epoch("hour", time_unit="us").dt.replace_time_zone("UTC").alias("open_time"),
        "close",
    )
    worthless = hours.with_columns(pl.lit(0.0).alias("close"))
    view = cross.examine_cross(worthless, None, {"markPriceKlines:1h": mark})
    [finding] = cross.cross_findings("X", MonthOf(MONTH, view, ()))
    assert finding.check == "price-divergence"
