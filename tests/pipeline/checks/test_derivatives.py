"""Checks on funding settlements and metrics."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from alphaqcm.pipeline.checks import openinterest, settlements
from alphaqcm.pipeline.checks.bars.examine import MonthOf
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange
from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US
from tests.helpers.check_frames import MONTH, START, us


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


ALIVE = [TimeRange(us(START), us(START) + 29 * DAY_US)]


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
    dead = [TimeRange(us(START), us(START) + 2 * DAY_US)]
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
    always = TimeRange(0, us(datetime(2027, 1, 1, tzinfo=UTC)))
    return openinterest.metrics_findings("X", [month], [always])


def test_an_absent_month_of_funding_is_shown_by_the_files_around_it() -> None:
    before, after = (
        MonthOf(TimeRange(start * DAY_US, (start + 30) * DAY_US), (), (f"{start}.zip",))
        for start in (0, 60)
    )
    [finding] = settlements.funding_findings("X", [before, after], ALIVE)
    assert (finding.check, finding.period) == (
        "funding-months-absent",
        TimeRange(30 * DAY_US, 60 * DAY_US),
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
