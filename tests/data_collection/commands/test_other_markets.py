"""Commands that know runs of spot and coin-margined futures."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import orjson
import polars as pl
import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.storage.layout import Layout

pytestmark = pytest.mark.process
SYMBOL = "BTCUSD_PERP"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of coin-margined futures, the first two of three days."""
    folder = tmp_path_factory.mktemp("cm")
    types = (DataType.AGGTRADES, DataType.KLINES, DataType.FUNDING)
    spec = SampleSpec(
        (SYMBOL,), 3, market=Market.CM, start=date(2024, 2, 28), trades_per_day=3_000, types=types
    )
    write_sample(folder / "source", spec)
    words = ["--start", "2024-02-28", "--end", "2024-02-29", "--workers", "1"]
    places = ["--source", str(folder / "source"), "--data-root", str(folder / "root")]
    assert main(["run", "--market", "cm", "--symbols", SYMBOL, *words, *places]) == 0
    return folder / "root"


def told(root: Path, tmp_path: Path, *words: str) -> tuple[int, dict[str, object]]:
    out = tmp_path / "told.json"
    code = main([*words, "--market", "cm", "--json", str(out), "--data-root", str(root)])
    return code, orjson.loads(out.read_bytes())


def test_trades_and_klines_of_contracts_agree(root: Path, tmp_path: Path) -> None:
    code, report = told(root, tmp_path, "check")
    assert code == 0
    assert report["market"] == "cm"
    [agreement] = report["reconciled"].values()
    assert agreement["hours"] == 48
    assert (agreement["mismatched"], agreement["one_sided"]) == (0, 0)


def test_hourly_order_flow_is_in_dollars_and_coins(root: Path) -> None:
    layout = Layout(root, Market.CM)
    flow = pl.read_csv(layout.hourly_file(DataType.AGGTRADES, SYMBOL))
    bars = pl.read_csv(layout.hourly_file(DataType.KLINES, SYMBOL))
    assert flow.height == bars.height == 48
    assert (flow["quote_volume"] == bars["volume"] * 100).all()
    assert ((flow["base_volume"] / bars["quote_volume"] - 1).abs() < 1e-6).all()
    between = (flow["price_low"] <= flow["vwap"]) & (flow["vwap"] <= flow["price_high"])
    assert between.all()


def test_info_tells_the_layers_of_a_market_without_a_table(root: Path, tmp_path: Path) -> None:
    code, answer = told(root, tmp_path, "info")
    assert code == 0
    assert answer["symbols"] == [SYMBOL]
    assert answer["layers"]["klines:1m"] == {"month_files": 1, "rows": 2880}


def test_info_tells_the_files_of_a_market_without_a_table(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "--files", "--market", "cm", "--data-root", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "symbol,key,sha256"
    assert any(f"{SYMBOL}-aggTrades-2024-02.zip" in line for line in lines)


def test_sql_reads_the_layers_of_the_market(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT count(*) AS n FROM klines_1m"
    words = ["sql", query, "--format", "csv", "--market", "cm", "--data-root", str(root)]
    assert main(words) == 0
    assert capsys.readouterr().out.split() == ["n", "2880"]


@pytest.mark.parametrize("command", ["check", "update"])
def test_without_the_market_the_commands_say_which_one_was_run(
    root: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "--data-root", str(root)]) == 2
    assert "--market cm, of which there was a run" in capsys.readouterr().err


def test_update_brings_the_layers_up_to_date(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--end", "2024-03-01", "--workers", "1"]
    code, answer = told(root, tmp_path, "update", *words)
    assert (code, answer["last_hour"]) == (0, None)
    assert "the layers of cm are up to date" in capsys.readouterr().out
    _, after = told(root, tmp_path, "info")
    assert after["layers"]["klines:1m"] == {"month_files": 2, "rows": 4320}
    told(root, tmp_path, "update", *words)
    assert "the layers of cm are current" in capsys.readouterr().out
