"""Checks on frames: each defect is found where it is, and clean frames give nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.checks import bars, cross, openinterest, settlements
from pipeline.checks.barfindings import bar_findings
from pipeline.checks.bars import MonthOf
from pipeline.checks.files import file_findings
from pipeline.checks.finding import DAY_US, HOUR_US, Finding, Severity, Span, utc, worst_first
from pipeline.checks.gaps import Life, gap_findings
from pipeline.checks.reconcile import reconcile_month, reconciliation_findings
from pipeline.checks.table import examine_table, table_findings
from pipeline.checks.trades import TradeMonth, trade_findings
from pipeline.keys import ArchiveFile, epoch_us
from pipeline.months import month_frame
from pipeline.raw import read_archive
from pipeline.registry import DataType, Market

MINUTE = 60_000_000
KEY = "data/futures/um/monthly/klines/XUSDT/1m/XUSDT-1m-2024-02.zip"
START = datetime(2024, 2, 1, tzinfo=UTC)
MONTH = Span(epoch_us(date(2024, 2, 1)), epoch_us(date(2024, 3, 1)))


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


def found(frame: pl.DataFrame) -> list[Finding]:
    view = bars.examine_bars(frame, "minute", MINUTE)
    assert view is not None
    month = MonthOf(MONTH, view, ("data/x.zip",))
    return bar_findings("klines:1m", "XUSDT", [month], MINUTE)


def at(row: int, name: str, value: float) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()) == row).then(value).otherwise(name).alias(name)


def test_clean_minutes_give_no_finding() -> None:
    assert found(minutes(3 * 1440)) == []


def test_a_high_below_the_low_is_found_at_its_minute() -> None:
    [finding] = found(minutes(600).with_columns(at(75, "high", 1.0)))
    assert (finding.check, str(finding.period)) == ("ohlc-disorder", "2024-02-01 01:15 .. 01:16")


def test_a_price_of_zero_and_a_negative_volume_cannot_be() -> None:
    frame = minutes(600).with_columns(at(10, "low", 0.0), at(20, "volume", -1.0))
    [finding] = found(frame)
    assert finding.found == "2 bars break it"


def test_a_bar_off_the_grid_is_found() -> None:
    frame = minutes(600)
    moved = pl.when(pl.int_range(pl.len()) == 5).then(pl.duration(seconds=7))
    frame = frame.with_columns(pl.col("minute") + moved.otherwise(pl.duration(seconds=0)))
    [finding] = found(frame)
    assert (finding.check, finding.severity) == ("off-grid-times", Severity.ERROR)
    assert finding.period.start == us(START) + 5 * MINUTE


def test_a_jump_is_found_with_its_size() -> None:
    later = pl.int_range(pl.len()) >= 300
    prices = [
        pl.when(later).then(pl.col(n) * 2).otherwise(n).alias(n)
        for n in ("open", "high", "low", "close")
    ]
    [finding] = found(minutes(600).with_columns(prices))
    assert (finding.check, finding.found) == ("price-jump", "+0.694")
    assert finding.period.start == us(START) + 300 * MINUTE


def still(frame: pl.DataFrame, first: int, count: int, volume: float) -> pl.DataFrame:
    inside = pl.int_range(pl.len()).is_between(first, first + count - 1)
    price = [
        pl.when(inside).then(100.0).otherwise(n).alias(n) for n in ("open", "high", "low", "close")
    ]
    return frame.with_columns(
        *price, pl.when(inside).then(volume).otherwise("volume").alias("volume")
    )


def test_trades_at_one_price_for_hours_are_a_frozen_price() -> None:
    [finding] = found(still(minutes(1440), 100, 420, volume=2.0))
    assert (finding.check, finding.period.start) == ("frozen-price", us(START) + 100 * MINUTE)
    assert finding.found == "7 h at 100, trades in 420 bars"


def test_an_hour_without_trades_is_an_ordinary_quiet_hour() -> None:
    assert found(still(minutes(1440), 100, 60, volume=0.0)) == []


def test_bars_without_volume_to_the_end_are_bars_after_a_delisting() -> None:
    [finding] = found(still(minutes(5 * 1440), 1440, 4 * 1440, volume=0.0))
    assert (finding.check, finding.period.hours) == ("bars-after-delisting", 96)


def test_a_name_that_comes_back_at_another_price_after_days_is_relisted() -> None:
    frame = still(minutes(6 * 1440), 1440, 3 * 1440, volume=0.0)
    later = pl.int_range(pl.len()) >= 4 * 1440
    prices = [
        pl.when(later).then(pl.col(n) / 10).otherwise(n).alias(n)
        for n in ("open", "high", "low", "close")
    ]
    [finding] = found(frame.with_columns(prices))
    assert (finding.check, finding.severity) == ("relisted", Severity.ERROR)
    assert "price 100 before" in finding.found


def test_a_frozen_span_over_a_months_end_is_one_finding() -> None:
    start = datetime(2024, 2, 28, tzinfo=UTC)
    frame = still(minutes(4 * 1440, start), 1440, 2 * 1440, volume=3.0)
    march = us(datetime(2024, 3, 1, tzinfo=UTC))
    halves = [
        frame.filter(pl.col("minute").dt.epoch("us") < march),
        frame.filter(pl.col("minute").dt.epoch("us") >= march),
    ]
    months = [
        MonthOf(MONTH, view, ())
        for half in halves
        if (view := bars.examine_bars(half, "minute", MINUTE)) is not None
    ]
    [finding] = bar_findings("klines:1m", "XUSDT", months, MINUTE)
    assert (finding.check, finding.period.hours) == ("frozen-price", 48)


def test_a_premium_that_changes_sign_from_month_to_month_is_no_jump() -> None:
    premium = minutes(60).drop("volume")
    views = [
        bars.examine_bars(frame.rename({"minute": "open_time"}), "open_time", MINUTE)
        for frame in (premium, premium.with_columns(pl.col("open", "high", "low", "close") / 1e3))
    ]
    months = [MonthOf(MONTH, view, ()) for view in views if view is not None]
    assert bar_findings("premiumIndexKlines:1h", "X", months, MINUTE) == []


def test_the_order_of_rows_does_not_matter() -> None:
    frame = still(minutes(1440), 100, 420, volume=2.0)
    assert found(frame.sample(fraction=1, shuffle=True, seed=1)) == found(frame)


@pytest.mark.parametrize(
    ("report", "check"),
    [
        ({"duplicates": 4}, "duplicate-rows"),
        ({"unusable": 4}, "unusable-rows"),
        ({"unsorted": True}, "rows-unsorted"),
        ({"files": {KEY: {"rows": 9, "outside": 4}}}, "rows-outside-period"),
        ({"problems": [f"/cache/{KEY}: cut"]}, "file-unusable"),
    ],
)
def test_what_the_reader_met_becomes_a_finding(report: dict[str, Any], check: str) -> None:
    [finding] = file_findings("klines:1m", "XUSDT", MONTH, (KEY,), report)
    assert (finding.check, finding.evidence) == (check, (KEY,))


def test_a_day_taken_from_its_daily_file_is_told() -> None:
    daily = KEY.replace("monthly", "daily").replace("2024-02.zip", "2024-02-07.zip")
    [finding] = file_findings("klines:1m", "XUSDT", MONTH, (KEY, daily), {})
    assert (finding.check, str(finding.period)) == ("day-taken-from-daily-file", "2024-02-07")


@pytest.mark.parametrize(
    ("counters", "check"),
    [
        ({"duplicates": 2}, "duplicate-rows"),
        ({"outside_period": 2}, "rows-outside-period"),
        ({"shared_ids": 2}, "trade-ids-shared"),
        ({"zero_quantities": 2}, "zero-quantities"),
        ({"out_of_order": 2}, "rows-unsorted"),
        ({"id_gaps": 3, "single_skips": 1, "missing_ids": 9}, "trade-id-gap"),
    ],
)
def test_what_was_counted_in_trades_becomes_a_finding(counters: dict[str, int], check: str) -> None:
    view = TradeMonth(MONTH.start, MONTH.end - MINUTE, 1, 99, counters)
    [finding] = trade_findings("X", [MonthOf(MONTH, view, (KEY,))])
    assert finding.check == check
    assert finding.found.startswith("2 ")


def test_single_ids_left_out_are_ordinary() -> None:
    view = TradeMonth(MONTH.start, MONTH.end - MINUTE, 1, 99, {"id_gaps": 3, "single_skips": 3})
    assert trade_findings("X", [MonthOf(MONTH, view, ())]) == []


@pytest.mark.parametrize(("first", "check"), [(150, "trade-id-gap"), (90, "trade-ids-shared")])
def test_ids_that_do_not_go_on_from_month_to_month_are_found(first: int, check: str) -> None:
    march = Span(MONTH.end, MONTH.end + 31 * DAY_US)
    one = TradeMonth(MONTH.start, MONTH.end - MINUTE, 1, 99, {})
    two = TradeMonth(march.start, march.end - MINUTE, first, 300, {})
    [finding] = trade_findings("X", [MonthOf(MONTH, one, ()), MonthOf(march, two, ())])
    assert finding.check == check


def life(symbol: str, *gaps: tuple[int, int]) -> Life:
    spans = tuple(Span(us(START) + a * HOUR_US, us(START) + b * HOUR_US) for a, b in gaps)
    whole = Span(us(START), us(START) + 30 * DAY_US)
    return Life(symbol, whole, spans, dict.fromkeys(spans, ("data/k.zip",)), {})


def test_what_all_symbols_miss_is_one_outage() -> None:
    [finding] = gap_findings("klines:1m", [life(name, (5, 7)) for name in "ABC"])
    assert (finding.check, finding.symbol) == ("exchange-outage", "*")
    assert finding.found == "2 h missing for 3 of 3 symbols"


def test_what_one_symbol_misses_longer_than_the_outage_is_its_own() -> None:
    lives = [life("A", (5, 7)), life("B", (5, 7)), life("C", (5, 9))]
    outage, own = worst_first(gap_findings("klines:1m", lives))[::-1]
    assert (outage.check, outage.period.hours) == ("exchange-outage", 2)
    assert (own.check, own.symbol, own.period.start) == (
        "missing-bars",
        "C",
        us(START) + 7 * HOUR_US,
    )


def test_a_gap_of_the_only_symbol_says_that_nothing_can_be_compared() -> None:
    [finding] = gap_findings("klines:1m", [life("A", (5, 7))])
    assert finding.found == "2 h missing, no other symbol to compare"


def test_symbols_listed_later_do_not_count_as_alive() -> None:
    late = Life("C", Span(us(START) + 20 * DAY_US, us(START) + 30 * DAY_US), (), {}, {})
    [finding] = gap_findings("klines:1m", [life("A", (5, 7)), life("B", (5, 7)), late])
    assert finding.found == "2 h missing for 2 of 2 symbols"


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


def test_coin_margined_quote_volume_is_not_compared() -> None:
    klines = minutes(120)
    trades = trades_of(klines).with_columns(pl.col("quote_volume") * 100)
    assert reconcile_month(trades, klines, Market.CM)["exact"] == 2


def schedule(*rows: tuple[float, int]) -> list[MonthOf[tuple[settlements.Settlement, ...]]]:
    frame = pl.DataFrame(
        {
            "calc_time": [START + timedelta(hours=hour) for hour, _ in rows],
            "funding_interval_hours": [float(interval) for _, interval in rows],
            "last_funding_rate": [0.0001] * len(rows),
        },
        schema_overrides={"calc_time": pl.Datetime("us", "UTC")},
    )
    return [MonthOf(MONTH, settlements.examine_settlements(frame), ("data/f.zip",))]


ALIVE = [Span(us(START), us(START) + 29 * DAY_US)]


def test_a_regular_schedule_with_jitter_is_clean() -> None:
    rows = [(8 * n + 13e-3 / 3600, 8) for n in range(20)]
    assert settlements.funding_findings("X", schedule(*rows), ALIVE) == []


def test_a_missing_settlement_is_found_between_its_neighbours() -> None:
    [finding] = settlements.funding_findings("X", schedule((0, 8), (8, 8), (24, 8)), ALIVE)
    assert (finding.check, finding.found) == ("funding-missing", "1 missing")
    assert (finding.period.start, finding.period.end) == (
        us(START) + 16 * HOUR_US,
        us(START) + 24 * HOUR_US,
    )


def test_a_changed_interval_is_told_and_nothing_is_missing() -> None:
    rows = schedule((0, 8), (8, 8), (12, 4), (16, 4))
    [finding] = settlements.funding_findings("X", rows, ALIVE)
    assert (finding.check, finding.found) == ("funding-interval-changed", "every 4 h from here on")


def test_settlements_long_after_the_last_trade_have_no_market() -> None:
    dead = [Span(us(START), us(START) + 2 * DAY_US)]
    rows = schedule(*((8 * n, 8) for n in range(15)))
    [finding] = settlements.funding_findings("X", rows, dead)
    assert finding.check == "funding-without-market"
    assert finding.period.start == us(START) + 3 * DAY_US + 8 * HOUR_US


def test_two_settlements_in_one_hour_and_one_off_the_hour_are_found() -> None:
    rows = schedule((0, 8), (8, 8), (8.25, 8), (16, 8))
    checks = {finding.check for finding in settlements.funding_findings("X", rows, ALIVE)}
    assert checks == {"funding-doubled", "funding-off-hour"}


def metrics(day: date, labels: range, shift: int = 0, oi: float = 5.0) -> pl.DataFrame:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    times = [midnight + timedelta(minutes=5 * step + shift) for step in labels]
    return pl.DataFrame(
        {
            "known_time": times,
            "file_date": [day] * len(times),
            "sum_open_interest": [oi] * len(times),
        },
        schema_overrides={"known_time": pl.Datetime("us", "UTC")},
    )


def metrics_found(frame: pl.DataFrame, *outside: tuple[str, int]) -> list[Finding]:
    keys = tuple(key for key, _ in outside)
    month = MonthOf(MONTH, openinterest.examine_metrics(frame), keys, outside=outside)
    always = Span(0, us(datetime(2027, 1, 1, tzinfo=UTC)))
    return openinterest.metrics_findings("X", [month], [always])


def test_an_absent_month_of_funding_is_shown_by_the_files_around_it() -> None:
    before, after = (
        MonthOf(Span(start * DAY_US, (start + 30) * DAY_US), (), (f"{start}.zip",))
        for start in (0, 60)
    )
    [finding] = settlements.funding_findings("X", [before, after], ALIVE)
    assert (finding.check, finding.period) == (
        "funding-months-absent",
        Span(30 * DAY_US, 60 * DAY_US),
    )
    assert finding.evidence == ("0.zip", "60.zip")


def test_a_full_day_of_metrics_is_clean() -> None:
    assert metrics_found(metrics(date(2026, 6, 24), range(1, 289))) == []


def test_a_short_day_a_doubled_day_and_an_absent_day_are_found() -> None:
    first = metrics(date(2024, 2, 1), range(1, 280))
    second = metrics(date(2024, 2, 2), range(1, 289))
    fourth = metrics(date(2024, 2, 4), range(1, 289))
    findings = metrics_found(pl.concat([first, second, second.head(3), fourth]))
    assert {(finding.check, str(finding.period)) for finding in findings} == {
        ("metrics-rows", "2024-02-01"),
        ("metrics-doubled", "2024-02-02"),
        ("metrics-days-absent", "2024-02-03"),
    }


def test_absent_days_are_shown_by_the_files_before_and_after_them() -> None:
    keys = [
        f"data/futures/um/daily/metrics/XUSDT/XUSDT-metrics-2024-02-{day:02}.zip"
        for day in (1, 2, 5, 6)
    ]
    frame = pl.concat([metrics(date(2024, 2, day), range(1, 289)) for day in (1, 2, 5, 6)])
    [finding] = metrics_found(frame, *((key, 0) for key in keys))
    assert (str(finding.period), finding.evidence) == (
        "2024-02-03 .. 2024-02-04",
        (keys[1], keys[2]),
    )


def test_an_open_interest_of_zero_is_found_at_its_rows() -> None:
    frame = metrics(date(2024, 2, 1), range(1, 289))
    zero = pl.int_range(pl.len()).is_between(10, 11)
    frame = frame.with_columns(
        pl.when(zero).then(0.0).otherwise("sum_open_interest").alias("sum_open_interest")
    )
    [finding] = metrics_found(frame)
    assert str(finding.period) == "2024-02-01 00:50 .. 01:00"


def test_labels_that_mean_the_end_where_they_should_mean_the_start_are_found() -> None:
    day = date(2026, 6, 25)
    key = f"data/futures/um/daily/metrics/XUSDT/XUSDT-metrics-{day}.zip"
    # period-end labels 00:05 .. 23:55 read as starts, 24:00 being of the next day: left out
    frame = metrics(day, range(2, 289))
    [finding] = metrics_found(frame, (key, 1))
    assert (finding.check, finding.severity) == ("metrics-labels", Severity.ERROR)


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
        ("table-order", "1 rows not above the one before")
    }


def test_first_and_last_value_of_a_column_are_those_of_the_symbol() -> None:
    frame = table().with_columns(
        pl.when(pl.col("close").is_between(20, 90)).then("late").alias("late")
    )
    facts = examine_table(frame.iter_slices(13))
    first, last = facts.symbols["B_USDT:USDT"].valid["late"]
    assert (first, last) == (us(START) + 20 * HOUR_US, us(START) + 90 * HOUR_US)
    assert facts.symbols["A_USDT:USDT"].nulls["late"] == 29


def test_a_finding_survives_json() -> None:
    [finding] = found(minutes(600).with_columns(at(75, "high", 1.0)))
    assert Finding.from_dict(finding.to_dict()) == finding


def real_bars(real: Path, keys: list[str], data_type: DataType, interval: str) -> pl.DataFrame:
    files = [ArchiveFile.parse(key) for key in keys]
    readings = [read_archive(real / "archive" / file.key, file) for file in files]
    return month_frame(data_type, interval, readings).frame


def test_the_real_outages_of_spot_2020_are_found_for_both_symbols(real: Path) -> None:
    lives = []
    for symbol in ("BTCUSDT", "ETHUSDT"):
        months = []
        for stamp in ("2020-01", "2020-02", "2020-03", "2020-12"):
            key = f"data/spot/monthly/klines/{symbol}/1h/{symbol}-1h-{stamp}.zip"
            view = bars.examine_bars(
                real_bars(real, [key], DataType.KLINES, "1h"), "open_time", HOUR_US
            )
            assert view is not None
            months.append(MonthOf(MONTH, view, (key,)))
        assert bar_findings("klines:1h", symbol, months, HOUR_US) == []
        whole = bars.life(months, HOUR_US)
        assert whole is not None
        gaps = [g for g in bars.gaps_in(months, HOUR_US) if g.hours < 24 * 60]
        lives.append(Life(symbol, whole, tuple(gaps), {}, {}))
    findings = gap_findings("klines:1h", lives)
    assert {finding.check for finding in findings} == {"exchange-outage"}
    # the last bar before each outage (it is the one that is cut short), and the hours then missing
    outages = sorted((f.period.start - HOUR_US, f.period.hours) for f in findings)
    assert [(f"{utc(before):%Y-%m-%d %H}", hours) for before, hours in outages] == [
        ("2020-02-09 01", 1),
        ("2020-02-19 11", 5),
        ("2020-03-04 09", 1),
        ("2020-12-21 14", 3),
        ("2020-12-25 01", 1),
    ]


@pytest.mark.parametrize("symbol", ["FILUSDT", "NEARUSDT", "AVAXUSDT"])
def test_real_complete_minutes_show_nothing(real: Path, symbol: str) -> None:
    key = f"data/futures/um/monthly/klines/{symbol}/1m/{symbol}-1m-2024-02.zip"
    frame = real_bars(real, [key], DataType.KLINES, "1m")
    view = bars.examine_bars(frame, "minute", MINUTE)
    assert view is not None
    months = [MonthOf(MONTH, view, (key,))]
    assert bar_findings("klines:1m", symbol, months, MINUTE) == []
    assert bars.gaps_in(months, MINUTE) == []
    assert bars.life(months, MINUTE) == MONTH
