"""Checks on the final table."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from alphaqcm.pipeline.checks.table import examine_table, table_findings
from alphaqcm.pipeline.domain.time import HOUR_US
from tests.helpers.check_frames import START, at, us


def table(rows: int = 100) -> pl.DataFrame:
    times = pl.datetime_range(
        START, START + timedelta(hours=rows - 1), "1h", time_unit="us", time_zone="UTC", eager=True
    )
    index = pl.int_range(rows, eager=True).cast(pl.Float64)
    one = pl.DataFrame({"datetime": times, "close": index, "flag": index * 0, "late": index})
    return pl.concat(
        one.select(pl.lit(name).alias("symbol"), pl.all())
        for name in ("A_USDT:USDT", "B_USDT:USDT")
    )


def told(frame: pl.DataFrame) -> set[tuple[str, str]]:
    facts = examine_table(frame.iter_slices(37))
    return {(f.check, f.found) for f in table_findings(facts, ["close", "late"], {"late": 10})}


def test_a_sound_table_gives_no_finding() -> None:
    assert told(table()) == set()


def test_infinite_empty_and_constant_columns_are_found() -> None:
    frame = table().with_columns(
        at(150, "close", float("inf")), pl.lit(None, pl.Float64).alias("late")
    )
    assert told(frame) == {
        ("column-infinite", "close: 1 infinite or NaN values"),
        ("column-all-null", "late: null in every row"),
    }
    assert told(table().with_columns(close=pl.lit(4.5))) == {
        ("column-constant", "close: 4.5 in every row")
    }


def test_a_column_is_not_called_empty_before_its_window_is_full() -> None:
    frame = table().with_columns(pl.lit(None, pl.Float64).alias("late"))
    facts = examine_table([frame])
    assert table_findings(facts, ["late"], {"late": 100}) == []


def test_rows_out_of_order_or_doubled_are_found_across_pieces() -> None:
    frame = table()
    assert told(pl.concat([frame.head(37), frame.slice(36)])) == {
        ("table-order", "1 row not above the one before")
    }


def test_first_and_last_value_of_a_column_are_those_of_the_symbol() -> None:
    frame = table().with_columns(
        pl.when(pl.col("close").is_between(20, 90)).then("late").alias("late")
    )
    facts = examine_table(frame.iter_slices(13))
    first, last = facts.symbols["B_USDT:USDT"].valid["late"]
    assert (first, last) == (us(START) + 20 * HOUR_US, us(START) + 90 * HOUR_US)
    assert facts.symbols["A_USDT:USDT"].nulls["late"] == 29
