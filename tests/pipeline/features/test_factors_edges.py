"""Single rules at their edges: gaps, settlements, daylight saving, borders, ties, first rows."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import METRICS, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import Undefined
from alphaqcm.pipeline.features.columns import REGISTRY, SYMBOL_COLUMNS, schema
from alphaqcm.pipeline.features.factors.assemble import NEEDED, Inputs
from alphaqcm.pipeline.features.factors.funding import hourly_funding
from alphaqcm.pipeline.features.factors.metrics import hourly_metrics
from alphaqcm.pipeline.features.factors.segments import TIME
from alphaqcm.pipeline.features.factors.windows import gap_flags, quantile99, running_quantile99
from alphaqcm.pipeline.tables.symbol_table import build_symbol_table
from tests.helpers import factor_data as data

SECOND = 1_000_000
DAY = DateRange(date(2024, 5, 1), date(2024, 5, 1))


def table(given: Inputs, span: DateRange) -> pl.DataFrame:
    return build_symbol_table(data.SYMBOL, given, span).frame


def minutes(rows: list[tuple[datetime, float, float]]) -> pl.DataFrame:
    """(time, price, volume) as flat bars."""
    return pl.DataFrame(
        [(at, price, price, price, price, volume) for at, price, volume in rows],
        schema=NEEDED["klines"],
        orient="row",
    )


def one_hour(prices: list[float], volumes: list[float], first: int = 0) -> dict[str, object]:
    """The table's row of an hour of flat minutes."""
    start = data.midnight(DAY.start)
    rows = [
        (start + timedelta(minutes=first + i), price, volume)
        for i, (price, volume) in enumerate(zip(prices, volumes, strict=True))
    ]
    return table(data.only_klines(minutes(rows)), DAY).row(0, named=True)


@pytest.mark.parametrize(("seconds", "resumed"), [(3605, False), (3606, True), (3600, False)])
def test_only_a_gap_of_more_than_3605_seconds_is_maintenance(seconds: int, resumed: bool) -> None:
    gap, found, cooling = gap_flags(np.array([0, seconds * SECOND]))
    assert gap[1] == seconds
    assert (bool(found[1]), bool(cooling[1])) == (resumed, resumed)


@pytest.mark.parametrize(("late", "cooling"), [(7200 * SECOND, True), (7200 * SECOND + 1, False)])
def test_cooldown_lasts_two_hours_both_ends_included(late: int, cooling: bool) -> None:
    resumed_at = 4 * 3600 * SECOND
    times = np.array([0, resumed_at, resumed_at + 3600 * SECOND, resumed_at + late])
    assert bool(gap_flags(times)[2][3]) is cooling


def test_a_symbol_listed_on_the_last_day_has_its_rows_and_empty_windows() -> None:
    span = DateRange(date(2024, 5, 1), date(2024, 5, 3))
    bars = data.klines(DateRange(span.end, span.end), 3, odd=False)
    found = table(data.only_klines(bars.filter(pl.col("minute").dt.hour() >= 20)), span)
    assert found["datetime"].dt.hour().to_list() == [20, 21, 22, 23]
    for name, told in REGISTRY.items():
        if told.window.text in ("last 24 rows", "last 25 rows", "last 169 rows"):
            assert found[name].null_count() == 4, name
    assert found["gap_seconds"].to_list() == [None, 3600.0, 3600.0, 3600.0]
    assert not found["is_mature"].any()
    assert not found["is_volume_spike"].any()
    assert found["volume_clean_pit"].null_count() == 0


def test_no_minutes_give_an_empty_table_with_the_right_types() -> None:
    found = table(data.only_klines(data.empty("klines")), DAY)
    assert found.schema == schema(SYMBOL_COLUMNS)
    assert found.height == 0


def test_minutes_outside_the_days_do_not_count() -> None:
    wide = DateRange(DAY.start - timedelta(days=1), DAY.end + timedelta(days=1))
    found = table(data.inputs(wide, odd=False), DAY)
    assert set(found["datetime"].dt.date().to_list()) == {DAY.start}
    assert found["gap_seconds"].to_list()[0] is None


def test_a_bad_row_is_dropped_and_does_not_hide_a_good_one_of_the_same_minute() -> None:
    start = data.midnight(DAY.start)
    bars = pl.concat(
        [
            minutes([(start, 5.0, 1.0), (start, 6.0, 2.0)]),
            minutes([(start, math.nan, 9.0), (start + timedelta(minutes=1), math.inf, 9.0)]),
        ]
    )
    row = table(data.only_klines(bars), DAY).row(0, named=True)
    assert (row["open"], row["volume"], row["n_minutes"]) == (6.0, 2.0, 1)


def test_vwap_of_an_hour_without_volume_is_the_one_before() -> None:
    start = data.midnight(DAY.start)
    bars = [(start, 1.0, 0.0), (start + timedelta(hours=1), 2.0, 3.0)]
    bars += [(start + timedelta(hours=2), 9.0, 0.0)]
    found = table(data.only_klines(minutes(bars)), DAY)
    assert found["vwap"].to_list() == [None, 2.0, 2.0]


def test_an_hour_that_closes_at_its_open_has_no_tail_share() -> None:
    row = one_hour([2.0] * 30 + [3.0] * 20 + [2.0] * 10, [1.0] * 60)
    assert row["seg_head_logret"] + row["seg_tail_logret"] == 0.0
    assert row["seg_tail_share"] is None


def test_equal_volumes_give_exact_zeros_and_nulls() -> None:
    row = one_hour([2.0 + i % 7 for i in range(60)], [0.1] * 60)
    assert (row["vol_1m_std"], row["vol_1m_cv"]) == (0.0, 0.0)
    assert row["vol_top20_frac"] == 1.0
    for name in ("shape_skewVol", "shape_kurtVol", "corr_prv", "corr_pv", "corr_pvl"):
        assert row[name] is None, name


def test_equal_prices_give_zeros_where_defined() -> None:
    row = one_hour([0.7] * 60, [float(i) for i in range(60)])
    assert (row["qrs_beta_close_per_hour"], row["qrs_r2_close"], row["qrs_close"]) == (0, 0, 0)
    assert (row["rv_std_sqrt60"], row["up_vol_l2"]) == (0.0, 0.0)
    for name in ("up_var_share", "shape_skew", "liq_tail_risk", "liq_tail_var_share", "corr_pv"):
        assert row[name] is None, name
    assert row["doc_vol5_ratio"] == row["doc_vol50_ratio"] == 1.0


@pytest.mark.parametrize(("rows", "trend"), [(2, False), (3, True)])
def test_a_trend_needs_three_rows(rows: int, trend: bool) -> None:
    row = one_hour([2.0, 3.0, 4.0][:rows], [1.0] * rows)
    assert (row["qrs_r2_close"] is not None) is trend


@pytest.mark.parametrize(
    ("rows", "shape", "correlation", "doc"),
    [
        (9, False, False, False),
        (10, True, False, False),
        (11, True, True, False),
        (12, True, True, True),
    ],
)
def test_statistics_start_with_enough_rows(
    rows: int, shape: bool, correlation: bool, doc: bool
) -> None:
    row = one_hour([2.0 + i * i % 5 for i in range(rows)], [1.0 + i % 3 for i in range(rows)])
    assert (row["shape_skew"] is not None) is shape
    assert (row["corr_prv"] is not None) is correlation
    assert (row["corr_pv"] is not None) is shape
    assert (row["doc_std"] is not None) is doc
    assert (row["doc_vol_pdf60"] is not None) is doc


def test_an_exact_tie_of_volume_goes_to_the_lower_return() -> None:
    prices = [1.0]
    for step in range(1, 21):  # 20 different rising returns of 0.1 each
        prices.append(prices[-1] * (1.0 + step / 100))
    row = one_hour(prices, [0.1] * 21)
    returns = sorted(math.log(b) - math.log(a) for a, b in pairwise(prices))
    assert row["doc_vol_pdf60"] == pytest.approx(returns[11], rel=1e-12)  # 12 of 20 are 60 %
    assert row["doc_vol_pdf95"] == pytest.approx(returns[18], rel=1e-12)


@pytest.mark.parametrize(
    ("day", "hour"),
    [
        (date(2024, 3, 9), 15),
        (date(2024, 3, 10), 14),  # summer time starts this Sunday
        (date(2024, 7, 4), 14),  # a holiday counts
        (date(2024, 11, 2), 14),
        (date(2024, 11, 3), 15),  # winter time is back this Sunday
    ],
)
def test_the_us_open_follows_new_york(day: date, hour: int) -> None:
    bars = data.klines(DateRange(day, day), 7, odd=False)
    found = table(data.only_klines(bars), DateRange(day, day))
    column = found["seg_us_open_60m_logret"]
    assert [h for h, value in enumerate(column) if value is not None] == [hour]
    end = data.midnight(day) + timedelta(hours=hour, minutes=29)
    close = bars.filter(pl.col("minute") == end)["close"].item()
    opened = bars.filter(pl.col("minute") == end - timedelta(minutes=59))["open"].item()
    assert column[hour] == math.log(close + 1e-12) - math.log(opened + 1e-12)


@pytest.mark.parametrize("missing", [timedelta(minutes=0), timedelta(minutes=59)])
def test_the_us_open_needs_both_minutes(missing: timedelta) -> None:
    end = data.midnight(DAY.start) + timedelta(hours=14, minutes=29)
    bars = data.klines(DAY, 7, odd=False).filter(pl.col("minute") != end - missing)
    assert table(data.only_klines(bars), DAY)["seg_us_open_60m_logret"].null_count() == 24


def settled(rows: list[tuple[datetime, float | None, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=NEEDED["funding"], orient="row")


def test_a_settlement_counts_from_its_hour_and_for_24_hours() -> None:
    at = datetime(2024, 5, 1, 8, 0, 0, 13_000, tzinfo=UTC)
    found = hourly_funding(settled([(at, 8.0, 1e-4)]), DAY.start, date(2024, 5, 3))
    assert found["datetime"][0] == at.replace(microsecond=0)
    assert found["datetime"][-1] == datetime(2024, 5, 2, 7, tzinfo=UTC)
    assert found.height == 24


def test_a_settlement_is_held_across_the_end_of_a_month() -> None:
    span = DateRange(date(2024, 4, 30), date(2024, 5, 1))
    rows = [(datetime(2024, 4, 30, 16, tzinfo=UTC), 8.0, 1e-4)]
    found = hourly_funding(settled(rows), span.start, span.end)
    assert found["datetime"][-1] == datetime(2024, 5, 1, 15, tzinfo=UTC)


def test_settlements_are_read_from_the_first_of_the_start_month() -> None:
    rows = [
        (datetime(2024, 4, 30, 16, tzinfo=UTC), 8.0, 1e-4),
        (datetime(2024, 5, 1, 0, tzinfo=UTC), 8.0, 2e-4),
    ]
    found = hourly_funding(settled(rows), date(2024, 5, 2), date(2024, 5, 2))
    assert found["last_funding_rate"].unique().to_list() == [2e-4]
    assert found["datetime"][0] == datetime(2024, 5, 1, tzinfo=UTC)


def test_of_settlements_at_one_moment_the_last_read_counts() -> None:
    at = datetime(2024, 5, 1, tzinfo=UTC)
    found = hourly_funding(settled([(at, 8.0, 1e-4), (at, 4.0, 5e-4)]), DAY.start, DAY.end)
    assert found.row(0)[1:] == (5e-4, 4.0)


@pytest.mark.parametrize(
    ("interval", "times"), [(4.0, 6), (1.0, 24), (8.0, 3), (None, 3), (0.0, 3), (-1.0, 3)]
)
def test_funding_is_annualized_by_its_own_interval(interval: float | None, times: int) -> None:
    bars = data.klines(DAY, 1, odd=False)
    rows = settled([(data.midnight(DAY.start), interval, 1e-4)])
    given = data.only_klines(bars)
    told = Inputs(**{f: getattr(given, f) for f in NEEDED if f != "funding"}, funding=rows)
    found = table(told, DAY)
    assert found["funding_annualized"][0] == pytest.approx(1e-4 * 365 * times, rel=1e-14)


def test_a_4_hour_symbol_changes_its_rate_every_4_hours() -> None:
    span = DateRange(date(2024, 5, 1), date(2024, 5, 2))
    found = table(data.inputs(span, odd=False, funding_hours=4), span)
    changes = found.filter(pl.col("funding_delta") != 0)["datetime"].dt.hour()
    assert set(changes.to_list()) <= {0, 4, 8, 12, 16, 20}
    assert changes.len() >= 8
    assert found["is_funding_hour"].sum() == 6  # the 8-hour calendar, whatever the contract


def test_an_hour_takes_the_last_known_metrics_column_by_column() -> None:
    start = data.midnight(DAY.start)
    values = [[1.0] * 6, [2.0, None, 2.0, math.nan, 2.0, 2.0], [None] * 6]
    rows = [(start + timedelta(minutes=5 * i), DAY.start, *line) for i, line in enumerate(values)]
    found = hourly_metrics(
        pl.DataFrame(rows, schema=NEEDED["metrics"], orient="row"), DAY.start, DAY.end
    )
    assert found.row(0) == (start, 2.0, 1.0, 2.0, 1.0, 2.0, 2.0)


def test_metrics_known_at_midnight_come_from_the_day_before_only_inside_the_run() -> None:
    start = data.midnight(DAY.start)
    rows = [
        (start, DAY.start - timedelta(days=1), *[1.0] * 6),
        (start + timedelta(days=1), DAY.start, *[2.0] * 6),
    ]
    frame = pl.DataFrame(rows, schema=NEEDED["metrics"], orient="row")
    assert hourly_metrics(frame, DAY.start, DAY.end).height == 0
    longer = hourly_metrics(frame, DAY.start - timedelta(days=1), DAY.end)
    assert longer[METRICS[0]].to_list() == [1.0]


def test_of_metrics_known_at_one_moment_the_later_file_counts() -> None:
    at = datetime(2024, 5, 2, tzinfo=UTC)
    rows = [(at, date(2024, 5, 2), *[2.0] * 6), (at, date(2024, 5, 1), *[1.0] * 6)]
    frame = pl.DataFrame(rows, schema=NEEDED["metrics"], orient="row")
    found = hourly_metrics(frame, date(2024, 5, 1), date(2024, 5, 2))
    assert found[METRICS[0]].to_list() == [2.0]


def test_the_last_bar_of_an_hour_is_its_triad() -> None:
    start = data.midnight(DAY.start)
    closes = pl.DataFrame(
        {
            "open_time": pl.Series(
                [start + timedelta(milliseconds=7), start, start + timedelta(hours=2)], dtype=TIME
            ),
            "close": [3.0, 1.0, 0.0],
        }
    )
    given = data.only_klines(data.klines(DAY, 1, odd=False))
    told = Inputs(**{f: getattr(given, f) for f in NEEDED if f != "index"}, index=closes)
    found = table(told, DAY)
    assert found["triad_index_close"].to_list()[:3] == [3.0, None, 0.0]
    assert [value is None for value in found["triad_basis"].to_list()[:3]] == [False, True, True]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 30).map(float), min_size=1, max_size=400))
def test_running_quantile_equals_the_quantile_of_what_came_so_far(values: list[float]) -> None:
    array = np.array(values)
    running = running_quantile99(array)
    for i in range(array.size):
        assert running[i] == quantile99(array[: i + 1])
        assert running[i] == pytest.approx(np.quantile(array[: i + 1], 0.99), rel=1e-12)


@pytest.mark.parametrize("market", [Market.SPOT, Market.CM])
def test_other_markets_have_no_wide_table(market: Market) -> None:
    with pytest.raises(Undefined, match="um"):
        build_symbol_table(Symbol(market, "BTCUSDT"), data.inputs(DAY), DAY)
