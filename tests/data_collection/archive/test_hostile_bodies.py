"""Bodies and heads of answers that would never end, or say what no honest source says."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from alphaqcm.data_collection.archive.transport.paced_http import LEAST_RATE
from alphaqcm.data_collection.errors import SourceError
from tests.conftest import need_tool
from tests.helpers.archive_tree import KLINES, day_file, leftovers, publish, zip_bytes
from tests.helpers.raw_server import Answer, RawServer, content, page, raw_server, reply

FILE = day_file(KLINES, "2024-01-01")
MB = 1 << 20


@pytest.fixture(params=["requests", "aria2"])
def options(request: pytest.FixtureRequest) -> FetchOptions:
    if request.param == "aria2":
        need_tool("aria2c")
    return FetchOptions(connections=2, backoff=0.02, stall=1.0, retries=1, downloader=request.param)


def source(body: Answer) -> Answer:
    """A source that lists FILE with 5,000 bytes and serves `body` for it."""

    def answer(target: str) -> Iterator[bytes]:
        if target.startswith("/?prefix=data/futures/um/daily"):
            yield reply(page(content(FILE.key, 5000)))
        elif target.startswith("/?"):
            yield reply(page())
        else:
            yield from body(target)

    return answer


def fetch(server: RawServer, cache: Path, options: FetchOptions) -> str:
    """What fetching FILE raises."""
    with (
        Archive.open(server.url, cache=cache, options=options) as archive,
        pytest.raises(SourceError) as caught,
    ):
        archive.fetch([FILE])
    assert sum(path.stat().st_size for path in cache.rglob("*.zip*")) <= 5000
    return str(caught.value)


@pytest.mark.process
def test_a_body_without_a_length_ends_at_the_listed_size(
    tmp_path: Path, options: FetchOptions
) -> None:
    def endless(_target: str) -> Iterator[bytes]:
        yield reply(length=False)
        yield from itertools.repeat(b"x" * 65_536)

    with raw_server(source(endless)) as server:
        told = fetch(server, tmp_path, options)
    assert "wrong length: more than the 5000 bytes listed" in told
    # what the kernel's buffers and aria2's rounds of 10 ms take besides
    assert server.sent[f"/{FILE.key}"] < 300 * MB
    assert leftovers(tmp_path) == []


@pytest.mark.process
def test_a_chunked_body_ends_at_the_listed_size(tmp_path: Path, options: FetchOptions) -> None:
    def endless(_target: str) -> Iterator[bytes]:
        yield reply(b"", "Transfer-Encoding: chunked", length=False)
        yield from itertools.repeat(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    with raw_server(source(endless)) as server:
        assert "more than the 5000 bytes listed" in fetch(server, tmp_path, options)
    assert leftovers(tmp_path) == []


@pytest.mark.process
def test_a_body_that_says_it_is_longer_than_listed_is_not_taken(
    tmp_path: Path, options: FetchOptions
) -> None:
    def long(_target: str) -> Iterator[bytes]:
        yield reply(b"", f"Content-Length: {1 << 40}", length=False)
        yield from itertools.repeat(b"x" * 65_536)

    with raw_server(source(long)) as server:
        assert "wrong length" in fetch(server, tmp_path, options)


def test_a_published_checksum_without_end_is_not_read_for_ever(tmp_path: Path) -> None:
    options = FetchOptions(backoff=0.02, stall=1.0, retries=1)

    def endless(_target: str) -> Iterator[bytes]:
        yield reply(length=False)
        yield from itertools.repeat(b"a" * 65_536)

    with (
        raw_server(endless) as server,
        Archive.open(server.url, cache=tmp_path, options=options) as archive,
        pytest.raises(SourceError, match="bytes of text"),
    ):
        archive.checksum_text(FILE.key)


def test_a_file_that_grew_in_a_directory_is_not_copied_beyond_its_listed_size(
    tmp_path: Path,
) -> None:
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    publish(tree, FILE, zip_bytes(FILE, 5000))
    options = FetchOptions(backoff=0.02, retries=1)
    with Archive.open(str(tree), cache=cache, options=options) as archive:
        listed = archive.periods(KLINES)[FILE.period].size
        with (tree / FILE.key).open("ab") as stream:
            stream.truncate(1 << 33)  # a sparse file: 8 GiB that take no room
        with pytest.raises(SourceError, match=f"{listed + 1} of {listed} bytes"):
            archive.fetch([FILE])


def listing_error(answer: Answer, cache: Path, **options: object) -> str:
    """What asking such a source for a listing raises."""
    hasty = FetchOptions(**{"backoff": 0.02, "stall": 0.5, "retries": 0, **options})
    with (
        raw_server(answer) as server,
        Archive.open(server.url, cache=cache, options=hasty) as archive,
        pytest.raises(SourceError) as caught,
    ):
        archive.periods(KLINES)
    return str(caught.value)


def test_endless_interim_answers_are_left(tmp_path: Path) -> None:
    def interim(_target: str) -> Iterator[bytes]:
        return itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    assert "bytes before the answer itself" in listing_error(interim, tmp_path)


def test_interim_answers_now_and_then_are_left(tmp_path: Path) -> None:
    def interim(_target: str) -> Iterator[bytes]:
        while True:
            yield b"HTTP/1.1 100 Continue\r\n\r\n"
            time.sleep(0.1)

    assert "no whole head of an answer within 1 s" in listing_error(interim, tmp_path)


def test_a_head_that_comes_byte_by_byte_is_left(tmp_path: Path) -> None:
    def drip(_target: str) -> Iterator[bytes]:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 60_000:
            yield bytes([byte])
            time.sleep(0.1)

    assert "no whole head of an answer" in listing_error(drip, tmp_path)


def test_a_listing_that_comes_byte_by_byte_is_left(tmp_path: Path) -> None:
    def drip(_target: str) -> Iterator[bytes]:
        yield reply(length=False)
        for byte in page().encode() * 100:
            yield bytes([byte])
            time.sleep(0.1)

    assert "stalled" in listing_error(drip, tmp_path)


def test_a_body_that_comes_byte_by_byte_is_left(tmp_path: Path) -> None:
    options = FetchOptions(connections=1, backoff=0.02, stall=0.5, retries=0)

    def drip(_target: str) -> Iterator[bytes]:
        yield reply(b"", "Content-Length: 5000", length=False)
        while True:
            yield b"x"
            time.sleep(0.1)

    with raw_server(source(drip)) as server:
        assert "stalled" in fetch(server, tmp_path, options)


@pytest.mark.slow
def test_a_slow_source_above_the_least_rate_is_waited_for(tmp_path: Path) -> None:
    options = FetchOptions(connections=1, backoff=0.02, stall=0.5, retries=0)
    data = zip_bytes(FILE, 4000)

    def slow(target: str) -> Iterator[bytes]:
        if target.startswith("/?prefix=data/futures/um/daily"):
            yield reply(page(content(FILE.key, len(data))))
        elif target.startswith("/?"):
            yield reply(page())
        else:
            yield reply(b"", f"Content-Length: {len(data)}", length=False)
            for at in range(0, len(data), LEAST_RATE):
                yield data[at : at + LEAST_RATE]
                time.sleep(0.2)

    with (
        raw_server(slow) as server,
        Archive.open(server.url, cache=tmp_path, options=options) as archive,
    ):
        archive.fetch([FILE])
        assert not archive.retried_errors
    assert (tmp_path / FILE.key).read_bytes() == data


@pytest.mark.parametrize(
    "location",
    [
        "http://[::bad/",
        "http://host:99999999/",
        "\xff\xfe\x80",
        "file:///etc/passwd",
        "http://",
        "//[",
    ],
)
def test_a_redirect_to_nonsense_is_told(tmp_path: Path, location: str) -> None:
    def moved(_target: str) -> Iterator[bytes]:
        yield reply(b"", f"Location: {location}", status="302 Found")

    assert "expected" in listing_error(moved, tmp_path)


def test_a_redirect_whose_body_never_ends_is_followed_without_reading_it(tmp_path: Path) -> None:
    def moved(target: str) -> Iterator[bytes]:
        if "moved" in target:
            yield reply(page())
            return
        yield reply(b"", "Location: /moved", status="302 Found", length=False)
        yield from itertools.repeat(b"x" * 65_536)

    options = FetchOptions(backoff=0.02, stall=0.5, retries=0)
    with (
        raw_server(moved) as server,
        Archive.open(server.url, cache=tmp_path, options=options) as archive,
    ):
        assert archive.periods(KLINES) == {}
    assert max(server.sent.values()) < 100 * MB


def test_redirects_without_end_are_left(tmp_path: Path) -> None:
    numbers = itertools.count()

    def moved(_target: str) -> Iterator[bytes]:
        yield reply(b"", f"Location: /{next(numbers)}", status="302 Found")

    assert "redirects without end" in listing_error(moved, tmp_path)


@pytest.mark.parametrize("length", ["²", "-1", "5000, 17", "9" * 5000, "0x10", "5000.0"])
def test_a_length_that_is_none_is_no_traceback(tmp_path: Path, length: str) -> None:
    options = FetchOptions(connections=1, backoff=0.02, stall=0.5, retries=0)

    def odd(_target: str) -> Iterator[bytes]:
        yield reply(b"x" * 5000, f"Content-Length: {length}", length=False)

    with (
        raw_server(source(odd)) as server,
        Archive.open(server.url, cache=tmp_path, options=options) as archive,
    ):
        try:
            archive.fetch([FILE])  # bytes that are no ZIP: corrupt at the source
        except SourceError as error:
            assert "expected" in str(error)
