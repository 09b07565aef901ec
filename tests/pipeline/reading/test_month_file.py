"""A month from its files, and a month that grows: rows, counts, days, and when a row is known."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.reading.month_append import append_days, days_held
from alphaqcm.pipeline.reading.month_file import FileRows, assemble, read_file_rows
from tests.helpers.zips import bar, csv_text, write_zip

MINUTE = 60_000


def klines(day: int) -> ArchiveFile:
    return ArchiveFile.parse(
        f"data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02-{day:02}.zip"
    )


def metrics(day: str) -> ArchiveFile:
    return ArchiveFile.parse(f"data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-{day}.zip")


def ms(day: int, minute: int) -> int:
    return int(datetime(2024, 2, day, tzinfo=UTC).timestamp() * 1000) + minute * MINUTE


def no_volume(day: int, minute: int) -> list[object]:
    return [*bar(ms(day, minute))[:5], "nan", *bar(ms(day, minute))[6:]]


def read(folder: Path, file: ArchiveFile, rows: list[list[object]]) -> FileRows:
    return read_file_rows(write_zip(folder, file, csv_text(file, rows)), file)


def test_what_a_month_leaves_out_is_counted(tmp_path: Path) -> None:
    rows = [bar(ms(1, 2)), bar(ms(1, 0)), bar(ms(1, 1)), bar(ms(1, 1)), bar(ms(1, 1))]
    rows += [no_volume(1, 3), no_volume(1, 4)]
    month = assemble([read(tmp_path, klines(1), rows)])
    assert month.frame[month.frame.columns[0]].dt.minute().to_list() == [0, 1, 2]
    report = month.report
    assert (report.rows, report.unusable, report.duplicates, report.unsorted) == (3, 2, 2, True)
    assert report.files is not None
    assert report.files[klines(1).key].rows == 7


def test_of_rows_with_one_time_the_last_one_read_counts(tmp_path: Path) -> None:
    other = [*bar(ms(1, 0))]
    other[5] = 77.0
    month = assemble([read(tmp_path, klines(1), [bar(ms(1, 0)), other])])
    assert month.frame["volume"].to_list() == [77.0]


def test_a_month_that_grows_adds_up_what_it_left_out(tmp_path: Path) -> None:
    first = [bar(ms(1, 0)), bar(ms(1, 1)), bar(ms(1, 1)), no_volume(1, 2), no_volume(1, 3)]
    second = [bar(ms(2, 0)), bar(ms(2, 0)), bar(ms(2, 0)), no_volume(2, 1)]
    parts = [read(tmp_path, klines(1), first), read(tmp_path, klines(2), second)]
    held = assemble(parts[:1])
    grown = append_days(held.frame, held.report, klines(1).series, parts[1:])
    assert grown is not None
    whole = assemble(parts)
    assert_frame_equal(grown.frame, whole.frame, check_exact=True)
    assert grown.report == whole.report
    assert (whole.report.unusable, whole.report.duplicates, whole.report.unsorted) == (3, 3, False)


@pytest.mark.parametrize(("minute", "unsorted"), [(0, True), (1, False), (2, False)])
def test_a_month_that_grows_before_its_end_is_told_as_unsorted(
    tmp_path: Path, minute: int, unsorted: bool
) -> None:
    held = assemble([read(tmp_path, klines(1), [bar(ms(1, 0)), bar(ms(1, 1))])])
    grown = append_days(
        held.frame, held.report, klines(1).series, [read(tmp_path, klines(1), [bar(ms(1, minute))])]
    )
    assert grown is not None
    assert grown.report.unsorted is unsorted


def test_days_are_those_of_the_rows_and_for_metrics_of_the_file(tmp_path: Path) -> None:
    bars = read(tmp_path, klines(1), [bar(ms(1, 0))])
    rows = [[f"2024-02-01 {hour:02}:00:00", "BTCUSDT", 1, 2, 3, 4, 5, 6] for hour in range(1, 5)]
    rows.append(["2024-02-02 00:00:00", "BTCUSDT", 1, 2, 3, 4, 5, 6])
    day = read(tmp_path, metrics("2024-02-01"), rows)
    assert bars.days() == day.days() == {date(2024, 2, 1)}
    assert days_held(assemble([day]).frame, day.file.series) == {date(2024, 2, 1)}
    assert days_held(assemble([bars]).frame, bars.file.series) == {date(2024, 2, 1)}


@pytest.mark.parametrize(
    ("day", "label", "known"),
    [
        ("2026-06-24", "2026-06-24 12:00:00", datetime(2026, 6, 24, 12, 0, tzinfo=UTC)),
        ("2026-06-25", "2026-06-25 12:00:00", datetime(2026, 6, 25, 12, 5, tzinfo=UTC)),
    ],
)
def test_metrics_are_known_when_their_five_minutes_end(
    tmp_path: Path, day: str, label: str, known: datetime
) -> None:
    part = read(tmp_path, metrics(day), [[label, "BTCUSDT", 1, 2, 3, 4, 5, 6]])
    frame = assemble([part]).frame
    assert frame.select(pl.col("known_time").cast(pl.Datetime("us", "UTC"))).item() == known
