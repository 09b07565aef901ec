"""Windows of candles: equal to a plain loop to the bit, for every interval, offset and hole."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphaqcm.pipeline.candles.fold import (
    CANDLE_FOLDS,
    FLOW_FOLDS,
    Fold,
    fold_offsets,
    fold_windows,
)
from alphaqcm.pipeline.candles.fold_frame import CandleFrame, fold_frame, fold_frame_offsets
from alphaqcm.pipeline.candles.window_grid import MINUTE_US, WindowGrid, interval_us
from alphaqcm.pipeline.candles.window_state import WindowState
from alphaqcm.pipeline.errors import BadName, TableError

START = datetime(2024, 3, 7, 22, 0, tzinfo=UTC)  # a Thursday
UTC_US = pl.Datetime("us", "UTC")


def candles(
    minutes: list[int], part: int = 1, seed: int = 7, start: datetime = START
) -> pl.DataFrame:
    """Candles of `part` minutes at the given numbers after `start`."""
    random = np.random.default_rng(seed)
    rows = len(minutes)
    close = 100 + random.normal(0, 1, rows).cumsum()
    return pl.DataFrame(
        {
            "minute": pl.Series(
                [start + timedelta(minutes=number * part) for number in minutes], dtype=UTC_US
            ),
            "open": close + random.normal(0, 0.1, rows),
            "high": close + random.uniform(0.1, 1, rows),
            "low": close - random.uniform(0.1, 1, rows),
            "close": close,
            "volume": random.lognormal(0, 3, rows),
            "quote_volume": random.lognormal(4, 3, rows),
            "count": random.integers(0, 900, rows),
        },
        schema_overrides={"count": pl.Int64},
    )


def by_hand(frame: pl.DataFrame, part: int, window: int, offset: int, partial: bool) -> list[dict]:
    """The same windows by a plain loop over minutes; nothing of the code under test in it."""
    monday = datetime(1970, 1, 5, tzinfo=UTC)
    origin = monday if window == 10_080 else datetime(1970, 1, 1, tzinfo=UTC)
    origin += timedelta(minutes=offset)
    held: dict[datetime, list[dict]] = {}
    for row in frame.iter_rows(named=True):
        number = (row["minute"] - origin) // timedelta(minutes=window)
        held.setdefault(origin + number * timedelta(minutes=window), []).append(row)
    known = frame["minute"].max() + timedelta(minutes=part) if frame.height else None
    out = []
    for begin, rows in held.items():
        if begin + timedelta(minutes=window) > known:
            continue
        if not partial and len(rows) < window // part:
            continue
        sums = {}
        for name in ("volume", "quote_volume", "count"):
            total = rows[0][name]
            for row in rows[1:]:
                total = total + row[name]
            sums[name] = total
        bar = {
            "minute": begin,
            "open": rows[0]["open"],
            "high": max(row["high"] for row in rows),
            "low": min(row["low"] for row in rows),
            "close": rows[-1]["close"],
            **sums,
        }
        out.append({**bar, "n_minutes": len(rows)} if partial else bar)
    return out


def same_bits(found: pl.DataFrame, expected: list[dict]) -> None:
    assert found.to_dicts() == expected  # == of floats: no tolerance, and no zero has a sign here


GRIDS = st.sampled_from(
    [
        (1, 5),
        (1, 15),
        (1, 60),
        (5, 60),
        (5, 15),
        (1, 7),
        (60, 240),
        (60, 1440),
        (1440, 10_080),
        (5, 5),
    ]
)


@st.composite
def holed(draw: st.DrawFn) -> tuple[pl.DataFrame, int, int, int]:
    part, window = draw(GRIDS)
    k = window // part
    offset = draw(st.integers(0, k - 1)) * part
    length = draw(st.integers(1, max(4 * k + 3, 40)))
    missing = draw(st.sets(st.integers(0, length - 1), max_size=min(length - 1, 12)))
    jump = draw(st.integers(0, 3 * k))  # a hole of whole windows
    numbers = [n if n < length // 2 else n + jump for n in range(length) if n not in missing]
    start = START if part < 60 else datetime(2024, 3, 7, tzinfo=UTC)
    return candles(numbers, part, draw(st.integers(0, 999)), start), part, window, offset


@pytest.mark.parametrize("holes", ["strict", "partial"])
@settings(max_examples=150, deadline=None, print_blob=True)
@given(case=holed())
def test_windows_are_those_of_a_plain_loop(
    holes: str, case: tuple[pl.DataFrame, int, int, int]
) -> None:
    frame, part, window, offset = case
    grid = WindowGrid(part * MINUTE_US, window * MINUTE_US, offset * MINUTE_US)
    found = fold_frame(frame, grid, holes)
    same_bits(found, by_hand(frame, part, window, offset, holes == "partial"))


@pytest.mark.parametrize("holes", ["strict", "partial"])
@settings(max_examples=100, deadline=None, print_blob=True)
@given(case=holed())
def test_windows_pushed_part_by_part_have_the_same_bits(
    holes: str, case: tuple[pl.DataFrame, int, int, int]
) -> None:
    frame, part, window, offset = case
    grid = WindowGrid(part * MINUTE_US, window * MINUTE_US, offset * MINUTE_US)
    names = frame.columns[1:]
    state = WindowState(grid, {name: CANDLE_FOLDS[name] for name in names}, holes)
    online = [
        done
        for time, *values in frame.with_columns(pl.col("minute").dt.epoch("us")).iter_rows()
        for done in state.push(time, values)
    ]
    batch = fold_frame(frame, grid, holes)
    assert [done.start_us for done in online] == batch["minute"].dt.epoch("us").to_list()
    assert [list(done.values.values()) for done in online] == [
        list(row) for row in batch.select(names).iter_rows()
    ]
    if holes == "partial":
        assert [done.parts for done in online] == batch["n_minutes"].to_list()


@settings(max_examples=60, deadline=None, print_blob=True)
@given(case=holed())
def test_all_offsets_in_one_go_are_each_offset_alone(
    case: tuple[pl.DataFrame, int, int, int],
) -> None:
    frame, part, window, _ = case
    texts = f"{part}m", "1w" if window == 10_080 else f"{window}m"
    every = fold_frame_offsets(frame, *texts)
    assert len(every) == window // part
    for offset, found in every.items():
        assert found.equals(fold_frame(frame, WindowGrid.of(*texts, offset)))


def test_a_long_frame_is_its_symbols_one_by_one() -> None:
    one, two = candles(list(range(7, 300)), seed=1), candles(list(range(3, 250)), seed=2)
    long = pl.concat(
        [one.with_columns(symbol=pl.lit("AUSDT")), two.with_columns(symbol=pl.lit("BUSDT"))]
    )
    grid = WindowGrid.of("1m", "1h", "25m")
    layout = CandleFrame(symbol="symbol")
    until = START + timedelta(days=1)
    for holes in ("strict", "partial"):
        found = fold_frame(long, grid, holes, until=until, layout=layout)
        alone = [fold_frame(frame, grid, holes, until=until) for frame in (one, two)]
        assert found.drop("symbol").equals(pl.concat(alone))
        assert found["symbol"].to_list() == ["AUSDT"] * alone[0].height + ["BUSDT"] * (
            alone[1].height
        )
    offsets = fold_frame_offsets(long, "1m", "1h", until=until, layout=layout)
    assert offsets["25m"].equals(fold_frame(long, grid, until=until, layout=layout))


def test_sums_add_from_the_left() -> None:
    values = np.array([1e16, 1.0, 1.0, 1.0, -1e16, 1.0])
    folded = fold_windows({"volume": values}, 6)
    total = 0.0
    for value in values:
        total += value
    assert folded.columns["volume"][0] == total != math.fsum(values)


def test_weeks_start_on_monday() -> None:
    frame = candles(list(range(24 * 20)), 60)
    found = fold_frame(frame, WindowGrid.of("1h", "1w"))
    assert found["minute"].to_list() == [
        datetime(2024, 3, 11, tzinfo=UTC),
        datetime(2024, 3, 18, tzinfo=UTC),
    ]


def test_an_unfinished_last_window_is_never_served() -> None:
    frame = candles(list(range(90)))
    grid = WindowGrid.of("1m", "1h")
    hours = [START, START + timedelta(hours=1)]
    assert fold_frame(frame, grid, "partial")["minute"].to_list() == hours[:1]
    late = fold_frame(frame, grid, "partial", until=START + timedelta(hours=2))
    assert late["n_minutes"].to_list() == [60, 30]
    early = fold_frame(frame, grid, "partial", until=START + timedelta(minutes=59))
    assert early.is_empty()
    assert fold_frame(frame, grid, until=START + timedelta(minutes=59)).is_empty()


def test_the_clock_closes_a_partial_window_online() -> None:
    grid = WindowGrid.of("1m", "1h")
    state = WindowState(grid, {"volume": Fold.SUM}, "partial")
    begin = int(START.timestamp()) * 1_000_000
    assert state.push(begin + 5 * MINUTE_US, [2.0]) == []
    assert state.close(begin + 59 * MINUTE_US) == []
    (done,) = state.close(begin + 60 * MINUTE_US)
    assert (done.start_us, done.parts, done.values) == (begin, 1, {"volume": 2.0})
    with pytest.raises(TableError, match="in order of time, once"):
        state.push(begin + 6 * MINUTE_US, [1.0])


def test_a_part_pushed_twice_is_refused() -> None:
    state = WindowState(WindowGrid.of("1m", "5m"), {"volume": Fold.SUM})
    state.push(0, [1.0])
    with pytest.raises(TableError, match="once"):
        state.push(0, [1.0])


def test_a_missing_value_makes_the_window_s_value_missing() -> None:
    frame = candles(list(range(10))).with_columns(
        volume=pl.when(pl.int_range(10) == 7).then(None).otherwise(pl.col("volume")),
        count=pl.when(pl.int_range(10) == 2).then(None).otherwise(pl.col("count")),
        close=pl.when(pl.int_range(10) == 3).then(None).otherwise(pl.col("close")),
    )
    grid = WindowGrid.of("1m", "5m")
    found = fold_frame(frame, grid)
    assert found["volume"].is_null().to_list() == [False, True]
    assert found["count"].is_null().to_list() == [True, False]
    assert found["count"].dtype == pl.Int64
    assert found["close"].null_count() == 0  # only the last part's close is looked at
    state = WindowState(grid, {name: CANDLE_FOLDS[name] for name in frame.columns[1:]})
    rows = frame.with_columns(pl.col("minute").dt.epoch("us")).iter_rows()
    online = [done for time, *values in rows for done in state.push(time, values)]
    assert [tuple(done.values.values()) for done in online] == found.drop("minute").rows()


def test_the_last_known_value_passes_over_missing_ones() -> None:
    frame = (
        candles(list(range(10)))
        .select("minute")
        .with_columns(
            funding_rate=pl.Series([None, 1e-4, None, 2e-4, None] + [None] * 5, dtype=pl.Float64),
            funding_time=pl.Series([None, START, None, None, None] + [None] * 5, dtype=UTC_US),
        )
    )
    folds = {"funding_rate": Fold.LAST_KNOWN, "funding_time": Fold.LAST_KNOWN}
    found = fold_frame(frame, WindowGrid.of("1m", "5m"), layout=CandleFrame(folds=folds))
    assert found["funding_rate"].to_list() == [2e-4, None]
    assert found["funding_time"].to_list() == [START, None]


def test_order_flow_minutes_are_folded() -> None:
    frame = pl.DataFrame(
        {
            "minute": pl.Series([START, START + timedelta(minutes=2)], dtype=UTC_US),
            "trade_count": [3, 4],
            "taker_buy_quote": [0.1, 0.2],
            "first_ts": pl.Series([START, START + timedelta(minutes=2)], dtype=UTC_US),
            "price_first": [10.0, 11.0],
            "last_ts": pl.Series([START, START + timedelta(seconds=130)], dtype=UTC_US),
            "price_last": [10.5, 11.5],
            "price_high": [12.0, 11.6],
            "price_low": [9.0, 10.9],
            "first_agg_trade_id": [7, 20],
            "last_agg_trade_id": [9, 26],
            "raw_trade_count": [5, 6],
        }
    )
    found = fold_frame(
        frame,
        WindowGrid.of("1m", "5m"),
        "partial",
        until=START + timedelta(minutes=5),
        layout=CandleFrame(folds=FLOW_FOLDS),
    )
    (row,) = found.rows()
    prices = (10.0, START + timedelta(seconds=130), 11.5, 12.0, 9.0)
    assert row == (START, 7, 0.1 + 0.2, START, *prices, 7, 26, 11, 2)
    assert found.schema["first_ts"] == UTC_US


def test_extremes_of_both_zeros_are_plain_zero() -> None:
    values = np.array([-0.0, 0.0, -0.0, -0.0])
    for k in (2, 4):
        for folded in (fold_windows({"high": values}, k), fold_offsets({"high": values}, k)[0]):
            assert not np.signbit(folded.columns["high"]).any()
    state = WindowState(WindowGrid.of("1m", "2m"), {"high": Fold.MAX})
    state.push(0, [0.0])
    assert math.copysign(1, state.push(MINUTE_US, [-0.0])[0].values["high"] or 0.0) == 1


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (candles([0, 2, 1]), "order of time"),
        (candles([0, 1, 1]), "order of time"),
        (candles([0, 1], start=START + timedelta(seconds=1)), "whole multiples"),
        (candles([0, 1]).with_columns(vwap=pl.lit(1.0)), "windows of vwap"),
        (candles([0, 1]).with_columns(volume=pl.lit("x")), "numbers"),
        (candles([0, 1]).drop("minute"), "minute"),
    ],
)
def test_candles_that_cannot_be_folded_are_refused(frame: pl.DataFrame, told: str) -> None:
    with pytest.raises(TableError, match=told):
        fold_frame(frame, WindowGrid.of("1m", "5m"))


def test_symbols_mixed_in_a_long_frame_are_refused() -> None:
    frame = candles([0, 1, 2]).with_columns(symbol=pl.Series(["A", "B", "A"]))
    with pytest.raises(TableError, match="mixed"):
        fold_frame(frame, WindowGrid.of("1m", "5m"), layout=CandleFrame(symbol="symbol"))


@pytest.mark.parametrize("text", ["", "0m", "1s", "1M", "2d", "2w", "25h", "5", "m5", "-5m", "٥m"])
def test_other_intervals_are_refused(text: str) -> None:
    with pytest.raises(BadName):
        interval_us(text)


@pytest.mark.parametrize(
    ("part", "window", "offset"),
    [
        ("5m", "12m", "0m"),
        ("5m", "1h", "3m"),
        ("5m", "1h", "1h"),
        ("1h", "5m", "0m"),
        ("1m", "1h", "x"),
    ],
)
def test_windows_that_their_parts_do_not_fill_are_refused(
    part: str, window: str, offset: str
) -> None:
    with pytest.raises(BadName):
        WindowGrid.of(part, window, offset)


def test_a_window_of_no_part_is_refused() -> None:
    for fold in (fold_windows, fold_offsets):
        with pytest.raises(TableError, match="one part or more"):
            fold({"volume": np.ones(3)}, 0)


def test_no_candles_make_no_windows() -> None:
    frame = candles([])
    for holes in ("strict", "partial"):
        found = fold_frame(frame, WindowGrid.of("1m", "1h"), holes)
        assert found.is_empty()
        assert found.columns[: frame.width] == frame.columns
    assert all(found.is_empty() for found in fold_frame_offsets(frame, "5m", "1h").values())
