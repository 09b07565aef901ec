"""Which files a month is made of, when it is current, and what is told of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import no_gate
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.series_type import SeriesType
from alphaqcm.pipeline.errors import RawError
from alphaqcm.pipeline.storage.artifact import read_fingerprint
from tests.helpers.zips import bar, csv_text, write_zip

SERIES = Series(Market.UM, DataType.KLINES, "BTCUSDT", "1m")
MONTH = Period.parse("2024-02")
TASK = Task(Stage.MONTH, "BTCUSDT", SeriesType(DataType.KLINES, "1m"), MONTH)


def klines(
    source: Path, file: ArchiveFile, days: Iterator[date] | list[date], price: float
) -> Path:
    """A file with 24 bars, one an hour, on each of `days`."""
    rows = [
        bar(Period.day(day).start_us // 1000 + hour * 3_600_000, price)
        for day in days
        for hour in range(24)
    ]
    return write_zip(source, file, csv_text(file, rows))


def daily(source: Path, day: int, price: float = 2.0) -> Path:
    period = Period.day(MONTH.start.replace(day=day))
    return klines(source, SERIES.file(period), [period.start], price)


def monthly(source: Path, lacks: Collection[int] = (), price: float = 1.0) -> Path:
    days = [day for day in MONTH.days() if day.day not in lacks]
    return klines(source, SERIES.file(MONTH), days, price)


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    (tmp_path / "source" / "data").mkdir(parents=True)
    return RunSettings(
        market=Market.UM,
        symbols=("BTCUSDT",),
        span=DateRange(MONTH.start, MONTH.end - timedelta(days=1)),
        root=tmp_path / "root",
        source=str(tmp_path / "source"),
        types=("klines:1m",),
    )


def perform(settings: RunSettings) -> Outcome:
    with open_task_runner(settings) as runner:
        return runner.perform(TASK, no_gate)


def made_of(settings: RunSettings) -> list[str]:
    fingerprint = read_fingerprint(path_of(settings))
    assert fingerprint is not None
    return [ArchiveFile.parse(item.key).period.stamp for item in fingerprint.inputs]


def path_of(settings: RunSettings) -> Path:
    return settings.layout.month_file(DataType.KLINES, "1m", "BTCUSDT", MONTH)


def prices(settings: RunSettings) -> dict[int, float]:
    frame = pl.read_parquet(path_of(settings))
    return dict(frame.select(pl.col("minute").dt.day(), "close").iter_rows())


def test_the_monthly_file_comes_first(settings: RunSettings) -> None:
    source = Path(settings.source)
    monthly(source)
    daily(source, 5)
    assert perform(settings).rows == 29 * 24
    assert made_of(settings) == ["2024-02"]
    assert set(prices(settings).values()) == {1.0}


def test_days_that_the_month_lacks_come_from_their_daily_files(settings: RunSettings) -> None:
    source = Path(settings.source)
    monthly(source, lacks={5, 6})
    daily(source, 5)
    daily(source, 9)  # the month has this day: its own file is not asked for
    outcome = perform(settings)
    assert made_of(settings) == ["2024-02", "2024-02-05"]
    assert prices(settings)[5] == 2.0
    assert 6 not in prices(settings)
    assert outcome.gaps == ("2024-02-06",)


def test_a_confirmed_hole_is_in_the_ledger(settings: RunSettings) -> None:
    monthly(Path(settings.source), lacks={6})
    perform(settings)
    with Ledger(settings.layout.cache) as ledger:
        key = SERIES.file(Period.parse("2024-02-06")).key
        assert ledger.get_many([key])[key].state == "hole"


def test_without_a_monthly_file_the_days_of_the_run_are_taken(settings: RunSettings) -> None:
    for day in (3, 4, 5):
        daily(Path(settings.source), day)
    narrow = replace(settings, span=DateRange(date(2024, 2, 4), date(2024, 2, 5)))
    perform(narrow)
    assert made_of(settings) == ["2024-02-04", "2024-02-05"]


def test_a_narrower_run_leaves_a_wider_month_as_it_is(settings: RunSettings) -> None:
    for day in (3, 4, 5):
        daily(Path(settings.source), day)
    perform(settings)
    outcome = perform(replace(settings, span=DateRange(date(2024, 2, 4), date(2024, 2, 4))))
    assert not outcome.built
    assert made_of(settings) == ["2024-02-03", "2024-02-04", "2024-02-05"]


def test_a_late_monthly_file_takes_the_place_of_its_days(settings: RunSettings) -> None:
    source = Path(settings.source)
    daily(source, 3)
    perform(settings)
    monthly(source)
    assert perform(settings).built
    assert made_of(settings) == ["2024-02"]


def test_nothing_new_builds_nothing(settings: RunSettings) -> None:
    monthly(Path(settings.source), lacks={7})
    first = perform(settings)
    again = perform(settings)
    assert (first.built, again.built) == (1, 0)
    assert again.gaps == first.gaps == ("2024-02-07",)


def test_a_month_that_the_source_does_not_have_is_absent(settings: RunSettings) -> None:
    assert perform(settings).result is TaskResult.ABSENT
    assert not path_of(settings).exists()


def test_days_before_the_listing_and_after_the_end_are_no_holes(settings: RunSettings) -> None:
    monthly(Path(settings.source), lacks={1, 2, 3, 28, 29})
    assert perform(settings).gaps == ()


def test_an_unreadable_month_is_told_and_its_days_stand_in(settings: RunSettings) -> None:
    source = Path(settings.source)
    write_zip(source, SERIES.file(MONTH), "open_time,nonsense\n1,2\n")
    daily(source, 5)
    outcome = perform(settings)
    assert made_of(settings) == ["2024-02-05"]
    assert "BTCUSDT-1m-2024-02.zip" in outcome.problems[0]
    again = perform(settings)
    assert (again.built, again.problems) == (False, outcome.problems)


def test_an_unreadable_replacement_does_not_replace_a_good_month(settings: RunSettings) -> None:
    source = Path(settings.source)
    monthly(source)
    perform(settings)
    before = path_of(settings).read_bytes()
    write_zip(source, SERIES.file(MONTH), "open_time,nonsense\n1,2\n")
    with pytest.raises(RawError):
        perform(settings)
    assert path_of(settings).read_bytes() == before


def test_the_last_of_two_bars_of_a_minute_counts(settings: RunSettings) -> None:
    file = SERIES.file(MONTH)
    start = MONTH.start_us // 1000
    later, first, again = bar(start + 60_000, 3.0), bar(start, 1.0), bar(start, 2.0)
    write_zip(Path(settings.source), file, csv_text(file, [later, first, again]))
    perform(settings)
    frame = pl.read_parquet(path_of(settings))
    assert frame["close"].to_list() == [2.0, 3.0]


def test_a_bar_without_a_price_or_volume_is_left_out(settings: RunSettings) -> None:
    file = SERIES.file(MONTH)
    start = MONTH.start_us // 1000
    rows = [bar(start + n * 60_000) for n in range(3)]
    rows[0][4], rows[1][5] = "", "nan"
    write_zip(Path(settings.source), file, csv_text(file, rows))
    perform(settings)
    assert pl.read_parquet(path_of(settings)).height == 1


def test_a_bad_day_is_told_and_is_no_hole(settings: RunSettings) -> None:
    source = Path(settings.source)
    daily(source, 4)
    bad = daily(source, 5)
    daily(source, 6)
    bad.with_name(bad.name + ".CHECKSUM").write_text("0" * 64 + f"  {bad.name}\n")
    for _ in range(2):  # told again by a run that has nothing to build
        outcome = perform(settings)
        assert [bad.name in problem for problem in outcome.problems] == [True]
        assert (outcome.gaps, outcome.absent) == ((), 26)
    assert made_of(settings) == ["2024-02-04", "2024-02-06"]


def test_an_unreadable_only_file_is_a_problem_and_not_absent(settings: RunSettings) -> None:
    write_zip(Path(settings.source), SERIES.file(MONTH), "open_time,nonsense\n1,2\n")
    for _ in range(2):
        outcome = perform(settings)
        assert outcome.absent == 0
        assert "open_time,nonsense" in outcome.problems[0]


def test_a_file_damaged_in_the_cache_is_fetched_anew(settings: RunSettings) -> None:
    monthly(Path(settings.source))
    perform(settings)
    cached = settings.layout.cache / SERIES.file(MONTH).key
    torn = bytearray(cached.read_bytes())
    torn[100:110] = bytes(10)
    cached.write_bytes(torn)
    path_of(settings).unlink()
    outcome = perform(settings)
    assert (outcome.built, outcome.problems) == (True, ())
    assert outcome.downloaded == len(torn)


def test_a_file_that_leaves_the_source_stays_in_use(settings: RunSettings) -> None:
    source = Path(settings.source)
    days = [daily(source, day) for day in (3, 4, 5)]
    perform(settings)
    before = path_of(settings).read_bytes()
    days[1].unlink()
    assert not perform(settings).built
    assert path_of(settings).read_bytes() == before
    daily(source, 6)
    perform(settings)
    assert made_of(settings) == ["2024-02-03", "2024-02-04", "2024-02-05", "2024-02-06"]
    with Ledger(settings.layout.cache) as ledger:
        key = SERIES.file(Period.parse("2024-02-04")).key
        assert ledger.get_many([key])[key].state == "ok"


def test_an_unreadable_file_is_corrupt_in_the_ledger_until_it_can_be_read(
    settings: RunSettings,
) -> None:
    source = Path(settings.source)
    file = SERIES.file(MONTH)
    write_zip(source, file, "open_time,nonsense\n1,2\n")
    perform(settings)
    with Ledger(settings.layout.cache) as ledger:
        assert ledger.get_many([file.key])[file.key].state == "corrupt"
        monthly(source)
        perform(settings)
        assert ledger.get_many([file.key])[file.key].state == "ok"


def test_a_wider_run_tells_the_holes_of_its_own_days(settings: RunSettings) -> None:
    monthly(Path(settings.source), lacks={15})
    narrow = replace(settings, span=DateRange(date(2024, 2, 2), date(2024, 2, 3)))
    assert perform(narrow).gaps == ()
    outcome = perform(settings)
    assert (outcome.built, outcome.gaps, outcome.absent) == (False, ("2024-02-15",), 1)
    with Ledger(settings.layout.cache) as ledger:
        key = SERIES.file(Period.parse("2024-02-15")).key
        assert ledger.get_many([key])[key].state == "hole"


def test_an_unreadable_month_leaves_open_what_its_days_hold(settings: RunSettings) -> None:
    source = Path(settings.source)
    write_zip(source, SERIES.file(MONTH), "open_time,nonsense\n1,2\n")
    daily(source, 5)
    outcome = perform(settings)
    assert (outcome.gaps, outcome.absent) == ((), 0)
