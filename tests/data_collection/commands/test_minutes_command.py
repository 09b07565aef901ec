"""`alphaqcm minutes`: one aggTrades file by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from alphaqcm.data_collection.commands.main import main
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.reading.aggtrades import aggregate_file
from alphaqcm.pipeline.reading.aggtrades.compiled import kernels as kernel
from tests.conftest import PROJECT
from tests.helpers.aggtrades_oracle import as_text, make_lines, trades_file
from tests.helpers.command import copy_packages
from tests.helpers.zips import write_zip

FILE = trades_file()


@pytest.fixture
def trades(tmp_path: Path) -> Path:
    """A day of 1,000 rows, one of them twice, in no data root and without a .CHECKSUM."""
    lines = make_lines(FILE, 1_000)
    archived = write_zip(tmp_path / "archive", FILE, as_text([*lines, lines[-1]]))
    return archived.rename(tmp_path / FILE.name)


def test_prints_every_counter(trades: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["minutes", str(trades)]) == 0
    printed = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:])
    counters = aggregate_file(trades, FILE).counters.to_dict()
    assert {name: int(printed[name]) for name in counters} == counters
    assert printed["duplicates"] == "1"


def test_writes_the_minutes_as_parquet(trades: Path, tmp_path: Path) -> None:
    out = tmp_path / "minutes.parquet"
    assert main(["minutes", str(trades), "--out", str(out)]) == 0
    assert_frame_equal(pl.read_parquet(out), aggregate_file(trades, FILE).frame, check_exact=True)


def test_market_decides_how_the_rows_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spot = trades_file(Market.SPOT)
    path = write_zip(tmp_path, spot, as_text(make_lines(spot, 10))).rename(tmp_path / spot.name)
    assert main(["minutes", str(path), "--market", "spot"]) == 0
    assert main(["minutes", str(path)]) == 2
    assert "pass --market spot" in capsys.readouterr().err


@pytest.mark.parametrize("market", [Market.SPOT, Market.CM])
def test_the_place_in_an_archive_tree_tells_the_market(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], market: Market
) -> None:
    file = trades_file(market)
    path = write_zip(tmp_path, file, as_text(make_lines(file, 10)))
    assert main(["minutes", str(path)]) == 2
    assert f"pass --market {market}" in capsys.readouterr().err
    assert main(["minutes", str(path), "--market", market.value]) == 0


@pytest.mark.parametrize("symbol", ["BTCUSD_PERP", "ETHUSD_240628"])
def test_contracts_are_not_taken_for_coins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], symbol: str
) -> None:
    path = tmp_path / f"{symbol}-aggTrades-2024-02-28.zip"
    assert main(["minutes", str(path)]) == 2
    assert "pass --market cm" in capsys.readouterr().err


def test_broken_file_leaves_no_output(
    trades: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trades.write_bytes(trades.read_bytes()[:-30])
    out = tmp_path / "minutes.parquet"
    assert main(["minutes", str(trades), "--out", str(out)]) == 1
    assert "BadZip" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("name", ["BTCUSDT-1m-2024-02.zip", "trades.zip", FILE.name])
def test_words_that_do_not_fit_exit_2(tmp_path: Path, name: str) -> None:
    assert main(["minutes", str(tmp_path / name)]) == 2


@pytest.mark.process
def test_importing_the_package_does_not_import_numba() -> None:
    code = "import sys, alphaqcm.pipeline.reading.aggtrades; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.process
def test_compiles_at_first_then_only_when_a_part_of_it_changed(
    trades: Path, tmp_path: Path
) -> None:
    """In a copy of the project: what is compiled into the cached functions lies in other files."""
    copy_packages(tmp_path)
    command = [sys.executable, "-m", "alphaqcm", "minutes", str(trades)]

    def said() -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stderr

    assert "compiling" in said()
    assert said() == ""
    with (tmp_path / "pipeline/reading/aggtrades/compiled/accumulate.py").open("a") as source:
        source.write("# changed\n")
    assert "compiling" in said()


def test_every_compiled_part_renews_the_cache() -> None:
    folder = PROJECT / "pipeline/reading/aggtrades/compiled"
    compiled = {path.stem for path in folder.glob("*.py") if "njit" in path.read_text()}
    assert compiled | {"buffers"} == set(kernel.SOURCES)
