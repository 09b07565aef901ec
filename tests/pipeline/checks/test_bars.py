"""Checks on bars, trades and gaps: defects are found where they are, and clean frames are clean."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from alphaqcm.pipeline.checks.bars import examine
from alphaqcm.pipeline.checks.bars.examine import MonthOf
from alphaqcm.pipeline.checks.bars.findings import bar_findings
from alphaqcm.pipeline.checks.bars.gaps import Life, gap_findings, traded_findings
from alphaqcm.pipeline.checks.files import file_findings
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, utc, worst_first
from alphaqcm.pipeline.checks.trades import TradeMonth, trade_findings
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US
from alphaqcm.pipeline.reading.csv_reader import read_archive
from alphaqcm.pipeline.reading.month_file import month_frame
from alphaqcm.pipeline.reading.month_report import MonthReport
from tests.helpers.check_frames import KEY, MINUTE, MONTH, START, at, minutes, us


def found(frame: pl.DataFrame) -> list[Finding]:
    view = examine.examine_bars(frame, "minute", MINUTE)
    assert view is not None
    month = MonthOf(MONTH, view, ("data/x.zip",))
    return bar_findings("klines:1m", "XUSDT", [month], MINUTE)


def test_clean_minutes_give_no_finding() -> None:
    assert found(minutes(3 * 1440)) == []


def test_a_high_below_the_low_is_found_at_its_minute() -> None:
    [finding] = found(minutes(600).with_columns(at(75, "high", 1.0)))
    assert (finding.check, str(finding.period)) == ("ohlc-disorder", "2024-02-01 01:15 .. 01:16")


def test_a_price_of_zero_and_a_negative_volume_cannot_be() -> None:
    frame = minutes(600).with_columns(at(10, "low", 0.0), at(20, "volume", -1.0))
    [finding] = found(frame)
    assert finding.found == "2 bars against it"


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
    assert (finding.check, finding.severity) == ("relisted", Severity.WARNING)
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
        if (view := examine.examine_bars(half, "minute", MINUTE)) is not None
    ]
    [finding] = bar_findings("klines:1m", "XUSDT", months, MINUTE)
    assert (finding.check, finding.period.hours) == ("frozen-price", 48)


def test_a_premium_that_changes_sign_from_month_to_month_is_no_jump() -> None:
    premium = minutes(60).drop("volume")
    views = [
        examine.examine_bars(frame.rename({"minute": "open_time"}), "open_time", MINUTE)
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
    [finding] = file_findings("klines:1m", "XUSDT", MONTH, (KEY,), MonthReport.from_dict(report))
    assert (finding.check, finding.evidence) == (check, (KEY,))


def test_a_day_taken_from_its_daily_file_is_told() -> None:
    daily = KEY.replace("monthly", "daily").replace("2024-02.zip", "2024-02-07.zip")
    [finding] = file_findings("klines:1m", "XUSDT", MONTH, (KEY, daily), MonthReport())
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
    march = TimeRange(MONTH.end, MONTH.end + 31 * DAY_US)
    one = TradeMonth(MONTH.start, MONTH.end - MINUTE, 1, 99, {})
    two = TradeMonth(march.start, march.end - MINUTE, first, 300, {})
    [finding] = trade_findings("X", [MonthOf(MONTH, one, ()), MonthOf(march, two, ())])
    assert finding.check == check


def life(symbol: str, *gaps: tuple[int, int]) -> Life:
    spans = tuple(TimeRange(us(START) + a * HOUR_US, us(START) + b * HOUR_US) for a, b in gaps)
    whole = TimeRange(us(START), us(START) + 30 * DAY_US)
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


@pytest.mark.parametrize("hours", [1, 24, 72, 29 * 24])
def test_a_gap_is_an_error_however_long_it_is(hours: int) -> None:
    lives = [life("A", (5, 5 + hours)), life("B"), life("C")]
    [finding] = gap_findings("klines:1m", lives)
    assert (finding.check, finding.severity) == ("missing-bars", Severity.ERROR)
    assert finding.period.hours == hours


def test_a_missing_minute_is_an_error_too() -> None:
    minute = TimeRange(us(START) + HOUR_US, us(START) + HOUR_US + MINUTE)
    whole = TimeRange(us(START), us(START) + 30 * DAY_US)
    lives = [Life("A", whole, (minute,), {}, {}), life("B"), life("C")]
    [finding] = gap_findings("klines:1m", lives)
    assert (finding.severity, finding.found) == (
        Severity.ERROR,
        "1 min missing, while other symbols have them",
    )


@pytest.mark.parametrize(
    ("prices", "severity"), [((10.0, 11.0), Severity.WARNING), ((10.0, 1.0), Severity.ERROR)]
)
def test_a_gap_without_a_market_is_a_relisting(
    prices: tuple[float, float], severity: Severity
) -> None:
    away = life("A", (5, 80))
    silent = replace(away, silent=frozenset(away.gaps), prices=dict.fromkeys(away.gaps, prices))
    [finding] = gap_findings("klines:1m", [silent, life("B"), life("C")])
    assert (finding.check, finding.severity) == ("relisted", severity)


def test_a_short_gap_without_a_market_is_a_warning() -> None:
    away = life("A", (5, 8))
    silent = replace(away, silent=frozenset(away.gaps))
    [finding] = gap_findings("klines:1m", [silent, life("B"), life("C")])
    assert (finding.check, finding.severity) == ("missing-bars", Severity.WARNING)


def test_trades_before_the_first_bar_and_after_the_last_one_show_missing_bars() -> None:
    trades = {"A": TimeRange(0, 50 * HOUR_US), "B": TimeRange(0, 50 * HOUR_US)}
    lives = {"A": TimeRange(2 * HOUR_US, 49 * HOUR_US), "B": None}
    found = traded_findings("klines:1m", lives, trades, MINUTE)
    assert [(one.symbol, one.severity, one.period.hours) for one in found] == [
        ("A", Severity.ERROR, 2),
        ("A", Severity.ERROR, 1),
        ("B", Severity.ERROR, 50),
    ]
    assert traded_findings("klines:1m", trades, trades, MINUTE) == []


def test_symbols_listed_later_do_not_count_as_alive() -> None:
    late = Life("C", TimeRange(us(START) + 20 * DAY_US, us(START) + 30 * DAY_US), (), {}, {})
    [finding] = gap_findings("klines:1m", [life("A", (5, 7)), life("B", (5, 7)), late])
    assert finding.found == "2 h missing for 2 of 2 symbols"


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
            view = examine.examine_bars(
                real_bars(real, [key], DataType.KLINES, "1h"), "open_time", HOUR_US
            )
            assert view is not None
            months.append(MonthOf(MONTH, view, (key,)))
        assert bar_findings("klines:1h", symbol, months, HOUR_US) == []
        whole = examine.life(months, HOUR_US)
        assert whole is not None
        gaps = [g for g in examine.gaps_in(months, HOUR_US) if g.hours < 24 * 60]
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
    view = examine.examine_bars(frame, "minute", MINUTE)
    assert view is not None
    months = [MonthOf(MONTH, view, (key,))]
    assert bar_findings("klines:1m", symbol, months, MINUTE) == []
    assert examine.gaps_in(months, MINUTE) == []
    assert examine.life(months, MINUTE) == MONTH
