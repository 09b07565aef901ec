"""What holds for every column at once: no look ahead, no dependence on order, threads or cuts."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.features.columns import COLUMNS, REGISTRY
from alphaqcm.pipeline.features.cross_section import cross_section
from alphaqcm.pipeline.features.factors.assemble import NEEDED, Days, Inputs, own_columns
from alphaqcm.pipeline.features.factors.rolling import Lookback, with_volume_clean
from alphaqcm.pipeline.tables.symbol_table import build_symbol_table
from alphaqcm.pipeline.tables.wide_table import wide_frames
from tests.conftest import PROJECT, SOAK
from tests.helpers import factor_data as data

SPAN = DateRange(date(2024, 2, 24), date(2024, 3, 4))
HOURS = 10 * 24
SYMBOLS = tuple(Symbol(Market.UM, name) for name in ("AAAUSDT", "BBBUSDT", "CCCUSDT"))
POINT_IN_TIME = tuple(name for name in COLUMNS if REGISTRY[name].point_in_time)
KNOWN_FROM = {
    "klines": "minute",
    "aggtrades": "minute",
    "mark": "open_time",
    "index": "open_time",
    "premium": "open_time",
    "funding": "calc_time",
    "metrics": "known_time",
}


class Part:
    """A symbol table in memory."""

    def __init__(self, symbol: str, frame: pl.DataFrame) -> None:
        self.symbol = symbol
        self.frame = frame

    def read(self, columns: list[str]) -> pl.DataFrame:
        return self.frame.select(columns)


def everything() -> dict[Symbol, Inputs]:
    """Three symbols, the last one listed late."""
    told = {symbol: data.inputs(SPAN, seed, odd=seed == 0) for seed, symbol in enumerate(SYMBOLS)}
    late = told[SYMBOLS[2]]
    listed = pl.col("minute") >= data.midnight(SPAN.start) + timedelta(days=6)
    told[SYMBOLS[2]] = changed(late, klines=late.klines.filter(listed))
    return told


def changed(old: Inputs, **fields: pl.DataFrame) -> Inputs:
    return Inputs(**({field: getattr(old, field) for field in NEEDED} | fields))


def cut(old: Inputs, moment: datetime) -> Inputs:
    """What was known before `moment`."""
    return Inputs(
        **{
            field: getattr(old, field).filter(pl.col(time) < moment)
            for field, time in KNOWN_FROM.items()
        }
    )


def wide(told: dict[Symbol, Inputs]) -> pl.DataFrame:
    parts = [
        Part(symbol.table, build_symbol_table(symbol, given, SPAN).frame)
        for symbol, given in told.items()
    ]
    return pl.concat([frame for _, frame in wide_frames(parts, cross_section(parts))])


def bits(frame: pl.DataFrame) -> str:
    """Digest of every bit of a frame."""
    stream = io.BytesIO()
    frame.rechunk().write_parquet(stream, compression="uncompressed", row_group_size=1 << 20)
    return hashlib.sha256(stream.getvalue()).hexdigest()


def changed_columns(whole: pl.DataFrame, early: pl.DataFrame, hour: datetime) -> set[str]:
    """Columns in which a row up to `hour` differs between the two tables."""
    before = pl.col("datetime") <= hour
    whole, early = whole.filter(before), early.filter(before)
    assert whole.height == early.height > 0
    return {name for name in whole.columns if bits(whole.select(name)) != bits(early.select(name))}


@pytest.fixture(scope="module")
def told() -> dict[Symbol, Inputs]:
    return everything()


@pytest.fixture(scope="module")
def whole(told: dict[Symbol, Inputs]) -> pl.DataFrame:
    return wide(told)


@pytest.mark.slow
@settings(max_examples=60 if SOAK else 15, deadline=None, derandomize=not SOAK)
@given(hour=st.integers(0, HOURS - 2))
def test_later_inputs_change_no_point_in_time_column(
    told: dict[Symbol, Inputs], whole: pl.DataFrame, hour: int
) -> None:
    start = data.midnight(SPAN.start) + timedelta(hours=hour)
    stop = start + timedelta(hours=1)
    early = wide({symbol: cut(given, stop) for symbol, given in told.items()})
    assert changed_columns(whole, early, start) & set(POINT_IN_TIME) == set()


def test_later_inputs_do_change_the_columns_said_to_look_ahead(
    told: dict[Symbol, Inputs], whole: pl.DataFrame
) -> None:
    start = data.midnight(SPAN.start) + timedelta(hours=100)
    stop = start + timedelta(hours=1)
    early = wide({symbol: cut(given, stop) for symbol, given in told.items()})
    assert changed_columns(whole, early, start) == set(COLUMNS) - set(POINT_IN_TIME)


@pytest.mark.parametrize(
    "leak",
    [
        pl.col("close").shift(-1).over("symbol"),
        pl.col("volume").max().over("symbol"),
        pl.col("funding_rate").backward_fill().over("symbol"),
    ],
)
def test_a_leaking_column_is_found(
    told: dict[Symbol, Inputs], whole: pl.DataFrame, leak: pl.Expr
) -> None:
    start = data.midnight(SPAN.start) + timedelta(hours=90)
    stop = start + timedelta(hours=1)
    early = wide({symbol: cut(given, stop) for symbol, given in told.items()})
    leaking = leak.alias("leak")
    found = changed_columns(whole.with_columns(leaking), early.with_columns(leaking), start)
    assert "leak" in found


def test_rows_in_any_order_and_repeated_give_the_same_bits(told: dict[Symbol, Inputs]) -> None:
    given = told[SYMBOLS[0]]
    shuffled = {}
    for seed, field in enumerate(NEEDED):
        frame = getattr(given, field)
        again = frame.sample(fraction=0.2, seed=seed)
        shuffled[field] = pl.concat([frame, again]).sample(fraction=1, shuffle=True, seed=seed)
    wanted = build_symbol_table(SYMBOLS[0], given, SPAN)
    found = build_symbol_table(SYMBOLS[0], Inputs(**shuffled), SPAN)
    assert bits(found.frame) == bits(wanted.frame)


def test_months_in_any_order_and_chunks_of_any_size_give_the_same_bits(
    told: dict[Symbol, Inputs],
) -> None:
    given = told[SYMBOLS[0]]
    split = {}
    for field, time in KNOWN_FROM.items():
        frame = getattr(given, field).with_columns(pl.col(time).dt.month().alias("month"))
        months = frame.partition_by("month", include_key=False)
        pieces = [piece for month in reversed(months) for piece in month.iter_slices(77)]
        split[field] = pl.concat(pieces, rechunk=False)
    assert split["klines"].n_chunks() > 10
    wanted = build_symbol_table(SYMBOLS[0], given, SPAN)
    assert bits(build_symbol_table(SYMBOLS[0], Inputs(**split), SPAN).frame) == bits(wanted.frame)


@pytest.mark.process
@pytest.mark.parametrize("threads", ["1", "3"])
def test_any_number_of_threads_gives_the_same_bits(whole: pl.DataFrame, threads: str) -> None:
    code = (
        "from tests.pipeline.features.test_factors_properties import bits, everything, wide;"
        "print(bits(wide(everything())))"
    )
    variables = ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | dict.fromkeys(variables, threads),
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == bits(whole)


def grown(old: pl.DataFrame, given: Inputs, span: DateRange, since: date) -> pl.DataFrame:
    """The table of `span`, with the rows before `since` taken from `old`."""
    kept = old.filter(pl.col("datetime") < data.midnight(since))
    before = Lookback.of(kept)
    days = Days(span.start, span.end, since)
    rows, _ = own_columns(SYMBOLS[0].table, needed_from(given, since), days, before)
    return with_volume_clean(pl.concat([kept, rows]))


@pytest.mark.slow
@settings(max_examples=40 if SOAK else 8, deadline=None, derandomize=not SOAK)
@given(days=st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True).map(sorted))
def test_a_table_that_grew_by_days_equals_one_built_at_once(
    told: dict[Symbol, Inputs], days: list[int]
) -> None:
    symbol = SYMBOLS[0]
    ends = [SPAN.start + timedelta(days=day - 1) for day in days] + [SPAN.end]
    first = known_on(told[symbol], ends[0])
    table = build_symbol_table(symbol, first, DateRange(SPAN.start, ends[0])).frame
    for before, end in pairwise(ends):
        span = DateRange(SPAN.start, end)
        table = grown(table, known_on(told[symbol], end), span, before + timedelta(days=1))
    assert bits(table) == bits(build_symbol_table(symbol, told[symbol], SPAN).frame)


def known_on(given: Inputs, day: date) -> Inputs:
    """The files up to `day`: their last metrics row is known on the day after."""
    early = cut(given, data.midnight(day) + timedelta(days=1))
    return changed(early, metrics=given.metrics.filter(pl.col("file_date") <= day))


def needed_from(given: Inputs, since: date) -> Inputs:
    """Nothing from before the day that lies before `since`: what an update reads at least."""
    first = data.midnight(since) - timedelta(days=1)
    return Inputs(
        **{
            field: getattr(given, field).filter(pl.col(time) >= first)
            for field, time in KNOWN_FROM.items()
        }
    )


def test_a_table_grows_over_hundreds_of_rows() -> None:
    """Longer than every window, so that the windows of the new rows end in old ones."""
    span = DateRange(date(2024, 1, 1), date(2024, 1, 24))
    given = data.inputs(span, 5, odd=False)
    since = date(2024, 1, 20)
    early = DateRange(span.start, since - timedelta(days=1))
    old = build_symbol_table(SYMBOLS[0], given, early).frame
    found = grown(old, given, span, since)
    assert bits(found) == bits(build_symbol_table(SYMBOLS[0], given, span).frame)


def test_a_table_grows_long_after_the_last_trade() -> None:
    """The last trade lies before every row that the windows of new rows look at."""
    span = DateRange(date(2024, 1, 1), date(2024, 1, 20))
    given = data.inputs(span, 6, odd=False)
    last_trade = data.midnight(span.start) + timedelta(hours=30)
    quiet = given.klines.with_columns(
        pl.when(pl.col("minute") < last_trade + timedelta(hours=1))
        .then("volume")
        .otherwise(0.0)
        .alias("volume")
    )
    given = changed(given, klines=quiet)
    since = date(2024, 1, 18)
    early = DateRange(span.start, since - timedelta(days=1))
    old = build_symbol_table(SYMBOLS[0], given, early).frame
    whole = build_symbol_table(SYMBOLS[0], given, span).frame
    found = grown(old, given, span, since)
    assert bits(found) == bits(whole)
    hours = (whole["datetime"] - last_trade).dt.total_hours()
    assert whole["hours_since_trade"].equals(hours.clip(0).cast(pl.Int32))


def test_nothing_is_said_of_the_last_trade_before_the_first_one() -> None:
    """Not while a listed contract waits for its first trade, and not in a table grown then."""
    span = DateRange(date(2024, 1, 1), date(2024, 1, 3))
    bars = data.klines(span, 7, odd=False)
    first_trade = data.midnight(date(2024, 1, 3)) + timedelta(hours=5)
    traded = pl.col("minute") >= first_trade
    volume = pl.when(traded).then(pl.col("volume") + 1).otherwise(0.0)
    given = data.only_klines(bars.with_columns(volume.alias("volume")))
    since = date(2024, 1, 2)
    old = build_symbol_table(SYMBOLS[0], given, DateRange(span.start, span.start)).frame
    found = grown(old, given, span, since)
    assert found["hours_since_trade"].to_list() == [None] * 53 + [0] * 19
    assert found["n_minutes_traded"].to_list() == [0] * 53 + [60] * 19


def test_no_value_is_nan_or_infinite(whole: pl.DataFrame) -> None:
    numbers = whole.select(pl.col(pl.Float64))
    assert numbers.width > 100
    assert all(np.isfinite(column.drop_nulls().to_numpy()).all() for column in numbers)
