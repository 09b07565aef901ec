"""Candles compared: what differs, is missing or comes twice is found, and nothing else."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from alphaqcm.pipeline.candles.compare import (
    COLUMNS,
    compare_candles,
    default_max_ulp,
    ulp_distance,
)
from alphaqcm.pipeline.errors import TableError

START = datetime(2026, 3, 10, tzinfo=UTC)


def hours(symbols: tuple[str, ...] = ("AUSDT", "BUSDT"), count: int = 5) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    rows = len(symbols) * count
    return pl.DataFrame(
        {
            "symbol": [name for name in symbols for _ in range(count)],
            "candle_begin_time": [
                START + timedelta(hours=h) for _ in symbols for h in range(count)
            ],
            **{name: rng.random(rows) * 100 for name in COLUMNS if name != "trade_num"},
            "trade_num": rng.integers(0, 99, rows),
        },
        schema_overrides={"candle_begin_time": pl.Datetime("us", "UTC")},
    )


def changed(frame: pl.DataFrame, row: int, column: str, value: float) -> pl.DataFrame:
    index = pl.int_range(pl.len())
    return frame.with_columns(
        pl.when(index == row).then(value).otherwise(pl.col(column)).alias(column)
    )


def test_the_same_candles_are_equal_in_any_order() -> None:
    found = compare_candles(hours(), hours().reverse())
    assert found.rows == 10
    assert found.is_equal(0)


@pytest.mark.parametrize("column", ["open", "trade_num"])
def test_one_changed_price_or_count_is_found(column: str) -> None:
    value = 50.0 if column == "open" else 7
    found = compare_candles(changed(hours(), 3, column, value), hours())
    assert found.columns[column].unequal == 1
    assert not found.is_equal(10**18)


def test_a_sum_may_differ_by_as_many_ulp_as_allowed_and_no_more() -> None:
    volume = hours()["volume"][2]
    for _ in range(3):
        volume = math.nextafter(volume, math.inf)
    found = compare_candles(changed(hours(), 2, "volume", volume), hours())
    assert (found.columns["volume"].unequal, found.columns["volume"].max_ulp) == (1, 3)
    assert found.is_equal(3)
    assert not found.is_equal(2)


def test_the_relative_difference_is_of_the_reference() -> None:
    value = hours()["volume"][2] * 1.5
    found = compare_candles(changed(hours(), 2, "volume", value), hours())
    assert found.columns["volume"].max_relative == pytest.approx(0.5)


def test_a_row_missing_on_either_side_is_named() -> None:
    ours = compare_candles(hours()[1:], hours())
    assert ours.missing_ours == [("AUSDT", "2026-03-10T00:00:00Z")]
    assert ours.missing_reference == []
    theirs = compare_candles(hours(), hours()[:-1])
    assert theirs.missing_reference == [("BUSDT", "2026-03-10T04:00:00Z")]
    assert not ours.is_equal(0)
    assert not theirs.is_equal(0)


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_doubled_key_is_named_on_either_side(side: str) -> None:
    twice = pl.concat([hours(), hours()[2:3]])
    found = compare_candles(twice, hours()) if side == "ours" else compare_candles(hours(), twice)
    assert found.doubled == [("AUSDT", "2026-03-10T02:00:00Z")]
    assert not found.is_equal(0)


def test_a_value_beside_none_is_unequal_and_none_beside_none_is_not() -> None:
    holes = changed(hours(), 1, "volume", math.nan)
    assert compare_candles(holes, hours()).columns["volume"].max_relative == math.inf
    assert not compare_candles(holes, hours()).is_equal(10**18)
    assert compare_candles(holes, holes).is_equal(0)


def test_a_reference_without_a_zone_is_taken_as_utc() -> None:
    naive = hours().with_columns(pl.col("candle_begin_time").dt.replace_time_zone(None))
    assert compare_candles(hours(), naive.cast({"candle_begin_time": pl.Datetime("ms")})).is_equal(
        0
    )


def test_a_reference_without_a_column_is_a_clear_error() -> None:
    with pytest.raises(TableError, match="without volume"):
        compare_candles(hours(), hours().drop("volume"))


def test_ulps_are_counted_across_zero() -> None:
    tiny = np.array([5e-324, 0.0, -0.0, 1.0, -1.0, math.nan])
    other = np.array([-5e-324, -0.0, 5e-324, math.nextafter(1.0, 2), 1.0, 1.0])
    found = ulp_distance(tiny, other).tolist()
    assert found[:4] == [2, 0, 1, 1]
    assert found[4] > 2**60
    assert found[5] == 2**63 - 1


def test_more_candles_a_window_allow_more_ulp() -> None:
    assert [default_max_ulp(parts) for parts in (2, 8, 12, 60)] == [4, 4, 6, 30]
