"""Commands that ask a source go to the one that the data root was made from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from alphaqcm.data_collection.build.last_run import save_settings
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.commands import main as cli
from alphaqcm.data_collection.simulation.mirror import Mirror
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import Market
from tests.helpers.archive_tree import KLINES, days, digests, publish_all

FILES = days(KLINES, "2024-02-01", 3)
SPAN = ["--start", "2024-02-01", "--end", "2024-02-03"]
FETCH = ["--symbols", "BTCUSDT", "--types", "klines:1m", *SPAN]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    publish_all(tmp_path / "tree", FILES)
    with Mirror(tmp_path / "tree") as running:
        yield running


@pytest.fixture
def root(tmp_path: Path, mirror: Mirror) -> Path:
    """A data root whose last run was of the mirror."""
    keep_run(tmp_path / "root", mirror.url)
    return tmp_path / "root"


def keep_run(root: Path, source: str, market: Market = Market.UM) -> None:
    days_of_run = DateRange(Period.parse("2024-02-01").start, Period.parse("2024-02-03").start)
    save_settings(RunSettings(market, ("BTCUSDT",), days_of_run, root, source))


def test_fetch_asks_the_source_of_the_last_run(root: Path) -> None:
    assert cli.main(["fetch", *FETCH, "--data-root", str(root)]) == 0
    assert set(digests(root)) == {f"_tmp/binance_vision/{file.key}" for file in FILES}


def test_verify_asks_the_source_of_the_last_run_and_names_it(
    root: Path, mirror: Mirror, capfd: pytest.CaptureFixture[str]
) -> None:
    cli.main(["fetch", *FETCH, "--data-root", str(root)])
    capfd.readouterr()
    assert cli.main(["verify", "--deep", "--data-root", str(root)]) == 0
    told = capfd.readouterr()
    assert told.out == "problems: 0\n"
    assert f"source: {mirror.url} (the source of the data root's last run" in told.err


def test_verify_without_a_run_asks_where_the_files_came_from(
    tmp_path: Path, mirror: Mirror, capfd: pytest.CaptureFixture[str]
) -> None:
    place = ["--data-root", str(tmp_path / "fetched")]
    cli.main(["fetch", *FETCH, "--source", mirror.url, *place])
    capfd.readouterr()
    assert cli.main(["verify", *place]) == 0
    assert f"source: {mirror.url} (the data root's files came from there" in capfd.readouterr().err


def test_symbols_asks_the_source_of_the_last_run(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["symbols", "--json", "--data-root", str(root)]) == 0
    assert [life["symbol"] for life in orjson.loads(capfd.readouterr().out)] == ["BTCUSDT"]


def test_plan_asks_the_source_of_the_last_run(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", *FETCH, "--json", "--data-root", str(root)]) == 0
    assert orjson.loads(capfd.readouterr().out)["counts"]["download"] == 3


def test_a_named_source_goes_before_that_of_the_last_run(
    tmp_path: Path, mirror: Mirror, capfd: pytest.CaptureFixture[str]
) -> None:
    keep_run(tmp_path / "root", str(tmp_path / "gone"))
    words = ["--source", mirror.url, "--data-root", str(tmp_path / "root")]
    assert cli.main(["symbols", *words]) == 0
    assert "source: " not in capfd.readouterr().err


def test_the_last_run_counts_whatever_its_market(root: Path, tmp_path: Path) -> None:
    keep_run(root, str(tmp_path / "gone"), Market.SPOT)
    assert cli.main(["fetch", *FETCH, "--data-root", str(root)]) == 2
