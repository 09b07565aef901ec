"""The one rule for the files of a month."""

from __future__ import annotations

from datetime import date

from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.reading.month_sources import by_month, month_sources

KLINES = Series(Market.UM, DataType.KLINES, "BTCUSDT", "1m")
FUNDING = Series(Market.UM, DataType.FUNDING, "BTCUSDT")
METRICS = Series(Market.UM, DataType.METRICS, "BTCUSDT")
MONTH = Period.parse("2024-02")


def sources(
    *listed: str,
    series: Series = KLINES,
    held: tuple[str, ...] = (),
    gaps: tuple[int, ...] = (),
    days: tuple[int, int] = (1, 29),
) -> list[str]:
    span = DateRange(*(date(2024, 2, day) for day in days))
    missing = [date(2024, 2, day) for day in gaps]
    periods = [Period.parse(stamp) for stamp in listed]
    at_hand = [Period.parse(stamp) for stamp in held]
    files = month_sources(series, MONTH, periods, at_hand, missing, span)
    return [file.period.stamp for file in files]


def test_a_month_that_is_listed_is_its_monthly_file() -> None:
    assert sources("2024-02", "2024-02-05") == ["2024-02"]


def test_days_that_the_monthly_file_lacks_follow_it() -> None:
    assert sources("2024-02", gaps=(5, 9)) == ["2024-02", "2024-02-05", "2024-02-09"]


def test_gaps_outside_of_the_days_are_left_alone() -> None:
    assert sources("2024-02", gaps=(5, 9), days=(6, 29)) == ["2024-02", "2024-02-09"]


def test_without_a_monthly_file_every_day_is_asked_for() -> None:
    found = sources("2024-02-03", days=(2, 4))
    assert found == ["2024-02-02", "2024-02-03", "2024-02-04"]


def test_days_that_are_held_are_kept_whatever_the_days_asked_for() -> None:
    found = sources("2024-02-03", held=("2024-02-01",), days=(3, 3))
    assert found == ["2024-02-01", "2024-02-03"]


def test_a_month_of_which_nothing_is_listed_counts_as_its_monthly_file() -> None:
    assert sources() == ["2024-02"]


def test_a_type_without_daily_files_is_its_monthly_file_whatever_it_lacks() -> None:
    assert sources("2024-02", series=FUNDING, gaps=(5,)) == ["2024-02"]


def test_a_type_without_monthly_files_is_its_days_even_where_none_is_listed() -> None:
    assert sources(series=METRICS, days=(28, 29)) == ["2024-02-28", "2024-02-29"]


def test_periods_are_found_by_the_first_day_of_their_month() -> None:
    periods = [Period.parse(stamp) for stamp in ("2024-01", "2024-02-03", "2024-02")]
    assert by_month(periods) == {
        date(2024, 1, 1): {periods[0]},
        date(2024, 2, 1): {periods[1], periods[2]},
    }
