"""What users read when a source cannot be reached: one short cause, and the address."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from alphaqcm.data_collection.errors import Refused, SourceError, Unreachable
from alphaqcm.data_collection.simulation.mirror import Fault, FaultKind, FaultPlan, Mirror
from tests.helpers.archive_tree import KLINES, day_file, publish_all

HASTY = FetchOptions(connections=2, backoff=0.02, stall=0.5, retries=0)
FILE = day_file(KLINES, "2024-01-01")


@contextlib.contextmanager
def deaf_server(*, answers_calls: bool) -> Iterator[str]:
    """An address that takes calls and says nothing, or one that nobody is at."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        if answers_calls:
            place.listen(16)
        yield f"127.0.0.1:{place.getsockname()[1]}"


@contextlib.contextmanager
def hanging_up_server() -> Iterator[str]:
    """An address that takes each call, hears the request and hangs up."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        place.listen(16)

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = place.accept()
                    with caller:
                        caller.recv(4096)

        threading.Thread(target=hang_up, daemon=True).start()
        yield f"127.0.0.1:{place.getsockname()[1]}"
        place.shutdown(socket.SHUT_RDWR)


def met(url: str, cache: Path) -> SourceError:
    """What asking the address for a listing raises."""
    with (
        Archive.open(url, cache=cache, options=HASTY) as archive,
        pytest.raises(SourceError) as caught,
    ):
        archive.periods(KLINES)
    assert caught.value.subject.startswith(f"{url}?prefix=data/futures/um/")
    return caught.value


def test_nobody_at_the_address(tmp_path: Path) -> None:
    with deaf_server(answers_calls=False) as place:
        error = met(f"http://{place}", tmp_path)
    assert error.found == "connection refused"


def test_an_address_that_is_silent(tmp_path: Path) -> None:
    with deaf_server(answers_calls=True) as place:
        error = met(f"http://{place}", tmp_path)
    assert error.found == "stalled: no byte for 0.5 s"


def test_an_address_that_hangs_up(tmp_path: Path) -> None:
    with hanging_up_server() as place:
        error = met(f"http://{place}", tmp_path)
    assert error.found == "remote end closed connection without response"


def test_a_name_that_is_not_known(tmp_path: Path) -> None:
    error = met("http://no-such-archive.invalid", tmp_path)
    assert error.found == "name not found: no-such-archive.invalid"


def test_a_proxy_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with deaf_server(answers_calls=False) as place:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://{place}")
        error = met("http://archive.example", tmp_path)
    assert error.found == "the proxy: connection refused"


def test_a_server_without_tls(tmp_path: Path) -> None:
    publish_all(tmp_path / "tree", [FILE])
    with Mirror(tmp_path / "tree") as mirror:
        error = met(mirror.url.replace("http", "https"), tmp_path / "cache")
    assert isinstance(error, Refused)
    assert error.found.startswith("no TLS connection: ")
    assert "HTTPSConnectionPool" not in str(error)


def test_a_body_that_breaks_off_tells_how_much_lacks(tmp_path: Path) -> None:
    publish_all(tmp_path / "tree", [FILE], 5000)
    size = (tmp_path / "tree" / FILE.key).stat().st_size
    plan = FaultPlan((Fault(FaultKind.CUT, "*.zip", after=900, times=0),))
    with (
        Mirror(tmp_path / "tree", faults=plan) as mirror,
        Archive.open(mirror.url, cache=tmp_path / "cache", options=HASTY) as archive,
        pytest.raises(Unreachable) as caught,
    ):
        archive.fetch([FILE])
    assert caught.value.subject == f"{mirror.url}/{FILE.key}"
    assert caught.value.found == f"short body: 900 bytes, {size - 900} more expected"
