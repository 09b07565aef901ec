"""The mirror answers as the archive and its bucket do."""

from __future__ import annotations

import hashlib
import socket
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.mirror import (
    Fault,
    FaultKind,
    FaultPlan,
    KeyTree,
    Mirror,
    TreeEntry,
)
from tests.conftest import PROJECT

NOON = datetime(2024, 2, 3, 12, tzinfo=UTC)
S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def keys(root: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in root.iterfind(f"{S3}Contents/{S3}Key")]


def folders(root: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in root.iterfind(f"{S3}CommonPrefixes/{S3}Prefix")]


def page(mirror: Mirror, **words: str) -> ElementTree.Element:
    answer = requests.get(mirror.url, params=words, timeout=10)
    assert answer.status_code == 200
    return ElementTree.fromstring(answer.text)


def tree_of(names: list[str]) -> KeyTree:
    return KeyTree(TreeEntry(name, len(name), "e" * 32, NOON) for name in names)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "币安"
    folder.mkdir(parents=True)
    (folder / "a.zip").write_bytes(bytes(range(100)))
    return tmp_path


def test_a_file_has_length_date_and_etag(tree: Path) -> None:
    with Mirror(tree) as mirror:
        answer = requests.get(f"{mirror.url}/{quote('data/币安/a.zip')}", timeout=10)
    assert answer.content == bytes(range(100))
    assert answer.headers["Content-Length"] == "100"
    assert answer.headers["ETag"] == f'"{hashlib.md5(bytes(range(100))).hexdigest()}"'
    assert answer.headers["Last-Modified"].endswith("GMT")


@pytest.mark.parametrize(
    ("asked", "status", "span", "content_range"),
    [
        ("bytes=90-", 206, slice(90, 100), "bytes 90-99/100"),
        ("bytes=10-19", 206, slice(10, 20), "bytes 10-19/100"),
        ("bytes=-5", 206, slice(95, 100), "bytes 95-99/100"),
        ("bytes=0-500", 206, slice(0, 100), "bytes 0-99/100"),
        ("bytes=100-", 416, slice(0, 0), "bytes */100"),
    ],
)
def test_ranges(tree: Path, asked: str, status: int, span: slice, content_range: str) -> None:
    with Mirror(tree) as mirror:
        url = f"{mirror.url}/data/币安/a.zip"
        answer = requests.get(url, headers={"Range": asked}, timeout=10)
    assert answer.status_code == status
    assert answer.content == bytes(range(100))[span]
    assert answer.headers["Content-Range"] == content_range


def test_a_range_of_another_version_gives_the_whole_file(tree: Path) -> None:
    with Mirror(tree) as mirror:
        headers = {"Range": "bytes=90-", "If-Range": '"of another version"'}
        answer = requests.get(f"{mirror.url}/data/币安/a.zip", headers=headers, timeout=10)
    assert (answer.status_code, len(answer.content)) == (200, 100)


def test_head_gives_the_headers_only(tree: Path) -> None:
    with Mirror(tree) as mirror:
        answer = requests.head(f"{mirror.url}/data/币安/a.zip", timeout=10)
    assert (answer.headers["Content-Length"], answer.content) == ("100", b"")


@pytest.mark.parametrize("path", ["data/none.zip", "data", "../etc/passwd", "data/币安/"])
def test_what_is_no_file_is_a_404(tree: Path, path: str) -> None:
    (tree.parent / "etc").mkdir(exist_ok=True)
    (tree.parent / "etc" / "passwd").write_text("secret")
    with Mirror(tree) as mirror, socket.create_connection(mirror._server.server_address) as raw:
        raw.sendall(f"GET /{quote(path)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 404")


def test_one_connection_serves_many_requests(tree: Path) -> None:
    with Mirror(tree) as mirror, socket.create_connection(mirror._server.server_address) as raw:
        for _ in range(3):
            raw.sendall(b"HEAD /data/none HTTP/1.1\r\nHost: x\r\n\r\n")
            assert raw.recv(4000).startswith(b"HTTP/1.1 404")


def test_a_listing_page_holds_a_thousand_keys_and_goes_on_from_the_last() -> None:
    names = sorted(f"data/x/{n}.zip" for n in range(2500))
    with Mirror(tree_of(names)) as mirror:
        first = page(mirror, prefix="data/x/")
        second = page(mirror, prefix="data/x/", marker=keys(first)[-1])
        third = page(mirror, prefix="data/x/", marker=keys(second)[-1])
    assert keys(first) + keys(second) + keys(third) == names
    assert [root.findtext(f"{S3}IsTruncated") for root in (first, second, third)] == [
        "true",
        "true",
        "false",
    ]


def test_the_next_marker_comes_only_with_a_delimiter() -> None:
    names = [f"data/{n:04}/a.zip" for n in range(1500)]
    with Mirror(tree_of(names)) as mirror:
        folded = page(mirror, prefix="data/", delimiter="/")
        flat = page(mirror, prefix="data/")
        rest = page(mirror, prefix="data/", delimiter="/", marker="data/0999/")
    assert folded.findtext(f"{S3}NextMarker") == "data/0999/"
    assert flat.find(f"{S3}NextMarker") is None
    assert folders(folded) + folders(rest) == [f"data/{n:04}/" for n in range(1500)]


def test_a_prefix_without_slash_matches_longer_names_too() -> None:
    with Mirror(tree_of(["d/BTCUSDT/a", "d/BTCUSDT_240628/a"])) as mirror:
        assert folders(page(mirror, prefix="d/BTCUSDT", delimiter="/")) == [
            "d/BTCUSDT/",
            "d/BTCUSDT_240628/",
        ]
        assert keys(page(mirror, prefix="d/BTCUSDT/")) == ["d/BTCUSDT/a"]


def test_directories_and_key_lists_are_listed_alike(tmp_path: Path) -> None:
    names = ["data/a/1.zip", "data/a/1.zip.CHECKSUM", "data/b&c/2.zip", "data/top.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    with Mirror(tmp_path) as disk, Mirror(tree_of(names)) as memory:
        for words in ({"prefix": "data/"}, {"prefix": "data/", "delimiter": "/"}, {"prefix": ""}):
            ours, theirs = page(disk, **words), page(memory, **words)
            assert (keys(ours), folders(ours)) == (keys(theirs), folders(theirs))


def test_the_weather_is_decided_by_the_seed(tree: Path) -> None:
    def statuses(seed: int) -> list[int]:
        rule = Fault(FaultKind.STATUS, chance=0.5, status=503)
        with Mirror(tree, faults=FaultPlan((rule,), seed=seed)) as mirror:
            return [
                requests.get(f"{mirror.url}/data/{n}", timeout=10).status_code for n in range(40)
            ]

    assert statuses(1) == statuses(1)
    assert statuses(1) != statuses(2)
    assert set(statuses(1)) == {404, 503}


def test_a_burst_strikes_whatever_is_asked(tree: Path) -> None:
    rule = Fault(FaultKind.STATUS, every=5, length=2, status=403)
    with Mirror(tree, faults=FaultPlan((rule,))) as mirror:
        answers = [requests.get(f"{mirror.url}/{n}", timeout=10).status_code for n in range(10)]
    assert answers == [403, 403, 404, 404, 404] * 2


def test_the_weather_shown_in_the_docs_can_be_read(tmp_path: Path) -> None:
    docs = (PROJECT / "docs" / "download.md").read_text(encoding="utf-8")
    path = tmp_path / "storm.yml"
    path.write_text(docs.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    plan = FaultPlan.load(path)
    assert [rule.kind for rule in plan.rules] == ["status", "status", "status", "reset", "lost"]
    assert plan.rules[-1].on == "listing"


def test_faults_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "storm.yml"
    path.write_text(
        "seed: 3\nlatency_ms: 40\nfaults:\n"
        "  - {kind: status, match: '*.zip', status: 429, retry_after: 2}\n"
        "  - {kind: cut, after: 100, chance: 0.1}\n"
    )
    plan = FaultPlan.load(path)
    assert (plan.seed, plan.latency_ms) == (3, 40.0)
    assert plan.rules == (
        Fault(FaultKind.STATUS, "*.zip", status=429, retry_after=2),
        Fault(FaultKind.CUT, after=100, chance=0.1),
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("faults: [{kind: hail}]", "hail"),
        ("faults: [{match: '*'}]", "kind"),
        ("faults: [{kind: cut, afterr: 1}]", "afterr"),
        ("weather: bad", "weather"),
        ("- just\n- a list", "a list"),
        ("faults: {", "YAML"),
        ("faults: [{kind: cut, after: many}]", "after"),
        ("faults: {kind: cut}", "list"),
        ("seed: rain", "seed"),
    ],
)
def test_a_wrong_fault_file_is_explained(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "storm.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match=named):
        FaultPlan.load(path)
