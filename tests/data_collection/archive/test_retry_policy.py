"""Downloads under every fault: each kind of fault alone, and all of them over hundreds of files."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime
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
from alphaqcm.data_collection.errors import CacheFull, Refused, SourceError, Unreachable
from alphaqcm.data_collection.simulation.mirror import Fault, FaultKind, FaultPlan, Mirror
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.registry import DataType, Market
from tests.conftest import SOAK, need_tool
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

ZIPS = "*.zip"
CHANCE = FetchOptions(connections=24, backoff=0.02, stall=1.0, retries=12)


@pytest.fixture(params=["requests", pytest.param("aria2", marks=pytest.mark.process)])
def options(request: pytest.FixtureRequest) -> FetchOptions:
    if request.param == "aria2":
        need_tool("aria2c")
    return replace(CHANCE, downloader=request.param)


@pytest.mark.parametrize(
    ("fault", "trouble"),
    [
        (Fault(FaultKind.STATUS, ZIPS, status=503), "server error"),
        (Fault(FaultKind.STATUS, ZIPS, status=500), "server error"),
        (Fault(FaultKind.STATUS, ZIPS, status=403), "throttled"),
        (Fault(FaultKind.STATUS, ZIPS, status=418, retry_after=0.1), "throttled"),
        (Fault(FaultKind.STATUS, ZIPS, status=429, retry_after=0.1), "throttled"),
        (Fault(FaultKind.LOST, ZIPS), None),  # aria2 may see it as a short body
        (Fault(FaultKind.RESET, ZIPS, after=900), None),  # seen as reset or as end, by chance
        (Fault(FaultKind.STALL, ZIPS, after=900), "stalled"),
        (Fault(FaultKind.CUT, ZIPS, after=900), None),  # aria2 sees a lost connection
        (Fault(FaultKind.SHORT, ZIPS, after=300), None),  # aria2 gets the rest, HTTP begins again
        (Fault(FaultKind.LONG, ZIPS, after=300), "wrong length"),
        (Fault(FaultKind.WRONG, ZIPS), "wrong checksum"),
        (Fault(FaultKind.WRONG, "*.CHECKSUM"), "wrong checksum"),
        (Fault(FaultKind.STATUS, "*.CHECKSUM", status=503), "server error"),
    ],
    ids=lambda value: f"{value.kind}-{value.match[2:]}" if isinstance(value, Fault) else "",
)
def test_one_fault_is_mended_and_counted(
    tmp_path: Path, options: FetchOptions, fault: Fault, trouble: str | None
) -> None:
    files = days(KLINES, "2024-01-01", 2)
    truth = publish_all(tmp_path / "tree", files, 5000)
    plan = FaultPlan((fault,))
    with (
        Mirror(tmp_path / "tree", faults=plan) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache", options=options) as archive,
    ):
        archive.fetch(files)
        retried_errors = dict(archive.retried_errors)
    assert digests(tmp_path / "cache") == truth
    assert leftovers(tmp_path / "cache") == []
    assert retried_errors if trouble is None else retried_errors.get(trouble)


@pytest.mark.parametrize("kind", [FaultKind.DRIP, FaultKind.REDIRECT])
def test_slow_and_moved_files_arrive_without_trouble(
    tmp_path: Path, options: FetchOptions, kind: FaultKind
) -> None:
    files = days(KLINES, "2024-01-01", 2)
    truth = publish_all(tmp_path / "tree", files, 5000)
    plan = FaultPlan((Fault(kind, rate=20_000),))
    with (
        Mirror(tmp_path / "tree", faults=plan) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache", options=options) as archive,
    ):
        archive.fetch(files)
        assert dict(archive.retried_errors) == {}
    assert digests(tmp_path / "cache") == truth


def test_a_cut_transfer_goes_on_where_it_stopped(tmp_path: Path, options: FetchOptions) -> None:
    file = day_file(KLINES, "2024-01-01")
    truth = publish(tmp_path / "tree", file, zip_bytes(file, 500_000))
    plan = FaultPlan((Fault(FaultKind.CUT, ZIPS, after=150_000, times=4),))
    with Mirror(tmp_path / "tree", faults=plan) as mirror:
        with Archive.open(mirror.url, cache=tmp_path / "cache", options=options) as archive:
            archive.fetch([file])
        served = [item for item in mirror.log if item.key == file.key]
    starts = [item.start for item in served]
    if options.downloader == "requests":
        assert starts == [0, 150_000, 300_000, 450_000, 600_000]
    assert digests(tmp_path / "cache") == {file.key: truth}
    # aria2 keeps whole blocks only, and asks once more from the start before it gives an attempt up
    assert max(starts) > 250_000


def storm_files() -> list[ArchiveFile]:
    series = [
        Series(Market.UM, DataType.KLINES, symbol, "1m") for symbol in ("BTCUSDT", "币安人生USDT")
    ]
    return [file for one in series for file in days(one, "2023-01-01", 900 if SOAK else 280)]


STORM = FaultPlan(
    seed=11,
    rules=(
        Fault(FaultKind.LOST, on="listing", times=1),
        Fault(FaultKind.STATUS, "*-2023-01-0[12].zip", status=404, times=0),
        Fault(FaultKind.STATUS, every=200, length=6, status=403),
        Fault(FaultKind.STATUS, chance=0.05, times=2, status=503),
        Fault(FaultKind.STATUS, chance=0.02, status=429, retry_after=0.2),
        Fault(FaultKind.STATUS, chance=0.02, status=418, retry_after=0.1),
        Fault(FaultKind.RESET, chance=0.05, after=700),
        Fault(FaultKind.STALL, ZIPS, chance=0.03, after=700),
        Fault(FaultKind.CUT, chance=0.05, after=500, times=2),
        Fault(FaultKind.SHORT, ZIPS, chance=0.05, after=100),
        Fault(FaultKind.LONG, ZIPS, chance=0.05, after=100),
        Fault(FaultKind.WRONG, ZIPS, chance=0.05),
        Fault(FaultKind.DRIP, ZIPS, chance=0.03, rate=20_000),
        Fault(FaultKind.REDIRECT, chance=0.05),
        Fault(FaultKind.LOST, chance=0.05),
    ),
)


@pytest.mark.slow
def test_after_a_storm_ledger_and_disk_equal_the_truth(
    tmp_path: Path, options: FetchOptions
) -> None:
    files = storm_files()
    not_there, wrong, bare = set(files[5::50]), set(files[6::50]), set(files[7::50])
    refused = {file for file in files if file.period.stamp in ("2023-01-01", "2023-01-02")}
    truth: dict[str, str] = {}
    for file in files:
        if file in not_there:
            continue
        checksum = "0" * 64 if file in wrong else None if file in bare else ""
        digest = publish(tmp_path / "tree", file, zip_bytes(file, 3000), checksum=checksum)
        if file not in wrong and file not in refused:
            truth[file.key] = digest

    with (
        Mirror(tmp_path / "tree", faults=STORM) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache", options=options) as archive,
    ):
        found = archive.fetch(files)
        records = {record.key: record for record in archive.ledger.select()}
        retried_errors = dict(archive.retried_errors)

    assert digests(tmp_path / "cache") == truth
    assert leftovers(tmp_path / "cache") == []
    states = {key: record.state for key, record in records.items()}
    expected = {
        file.key: FileState.ABSENT
        if file in not_there | refused
        else FileState.CORRUPT
        if file in wrong
        else FileState.OK
        for file in files
    }
    assert states == expected
    assert {key: r.sha256 for key, r in records.items() if r.state is FileState.OK} == truth
    assert {f.key: r.sha256 for f, r in found.items() if isinstance(r, Fetched)} == truth
    assert set(retried_errors) >= {
        "throttled",
        "server error",
        "connection lost",
        "stalled",
        "short body",
        "wrong length",
        "wrong checksum",
    }


def test_451_stops_at_once_and_says_why(tmp_path: Path, options: FetchOptions) -> None:
    files = days(KLINES, "2024-01-01", 5)
    publish_all(tmp_path / "tree", files)
    plan = FaultPlan((Fault(FaultKind.STATUS, status=451, times=0),))
    with (
        Mirror(tmp_path / "tree", faults=plan) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache", options=options) as archive,
        pytest.raises(Refused, match="region"),
    ):
        archive.fetch(files)
    assert leftovers(tmp_path / "cache") == []


def test_an_archive_that_was_refused_once_can_still_be_asked(
    tmp_path: Path, options: FetchOptions
) -> None:
    files = days(KLINES, "2024-01-01", 5)
    truth = publish_all(tmp_path / "tree", files)
    # aria2 does not tell the answer's meaning, so the source is asked a second time
    times = 2 if options.downloader == "aria2" else 1
    plan = FaultPlan((Fault(FaultKind.STATUS, files[0].key, times=times, status=451),))
    with (
        Mirror(tmp_path / "tree", faults=plan) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache", options=options) as archive,
    ):
        with pytest.raises(Refused):
            archive.fetch(files)
        assert archive.periods(replace(KLINES, symbol="ETHUSDT")) == {}
        archive.fetch(files)
    assert digests(tmp_path / "cache") == truth


def test_a_file_that_never_comes_fails_and_the_others_are_there(
    tmp_path: Path, options: FetchOptions
) -> None:
    files = days(KLINES, "2024-01-01", 5)
    truth = publish_all(tmp_path / "tree", files)
    plan = FaultPlan((Fault(FaultKind.STATUS, files[0].key, status=503, times=0),))
    with (
        Mirror(tmp_path / "tree", faults=plan) as mirror,
        Archive.open(
            mirror.url, cache=tmp_path / "cache", options=replace(options, retries=3)
        ) as archive,
    ):
        with pytest.raises(Unreachable, match="4 attempts"):
            archive.fetch(files)
        failed = archive.ledger.get(files[0].key)
    del truth[files[0].key]
    assert digests(tmp_path / "cache") == truth
    assert failed is None


@pytest.mark.slow
def test_retry_after_is_honoured_by_the_whole_pool(tmp_path: Path, options: FetchOptions) -> None:
    files = days(KLINES, "2024-01-01", 12)
    publish_all(tmp_path / "tree", files)
    # twice: aria2 does not tell Retry-After, so the source is asked for it
    fault = Fault(FaultKind.STATUS, files[0].key, times=2, status=429, retry_after=1.0)
    plan = FaultPlan((fault,))
    with Mirror(tmp_path / "tree", faults=plan) as mirror:
        with Archive.open(
            mirror.url, cache=tmp_path / "cache", options=replace(options, connections=1)
        ) as archive:
            archive.list_many([KLINES])
            begin = datetime.now(UTC)
            archive.fetch(files)
            elapsed = (datetime.now(UTC) - begin).total_seconds()
        statuses = [item.status for item in mirror.log if not item.key.startswith("?")]
    assert statuses[:2] == [429, 429]
    assert set(statuses[2:]) <= {200, 206}
    assert elapsed >= 1.0


def test_a_listed_file_that_is_a_404_is_asked_again_only_after_recheck(
    tmp_path: Path, options: FetchOptions
) -> None:
    file = day_file(KLINES, "2024-01-01")
    publish_all(tmp_path / "tree", [file])
    plan = FaultPlan((Fault(FaultKind.STATUS, ZIPS, status=404, times=0),))
    asked = []
    with Mirror(tmp_path / "tree", faults=plan) as mirror:
        for recheck in (24.0, 24.0, 0.0):
            again = replace(options, recheck=recheck)
            with Archive.open(mirror.url, cache=tmp_path / "cache", options=again) as archive:
                found = archive.fetch([file])[file]
            assert isinstance(found, Missing)
            assert found.state is MissingState.ABSENT
            asked.append(sum(item.key == file.key for item in mirror.log))
    assert asked == [1, 1, 2]


def test_a_name_that_does_not_resolve_is_unreachable(tmp_path: Path, options: FetchOptions) -> None:
    file = day_file(KLINES, "2024-01-01")
    publish_all(tmp_path / "tree", [file])
    with (
        Mirror(tmp_path / "tree") as mirror,
        Archive.open(
            "http://no-such-archive.invalid",
            listing=mirror.url,
            cache=tmp_path / "cache",
            options=replace(options, retries=1),
        ) as archive,
    ):
        with pytest.raises(Unreachable, match="name not found"):
            archive.fetch([file])
        assert archive.retried_errors["name not found"] == 2


def test_nobody_listening_is_unreachable(tmp_path: Path, options: FetchOptions) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with (
            Archive.open(
                url, cache=tmp_path / "cache", options=replace(options, retries=1)
            ) as archive,
            pytest.raises(Unreachable, match="check the network"),
        ):
            archive.fetch([day_file(KLINES, "2024-01-01")])


@pytest.mark.slow
def test_a_source_that_shuts_us_out_stops_the_pool(tmp_path: Path, options: FetchOptions) -> None:
    files = days(KLINES, "2024-01-01", 40)
    publish_all(tmp_path / "tree", files, 500)
    plan = FaultPlan((Fault(FaultKind.STATUS, status=403, times=0),))
    with (
        Mirror(tmp_path / "tree", faults=plan) as mirror,
        Archive.open(
            mirror.url, cache=tmp_path / "cache", options=replace(options, retries=3)
        ) as archive,
        pytest.raises(Refused, match="7 times in a row"),
    ):
        archive.fetch(files)


@pytest.mark.slow
def test_a_volley_of_throttled_answers_is_one_throttling(
    tmp_path: Path, options: FetchOptions
) -> None:
    files = days(KLINES, "2024-01-01", 24)
    truth = publish_all(tmp_path / "tree", files, 500)
    plan = FaultPlan((Fault(FaultKind.STATUS, every=1000, length=24, status=429, retry_after=0.2),))
    with (
        Mirror(tmp_path / "tree", faults=plan) as mirror,
        Archive.open(
            mirror.url, cache=tmp_path / "cache", options=replace(options, retries=5)
        ) as archive,
    ):
        archive.fetch(files)
    assert digests(tmp_path / "cache") == truth


def test_an_hour_of_retry_after_is_not_waited_for(tmp_path: Path, options: FetchOptions) -> None:
    file = day_file(KLINES, "2024-01-01")
    publish_all(tmp_path / "tree", [file])
    plan = FaultPlan((Fault(FaultKind.STATUS, status=418, retry_after=3600, times=0),))
    with (
        Mirror(tmp_path / "tree", faults=plan) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache", options=options) as archive,
        pytest.raises(Refused, match="Retry-After 3600 s"),
    ):
        archive.fetch([file])


def test_a_source_that_goes_away_does_not_cost_a_wait_for_every_file(
    tmp_path: Path, options: FetchOptions
) -> None:
    files = days(KLINES, "2024-01-01", 300)
    publish_all(tmp_path / "tree", files, 500)
    plan = FaultPlan((Fault(FaultKind.LOST, times=0),))
    few = replace(options, retries=2, connections=4)
    with (
        Mirror(tmp_path / "tree", faults=plan) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache", options=few) as archive,
    ):
        with pytest.raises(SourceError, match="of 300 files"):
            archive.fetch(files)
        assert len(mirror.log) < 100


def test_a_proxy_of_the_environment_is_used(
    tmp_path: Path, options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = days(KLINES, "2024-01-01", 3)
    truth = publish_all(tmp_path / "tree", files)
    with Mirror(tmp_path / "tree") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        with Archive.open(
            "http://archive.invalid", cache=tmp_path / "cache", options=options
        ) as archive:
            archive.fetch(files)
    assert digests(tmp_path / "cache") == truth


@pytest.mark.slow
def test_the_rate_limit_holds(tmp_path: Path, options: FetchOptions) -> None:
    files = days(KLINES, "2024-01-01", 4)
    publish_all(tmp_path / "tree", files, 100_000)
    slow = replace(options, rate_limit=300_000)
    with (
        Mirror(tmp_path / "tree") as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache", options=slow) as archive,
    ):
        begin = datetime.now(UTC)
        found = archive.fetch(files)
        elapsed = (datetime.now(UTC) - begin).total_seconds()
    size = sum(result.size for result in found.values() if isinstance(result, Fetched))
    assert size / elapsed < 400_000


def test_max_disk_stops_clearly_and_keeps_what_is_there(
    tmp_path: Path, options: FetchOptions
) -> None:
    files = days(KLINES, "2024-01-01", 10)
    truth = publish_all(tmp_path / "tree", files, 10_000)
    size = (tmp_path / "tree" / files[0].key).stat().st_size
    small = replace(options, max_disk=size * 4, connections=2)
    with Mirror(tmp_path / "tree") as mirror:
        with (
            Archive.open(mirror.url, cache=tmp_path / "cache", options=small) as archive,
            pytest.raises(CacheFull, match="--max-disk"),
        ):
            archive.fetch(files)
        there = digests(tmp_path / "cache")
        assert there.items() <= truth.items()
        assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.zip*")) <= size * 4
        with Archive.open(mirror.url, cache=tmp_path / "cache", options=options) as archive:
            archive.fetch(files)
    assert digests(tmp_path / "cache") == truth
