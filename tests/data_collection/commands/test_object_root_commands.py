"""Commands and the API say of a data root in a store what they say of the same on a disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import alphaqcm
from alphaqcm.data_collection.archive.objects.object_store import ObjectStore
from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.helpers.built_root import settings_of, walk
from tests.helpers.layer_bytes import digests, layer_bytes
from tests.helpers.s3_servers import BUCKET, moto

pytestmark = pytest.mark.process

SPEC = SampleSpec(symbols=("BTCUSDT", "ETHUSDT"), days=2, trades_per_day=400, compression=1)
URL = f"s3://{BUCKET}/team/root"
GROWING = f"s3://{BUCKET}/growing"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`source`, and `root` made of it on the disk."""
    folder = tmp_path_factory.mktemp("roots")
    write_sample(folder / "source", SPEC)
    walk(settings_of(SPEC, folder / "source", folder / "root"))
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, str]:
    """Its bytes before any command left a word in it."""
    return layer_bytes(folder / "root")


@pytest.fixture(scope="module")
def environment(folder: Path, expected: dict[str, str]) -> Iterator[dict[str, str]]:
    """A server that has the same data root, and one that ends a day earlier."""
    with moto() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        settings = settings_of(SPEC, folder / "source", folder / "passing")
        walk(replace(settings, store=URL))
        earlier = settings_of(SPEC, folder / "source", folder / "passing", end=SPEC.first)
        walk(replace(earlier, store=GROWING))
        yield server.environment


@pytest.fixture(autouse=True)
def use(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main([*map(str, words)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def stored(url: str) -> dict[str, str]:
    store = ObjectStore(url, Path("/nowhere"))
    keys = [key for key, _ in store.objects(store.root)]
    return digests((key, store.read(store.root / key) or b"") for key in keys)


def test_a_root_made_in_a_store_has_the_bytes_of_the_one_on_a_disk(
    folder: Path, expected: dict[str, str]
) -> None:
    found = stored(URL)
    assert {name for name in expected if found.get(name) != expected[name]} == set()
    assert not list((folder / "passing").rglob("*.parquet"))


@pytest.mark.parametrize(
    "query",
    [
        "select symbol, count(*), sum(close) from final group by all order by all",
        "select symbol, count(*), sum(volume) from klines_1m group by all order by all",
        "select symbol, count(*) from metrics_1h group by all order by all",
        "select symbol, sum(volume) from crypto_hourly_basic group by all order by all",
    ],
)
def test_a_query_gives_the_same_rows(
    folder: Path, capsys: pytest.CaptureFixture[str], query: str
) -> None:
    here = said(capsys, "sql", query, "--format", "csv", "--data-root", folder / "root")
    assert said(capsys, "sql", query, "--format", "csv", "--data-root", URL) == here


def test_the_manifest_is_the_same_and_is_verified(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = json.loads(said(capsys, "info", "--json", "-", "--data-root", folder / "root"))
    there = json.loads(said(capsys, "info", "--json", "-", "--data-root", URL))
    for told in (here, there):
        del told["created_at"]
    assert there == here
    files = said(capsys, "info", "--files", "--data-root", URL)
    assert files == said(capsys, "info", "--files", "--data-root", folder / "root")


def test_the_checks_find_the_same_and_leave_their_verdict_in_the_store(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = json.loads(said(capsys, "check", "--json", "-", "--data-root", folder / "root"))
    there = json.loads(said(capsys, "check", "--json", "-", "--data-root", URL))
    assert there["findings"] == here["findings"]
    assert there["verdict"] == here["verdict"]
    told = alphaqcm.manifest(URL)
    assert told.checks is not None
    assert told.checks.worst == here["verdict"]


def test_columns_plan_and_verify_work_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = ("--symbols", "BTCUSDT", "--start", SPEC.first, "--end", SPEC.last)
    assert "download" in said(capsys, "plan", *days, "--data-root", URL)
    assert "rv_l2" in said(capsys, "columns", "--format", "json", "--data-root", URL)
    assert "problems: 0" in said(capsys, "verify", "--deep", "--data-root", URL)
    store = ObjectStore(GROWING, Path("/nowhere"))
    path = store.root / "binance_klines_1h" / "BTCUSDT_klines.csv"
    data = store.read(path) or b""
    store.replace(path, data[:-1])
    assert main(["verify", "--deep", "--data-root", GROWING]) == 1
    assert "binance_klines_1h/BTCUSDT_klines.csv" in capsys.readouterr().out
    store.replace(path, data)


def test_an_update_in_a_store_gives_the_table_of_a_whole_run(
    expected: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = said(capsys, "update", "--end", SPEC.last, "--data-root", GROWING)
    assert f"{GROWING}/final_dataset_all.parquet" in out
    found = stored(GROWING)
    csvs = {name for name in expected if name.startswith("final_dataset/")}  # by `export final`
    assert {name for name in expected.keys() - csvs if found.get(name) != expected[name]} == set()
    assert "current" in said(capsys, "update", "--end", SPEC.last, "--data-root", GROWING)


def test_the_api_reads_the_same_frames(folder: Path) -> None:
    here, there = alphaqcm.open_root(folder / "root"), alphaqcm.open_root(URL)
    day = f"{SPEC.last}"
    for read in (
        lambda root: alphaqcm.scan(root, "BTCUSDT", ["close"], day, day, valid=False),
        lambda root: alphaqcm.bars(root, "ETHUSDT", day, day, "15m"),
        lambda root: alphaqcm.bars(root, interval="1w"),
        lambda root: alphaqcm.hourly(root, "metrics", "BTCUSDT"),
    ):
        assert read(there).collect().equals(read(here).collect())
    assert alphaqcm.manifest(there).sha256 == alphaqcm.manifest(here).sha256


def test_what_cannot_be_done_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitor", "--once", "--data-root", URL]) == 2
    assert "works on no object store" in capsys.readouterr().err
    assert main(["info", "--data-root", f"s3://{BUCKET}/empty"]) == 2
    assert main(["info", "--data-root", "s3://no-such-bucket/x"]) == 1
    assert "a bucket that exists" in capsys.readouterr().err
    with pytest.raises(alphaqcm.errors.UsageError, match="a data root in an object store"):
        alphaqcm.open_root(f"s3://{BUCKET}/empty")
    with pytest.raises(alphaqcm.errors.UsageError, match="a URL"):
        alphaqcm.open_root("https://host/root")
