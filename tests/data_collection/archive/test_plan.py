"""The plan is a pure function of the wanted, the listing and the ledger."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.archive import Archive
from alphaqcm.data_collection.archive.file_record import FileRecord, FileState, RemoteFile
from alphaqcm.data_collection.archive.plan import (
    Action,
    decide,
    known_gaps,
    make_plan,
    wanted_files,
)
from alphaqcm.data_collection.simulation.mirror import KeyTree, Mirror, TreeEntry
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period, months_between
from alphaqcm.pipeline.domain.registry import DataType, Market
from tests.helpers.archive_tree import KLINES, day_file

NEW = RemoteFile(100, "b" * 32, "2024-02-02T00:00:00Z")
OLD = RemoteFile(100, "a" * 32, "2024-02-01T00:00:00Z")
LONG_AGO, YESTERDAY, TODAY = "2024-01-01T00:00:00Z", "2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z"


def record(
    state: FileState, listed: RemoteFile = OLD, *, sha256: str = "", seen: str = TODAY
) -> FileRecord:
    return FileRecord(
        "key",
        state,
        size=listed.size,
        sha256=sha256,
        etag=listed.etag,
        last_modified=listed.last_modified,
        seen_at=seen,
    )


@pytest.mark.parametrize(
    ("listed", "known", "action"),
    [
        (None, None, Action.ABSENT),
        (None, record(FileState.ABSENT), Action.ABSENT),
        (None, record(FileState.CORRUPT), Action.ABSENT),
        (None, record(FileState.OK, sha256="f"), Action.KEEP),
        (OLD, None, Action.DOWNLOAD),
        (OLD, record(FileState.OK, sha256="f"), Action.KEEP),
        (NEW, record(FileState.OK, sha256="f"), Action.REPLACE),
        (OLD, record(FileState.HOLE, sha256="f"), Action.KEEP),
        (OLD, record(FileState.HOLE, RemoteFile(0, "", "")), Action.DOWNLOAD),
        (OLD, record(FileState.CORRUPT), Action.ABSENT),
        (NEW, record(FileState.CORRUPT), Action.DOWNLOAD),
        (OLD, record(FileState.ABSENT), Action.ABSENT),
        (NEW, record(FileState.ABSENT), Action.DOWNLOAD),
        (OLD, record(FileState.ABSENT, seen=LONG_AGO), Action.DOWNLOAD),
        (OLD, record(FileState.ABSENT, RemoteFile(0, "", "")), Action.DOWNLOAD),
    ],
)
def test_the_table_of_actions(
    listed: RemoteFile | None, known: FileRecord | None, action: Action
) -> None:
    assert decide(listed, known, YESTERDAY) is action


def test_a_changed_checksum_alone_replaces() -> None:
    listed = RemoteFile(100, "a" * 32, "2024-02-01T00:00:00Z", checksum_etag="c" * 32)
    assert decide(listed, record(FileState.OK, sha256="f"), YESTERDAY) is Action.REPLACE


def test_counts_and_bytes_of_a_plan() -> None:
    first, second = day_file(KLINES, "2024-01-01"), day_file(KLINES, "2024-01-02")
    plan = make_plan([first, second], {KLINES: {first.period: NEW}}, {}, recheck_before=YESTERDAY)
    assert plan.counts() == {
        Action.KEEP: 0,
        Action.DOWNLOAD: 1,
        Action.REPLACE: 0,
        Action.ABSENT: 1,
    }
    assert plan.bytes == 100


def wanted(series: Series, first: str, last: str, listed: list[str], **lacks: str) -> list[str]:
    periods = {Period.parse(stamp): OLD for stamp in listed}
    records = {}
    for stamp, missing in lacks.items():
        key = series.file(Period.parse(stamp.strip("_").replace("_", "-"))).key
        records[key] = FileRecord(key, FileState.OK, sha256="f", missing_days=missing)
    span = DateRange(date.fromisoformat(first), date.fromisoformat(last))
    months = months_between(span.start, span.end)
    gaps = known_gaps(records.values())
    return [file.period.stamp for file in wanted_files(series, months, periods, gaps, span)]


def test_months_come_whole_and_the_rest_by_day() -> None:
    listed = ["2024-01", "2024-02", "2024-03-01", "2024-03-02"]
    assert wanted(KLINES, "2024-01-15", "2024-03-02", listed) == [
        "2024-01",
        "2024-02",
        "2024-03-01",
        "2024-03-02",
    ]


def test_a_month_found_to_lack_days_is_patched_from_its_daily_files() -> None:
    found = wanted(
        KLINES, "2024-01-01", "2024-01-31", ["2024-01"], _2024_01="2024-01-05,2024-01-20"
    )
    assert found == ["2024-01", "2024-01-05", "2024-01-20"]


def test_a_corrupt_month_is_made_up_for_by_its_days() -> None:
    monthly = KLINES.file(Period.parse("2024-01"))
    records = {monthly.key: FileRecord(monthly.key, FileState.CORRUPT)}
    span = DateRange(date(2024, 1, 30), date(2024, 1, 31))
    gaps = known_gaps(records.values())
    files = wanted_files(KLINES, [monthly.period], [monthly.period], gaps, span)
    assert [file.period.stamp for file in files] == ["2024-01", "2024-01-30", "2024-01-31"]


def test_a_month_of_which_nothing_is_listed_counts_once() -> None:
    assert wanted(KLINES, "2023-12-01", "2024-01-31", ["2024-01"]) == ["2023-12", "2024-01"]


def test_a_day_missing_between_daily_files_is_named() -> None:
    found = wanted(KLINES, "2024-03-01", "2024-03-03", ["2024-03-01", "2024-03-03"])
    assert found == ["2024-03-01", "2024-03-02", "2024-03-03"]


def test_types_of_one_partition_stay_with_it() -> None:
    funding = Series(Market.UM, DataType.FUNDING, "BTCUSDT")
    metrics = Series(Market.UM, DataType.METRICS, "BTCUSDT")
    assert wanted(funding, "2024-01-30", "2024-02-02", []) == ["2024-01", "2024-02"]
    assert wanted(metrics, "2024-01-31", "2024-02-01", []) == ["2024-01-31", "2024-02-01"]


def inventory(real: Path) -> list[ArchiveFile]:
    with zipfile.ZipFile(real / "inventory" / "20260628.zip") as archive:
        text = io.TextIOWrapper(archive.open(archive.namelist()[0]), encoding="utf-8")
        return [
            ArchiveFile.parse(line.strip().removeprefix("https://data.binance.vision/"))
            for line in text
            if line.strip()
        ]


@pytest.mark.slow
def test_the_real_inventory_is_listed_and_planned_whole(real: Path, tmp_path: Path) -> None:
    files = inventory(real)
    moment = datetime(2026, 6, 28, tzinfo=UTC)
    entries = [
        TreeEntry(file.key, len(file.key), f"{n:032x}", moment) for n, file in enumerate(files)
    ]
    entries += [
        TreeEntry(file.checksum_key, 90, f"{n:032x}", moment) for n, file in enumerate(files)
    ]
    with (
        Mirror(KeyTree(entries)) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache") as archive,
    ):
        symbols = archive.symbols(Market.UM, DataType.KLINES)
        listed = archive.list_many(Series(Market.UM, DataType.KLINES, s, "1m") for s in symbols)
        span = DateRange(date(2019, 12, 1), date(2026, 5, 31))
        months = list(months_between(span.start, span.end))
        asked = [
            file
            for series, periods in listed.items()
            for file in wanted_files(series, months, periods, {}, span)
        ]
        plan = archive.plan(asked)
    downloads = plan.of(Action.DOWNLOAD)
    assert {step.file for step in downloads} == set(files)
    assert len(files) == 18_988
    assert len(symbols) == 732
    assert plan.bytes == sum(len(file.key) for file in files)
    counts = Counter(file.series.symbol for file in asked)
    assert set(counts.values()) == {78}  # 2019-12 .. 2026-05, absent ones included
