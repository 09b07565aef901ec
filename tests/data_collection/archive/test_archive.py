"""The archive facade over a real mirror and over a directory: what is fetched, kept, replaced."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.archive import (
    Archive,
    Fetched,
    FetchOptions,
    Missing,
    MissingState,
)
from alphaqcm.data_collection.archive.file_record import FileState
from alphaqcm.data_collection.errors import BadListing, SourceError, UsageError
from alphaqcm.data_collection.simulation.mirror import KeyTree, Mirror, TreeEntry
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market, Partition
from tests.helpers.archive_tree import (
    KLINES,
    day_file,
    days,
    digests,
    leftovers,
    publish,
    publish_all,
    zip_bytes,
)

QUICK = FetchOptions(backoff=0.01, stall=2.0, retries=4)


def zips_asked(mirror: Mirror) -> list[str]:
    return [served.key for served in mirror.log if served.key.endswith(".zip")]


def test_files_are_fetched_and_equal_the_source(tmp_path: Path) -> None:
    files = days(KLINES, "2024-01-01", 12)
    truth = publish_all(tmp_path / "tree", files)
    cache = tmp_path / "cache"
    with Mirror(tmp_path / "tree") as mirror, Archive.open(mirror.url, cache=cache) as archive:
        found = archive.fetch(files)
        records = archive.ledger.get_many([file.key for file in files])
    assert digests(cache) == truth
    assert {file.key: r.sha256 for file, r in found.items() if isinstance(r, Fetched)} == truth
    assert {record.published for record in records.values()} == set(truth.values())
    assert {record.state for record in records.values()} == {FileState.OK}
    assert leftovers(cache) == []


def test_a_directory_is_copied_and_verified_like_any_source(tmp_path: Path) -> None:
    files = days(KLINES, "2024-01-01", 3)
    truth = publish_all(tmp_path / "tree", files)
    with Archive.open(str(tmp_path / "tree"), cache=tmp_path / "cache") as archive:
        found = archive.fetch(files)
    assert digests(tmp_path / "cache") == truth
    assert all(isinstance(result, Fetched) and result.downloaded for result in found.values())


def test_a_second_run_asks_for_no_file(tmp_path: Path) -> None:
    files = days(KLINES, "2024-01-01", 5)
    publish_all(tmp_path / "tree", files)
    with Mirror(tmp_path / "tree") as mirror:
        with Archive.open(mirror.url, cache=tmp_path / "cache") as archive:
            archive.fetch(files)
        before = len(mirror.log)
        with Archive.open(mirror.url, cache=tmp_path / "cache") as archive:
            found = archive.fetch(files)
        asked = [served.key for served in mirror.log[before:]]
    assert all(key.startswith("?prefix=") for key in asked)
    assert [r.downloaded for r in found.values() if isinstance(r, Fetched)] == [0] * 5


def test_only_the_changed_file_is_replaced(tmp_path: Path) -> None:
    files = days(KLINES, "2024-01-01", 4)
    truth = publish_all(tmp_path / "tree", files)
    with Mirror(tmp_path / "tree") as mirror:
        with Archive.open(mirror.url, cache=tmp_path / "cache") as archive:
            archive.fetch(files)
        before = len(zips_asked(mirror))
        changed = publish(tmp_path / "tree", files[2], zip_bytes(files[2], 3000, seed=1))
        with Archive.open(mirror.url, cache=tmp_path / "cache") as archive:
            found = archive.fetch(files)
        assert zips_asked(mirror)[before:] == [files[2].key]
    assert digests(tmp_path / "cache") == truth | {files[2].key: changed}
    assert isinstance(found[files[2]], Fetched)


def test_a_touched_file_with_the_same_bytes_is_not_downloaded_again(tmp_path: Path) -> None:
    file = day_file(KLINES, "2024-01-01")
    publish_all(tmp_path / "tree", [file])
    with Mirror(tmp_path / "tree") as mirror:
        with Archive.open(mirror.url, cache=tmp_path / "cache") as archive:
            archive.fetch([file])
        os.utime(tmp_path / "tree" / file.key, (2_000_000_000, 2_000_000_000))
        with Archive.open(mirror.url, cache=tmp_path / "cache") as archive:
            found = archive.fetch([file])
        assert zips_asked(mirror) == [file.key]
    assert isinstance(found[file], Fetched)


def test_a_file_that_is_not_listed_is_absent_without_a_request(tmp_path: Path) -> None:
    there, gone = days(KLINES, "2024-01-01", 2)
    publish_all(tmp_path / "tree", [there])
    with Mirror(tmp_path / "tree") as mirror:
        with Archive.open(mirror.url, cache=tmp_path / "cache") as archive:
            found = archive.fetch([there, gone])
            record = archive.ledger.get(gone.key)
        assert gone.key not in zips_asked(mirror)
    assert found[gone] == Missing(MissingState.ABSENT, "not in the listing")
    assert record is not None
    assert record.state is FileState.ABSENT
    assert record.seen_at


def test_a_file_without_checksum_is_accepted_and_says_so(tmp_path: Path) -> None:
    file = day_file(KLINES, "2024-01-01")
    publish(tmp_path / "tree", file, zip_bytes(file, 2000), checksum=None)
    with (
        Mirror(tmp_path / "tree") as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache") as archive,
    ):
        found = archive.fetch([file])
        record = archive.ledger.get(file.key)
    assert isinstance(found[file], Fetched)
    assert record is not None
    assert (record.published, record.reason) == ("", "no published checksum")


def test_a_zip_without_checksum_that_does_not_open_is_corrupt(tmp_path: Path) -> None:
    file = day_file(KLINES, "2024-01-01")
    publish(tmp_path / "tree", file, zip_bytes(file, 2000)[:-40], checksum=None)
    with (
        Mirror(tmp_path / "tree") as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache", options=QUICK) as archive,
    ):
        found = archive.fetch([file])
    result = found[file]
    assert isinstance(result, Missing)
    assert result.state is MissingState.CORRUPT
    assert "no whole ZIP" in result.reason


def test_a_wrong_checksum_gets_one_fresh_try_and_is_not_asked_for_again(tmp_path: Path) -> None:
    file = day_file(KLINES, "2024-01-01")
    publish(tmp_path / "tree", file, zip_bytes(file, 2000), checksum="0" * 64)
    with Mirror(tmp_path / "tree") as mirror:
        for _ in range(2):
            with Archive.open(mirror.url, cache=tmp_path / "cache", options=QUICK) as archive:
                found = archive.fetch([file])
        assert zips_asked(mirror) == [file.key] * 2
    result = found[file]
    assert isinstance(result, Missing)
    assert result.state is MissingState.CORRUPT
    assert digests(tmp_path / "cache") == {}
    assert leftovers(tmp_path / "cache") == []


def test_a_corrected_checksum_heals_a_corrupt_file(tmp_path: Path) -> None:
    file = day_file(KLINES, "2024-01-01")
    publish(tmp_path / "tree", file, zip_bytes(file, 2000), checksum="0" * 64)
    with Mirror(tmp_path / "tree") as mirror:
        with Archive.open(mirror.url, cache=tmp_path / "cache", options=QUICK) as archive:
            archive.fetch([file])
        publish(tmp_path / "tree", file, zip_bytes(file, 2000))
        with Archive.open(mirror.url, cache=tmp_path / "cache", options=QUICK) as archive:
            found = archive.fetch([file])
    assert isinstance(found[file], Fetched)


def test_a_file_deleted_from_the_cache_is_fetched_again(tmp_path: Path) -> None:
    files = days(KLINES, "2024-01-01", 2)
    truth = publish_all(tmp_path / "tree", files)
    with Mirror(tmp_path / "tree") as mirror:
        with Archive.open(mirror.url, cache=tmp_path / "cache") as archive:
            archive.fetch(files)
            (tmp_path / "cache" / files[0].key).unlink()
            archive.fetch(files)
        assert zips_asked(mirror).count(files[0].key) == 2
        assert zips_asked(mirror).count(files[1].key) == 1
    assert digests(tmp_path / "cache") == truth


def test_files_are_proven_not_downloaded_when_the_ledger_is_lost(tmp_path: Path) -> None:
    files = days(KLINES, "2024-01-01", 3)
    truth = publish_all(tmp_path / "tree", files)
    cache = tmp_path / "cache"
    with Mirror(tmp_path / "tree") as mirror:
        with Archive.open(mirror.url, cache=cache) as archive:
            archive.fetch(files)
        for path in cache.glob("ledger.sqlite*"):
            path.unlink()
        with Archive.open(mirror.url, cache=cache) as archive:
            found = archive.fetch(files)
        assert len(zips_asked(mirror)) == 3
    assert {file.key: r.sha256 for file, r in found.items() if isinstance(r, Fetched)} == truth


def test_a_part_is_resumed_with_a_range(tmp_path: Path) -> None:
    file = day_file(KLINES, "2024-01-01")
    data = zip_bytes(file, 50_000)
    truth = publish(tmp_path / "tree", file, data)
    part = tmp_path / "cache" / (file.key + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(data[:30_000])
    with Mirror(tmp_path / "tree") as mirror:
        with Archive.open(mirror.url, cache=tmp_path / "cache") as archive:
            found = archive.fetch([file])
        served = [item for item in mirror.log if item.key == file.key]
    assert [(item.status, item.start) for item in served] == [(206, 30_000)]
    assert digests(tmp_path / "cache") == {file.key: truth}
    assert found[file] == Fetched(
        tmp_path / "cache" / file.key, truth, len(data), len(data) - 30_000
    )


def test_a_part_of_another_version_is_thrown_away(tmp_path: Path) -> None:
    file = day_file(KLINES, "2024-01-01")
    truth = publish(tmp_path / "tree", file, zip_bytes(file, 50_000))
    part = tmp_path / "cache" / (file.key + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(zip_bytes(file, 50_000, seed=9)[:30_000])
    with (
        Mirror(tmp_path / "tree") as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache") as archive,
    ):
        archive.fetch([file])
    assert digests(tmp_path / "cache") == {file.key: truth}


def test_symbols_and_periods_come_from_the_listing(tmp_path: Path) -> None:
    chinese = Series(Market.UM, DataType.KLINES, "币安人生USDT", "1m")
    dated = Series(Market.UM, DataType.KLINES, "BTCUSDT_240628", "1m")
    files = [
        *days(KLINES, "2024-01-01", 3),
        *days(dated, "2024-01-01", 2),
        *days(chinese, "2025-11-01", 1),
        KLINES.file(Period.parse("2023-12")),
    ]
    truth = publish_all(tmp_path / "tree", files)
    with (
        Mirror(tmp_path / "tree") as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache") as archive,
    ):
        symbols = archive.symbols(Market.UM, DataType.KLINES)
        periods = archive.periods(KLINES)
        archive.fetch(files)
    assert symbols == ["BTCUSDT", "BTCUSDT_240628", "币安人生USDT"]
    stamps = sorted(period.stamp for period in periods)
    assert stamps == ["2023-12", "2024-01-01", "2024-01-02", "2024-01-03"]
    assert digests(tmp_path / "cache") == truth


def listed_tree(keys: list[str]) -> KeyTree:
    return KeyTree(TreeEntry(key, 100, "e" * 32, datetime(2024, 1, 1, tzinfo=UTC)) for key in keys)


@pytest.mark.slow
def test_more_symbols_and_files_than_a_page_are_all_listed(tmp_path: Path) -> None:
    names = [f"A{n:04}USDT" for n in range(2345)]
    folders = [f"data/futures/um/daily/klines/{name}/1m/x" for name in names]
    files = days(KLINES, "2018-01-01", 1800)
    keys = [key for file in files for key in (file.key, file.checksum_key)]
    with (
        Mirror(listed_tree([*folders, *keys])) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache") as archive,
    ):
        assert archive.symbols(Market.UM, DataType.KLINES) == [*names, "BTCUSDT"]
        periods = archive.periods(KLINES)
    assert set(periods) == {file.period for file in files}
    assert {listed.checksum_etag for listed in periods.values()} == {"e" * 32}


def test_folders_without_a_name_and_foreign_files_are_left_out(tmp_path: Path) -> None:
    file = day_file(KLINES, "2024-01-01")
    folder = KLINES.prefix(Partition.DAILY)
    foreign = ["notes.txt", "BTCUSDT-1m-2024-13-01.zip", "BTCUSDT-5m-2024-01-01.zip"]
    keys = [file.key, "data/futures/um/daily/klines//1m/x.zip", *(folder + n for n in foreign)]
    with (
        Mirror(listed_tree(keys)) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache") as archive,
    ):
        assert archive.symbols(Market.UM, DataType.KLINES) == ["BTCUSDT"]
        assert list(archive.periods(KLINES)) == [file.period]


def test_what_was_read_is_written_beside_the_file(tmp_path: Path) -> None:
    file = day_file(KLINES, "2024-01-01")
    publish_all(tmp_path / "tree", [file])
    with Archive.open(str(tmp_path / "tree"), cache=tmp_path / "cache") as archive:
        archive.fetch([file])
        first = datetime(2024, 1, 1, tzinfo=UTC)
        archive.notes.read(file, 1440, first, first.replace(hour=23, minute=59))
        archive.notes.gaps(KLINES, [date(2024, 1, 2)], "no rows in any file")
        read = archive.ledger.get(file.key)
        holes = list(archive.ledger.select(state=FileState.HOLE))
    assert read is not None
    assert (read.rows, read.first, read.last) == (
        1440,
        "2024-01-01T00:00:00Z",
        "2024-01-01T23:59:00Z",
    )
    assert read.state is FileState.OK
    assert [hole.key for hole in holes] == [day_file(KLINES, "2024-01-02").key]


def test_a_listing_that_is_no_listing_is_named(tmp_path: Path) -> None:
    (tmp_path / "tree" / "data").mkdir(parents=True)
    (tmp_path / "tree" / "page").write_text("<html>hello</html>")
    with (
        Mirror(tmp_path / "tree") as mirror,
        Archive.open(
            str(tmp_path / "tree"),
            cache=tmp_path / "cache",
            listing=f"{mirror.url}/page",
            options=QUICK,
        ) as archive,
        pytest.raises(BadListing, match="<html>"),
    ):
        archive.periods(KLINES)


def test_a_source_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        Archive.open(str(tmp_path / "nowhere"), cache=tmp_path / "cache")


def test_a_directory_that_cannot_be_read_is_an_error_and_not_absent(tmp_path: Path) -> None:
    file = day_file(KLINES, "2024-01-01")
    publish_all(tmp_path / "tree", [file])
    loop = tmp_path / "tree" / KLINES.prefix(Partition.MONTHLY).rstrip("/")
    loop.parent.mkdir(parents=True)
    loop.symlink_to(loop)  # a folder that no one can enter, root included
    with (
        Archive.open(str(tmp_path / "tree"), cache=tmp_path / "cache") as archive,
        pytest.raises(SourceError, match="can be read"),
    ):
        archive.fetch([file])
