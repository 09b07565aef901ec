"""Listings that say what no bucket says, and that never end."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from alphaqcm.data_collection.archive import listing
from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from alphaqcm.data_collection.archive.listing_page import parse_page
from alphaqcm.data_collection.errors import BadListing, SourceError
from alphaqcm.pipeline.domain.registry import DataType, Market
from tests.helpers.archive_tree import KLINES, day_file
from tests.helpers.raw_server import Answer, content, page, raw_server, reply

FILE = day_file(KLINES, "2024-01-01")
HASTY = FetchOptions(connections=2, backoff=0.01, stall=2.0, retries=0)


def periods(answer: Answer, cache: Path) -> list[str]:
    with (
        raw_server(answer) as server,
        Archive.open(server.url, cache=cache, options=HASTY) as archive,
    ):
        return [period.stamp for period in archive.periods(KLINES)]


def only(body: str) -> Answer:
    return lambda _target: iter([reply(body)])


@pytest.mark.parametrize(
    "size", ["abc", "", "1e5", "-1", "²", "１２", "9" * 5000, str(2**63), "1" + "0" * 15]
)
def test_a_size_that_is_none_is_a_bad_listing(tmp_path: Path, size: str) -> None:
    with pytest.raises(SourceError, match="an object of"):
        periods(only(page(content(FILE.key, size))), tmp_path)


def test_a_source_without_a_listing_is_told_as_that(tmp_path: Path) -> None:
    nothing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(SourceError, match="status 404"):
        periods(lambda _target: iter([nothing]), tmp_path)


def test_a_month_whose_end_is_no_date_is_a_foreign_name(tmp_path: Path) -> None:
    odd = FILE.key.replace("2024-01-01", "9999-12-31")
    month = odd.replace("9999-12-31", "9999-12")
    body = page(content(FILE.key), content(odd), content(month))
    assert periods(only(body), tmp_path) == ["2024-01-01"]


@pytest.mark.parametrize("word", ["TRUE", "True", " true\n", "1"])
def test_more_is_more_however_it_is_written(tmp_path: Path, word: str) -> None:
    later = FILE.key.replace("2024-01-01", "2024-01-02")

    def two_pages(target: str) -> Iterator[bytes]:
        first = "marker" not in target
        body = page(content(FILE.key), truncated=word) if first else page(content(later))
        yield reply(body)

    assert periods(two_pages, tmp_path) == ["2024-01-01", "2024-01-02"]


@pytest.mark.parametrize("word", ["", "yes", "maybe"])
def test_more_that_is_no_truth_is_a_bad_listing(tmp_path: Path, word: str) -> None:
    with pytest.raises(SourceError, match="IsTruncated"):
        periods(only(page(content(FILE.key), truncated=word)), tmp_path)


def test_a_listing_whose_marker_grows_for_ever_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_PAGES", 20)
    numbers = itertools.count(1)

    def endless(_target: str) -> Iterator[bytes]:
        yield reply(page(content(f"{FILE.key}{next(numbers):09}"), truncated="true"))

    with pytest.raises(BadListing, match="keys on 20 pages"):
        periods(endless, tmp_path)
    assert next(numbers) < 60


def test_a_listing_of_ever_more_keys_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_KEYS", 5000)
    numbers = itertools.count(1)

    def endless(_target: str) -> Iterator[bytes]:
        keys = [f"{FILE.key}{next(numbers):09}" for _ in range(1000)]
        yield reply(page(*map(content, keys), truncated="true"))

    with pytest.raises(BadListing, match="at most 5000 keys"):
        periods(endless, tmp_path)
    assert next(numbers) < 20_000


def test_a_marker_that_goes_back_is_a_bad_listing(tmp_path: Path) -> None:
    def back(target: str) -> Iterator[bytes]:
        marker = parse_qs(target).get("marker", ["z"])[0]
        more = f"<NextMarker>{'y' if marker == 'z' else 'x'}</NextMarker>"
        yield reply(page(content(FILE.key), truncated="true", more=more))

    with pytest.raises(BadListing, match="a page that goes on after y"):
        periods(back, tmp_path)


@pytest.mark.process
def test_a_listing_nested_a_million_deep_costs_little_memory() -> None:
    # a process of its own: its largest memory is the measure
    code = """
import resource
from alphaqcm.data_collection.archive.listing_page import parse_page
from alphaqcm.data_collection.errors import BadListing
text = "<ListBucketResult>" + "<a>" * 1_000_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    parse_page("url", text, "")
except BadListing as error:
    print(error.found)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, grown = done.stdout.splitlines()
    assert "more than 20000 elements" in found
    assert int(grown) < 60  # MB


def test_a_listing_of_a_million_elements_is_left_early() -> None:
    with pytest.raises(BadListing, match="more than 20000 elements"):
        parse_page("url", "<ListBucketResult>" + "<a/>" * 1_000_000 + "</ListBucketResult>", "")


def test_a_key_longer_than_keys_are_is_a_bad_listing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a key of"):
        periods(only(page(content(FILE.key + "x" * 5000))), tmp_path)


@pytest.mark.parametrize(
    "contents",
    [
        "<Contents/>",
        "<Contents><Key/></Contents>",
        "<Contents><Size>5</Size></Contents>",
        "<CommonPrefixes/>",
        "&nothing;",
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
        "\x00",
    ],
)
def test_a_page_that_lacks_its_parts_is_a_bad_listing(tmp_path: Path, contents: str) -> None:
    with pytest.raises(SourceError, match="expected"):
        periods(only(page(contents)), tmp_path)


def test_folders_of_any_name_are_only_names(tmp_path: Path) -> None:
    names = ["../..", "", "\x1b[31m".replace("\x1b", "&#x9b;"), "a b", "BTCUSDT"]
    prefix = "data/futures/um/monthly/klines/"
    body = page(*(f"<CommonPrefixes><Prefix>{prefix}{n}/</Prefix></CommonPrefixes>" for n in names))
    with (
        raw_server(only(body)) as server,
        Archive.open(server.url, cache=tmp_path / "cache", options=HASTY) as archive,
    ):
        assert "BTCUSDT" in archive.symbols(Market.UM, DataType.KLINES)
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}
