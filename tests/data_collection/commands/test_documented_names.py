"""The scripts under the names users know, started by path as users start them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.conftest import PROJECT

pytestmark = pytest.mark.process

SPEC = SampleSpec(symbols=("BTCUSDT",), days=2, trades_per_day=500, compression=1)


def start(script: str, *words: str, cwd: Path) -> str:
    path = PROJECT / "data_collection" / script
    done = subprocess.run(
        [sys.executable, str(path), *words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    write_sample(folder / "source", SPEC)
    return folder


def words(root: str) -> list[str]:
    days = ["--start", str(SPEC.first), "--end", str(SPEC.last)]
    return ["--symbols", "BTC/USDT:USDT", *days, "--source", "source", "--data-root", root]


def test_the_full_pipeline_and_the_stages_after_it(folder: Path) -> None:
    start("run_full_pipeline.py", *words("root"), cwd=folder)
    assert (folder / "root/final_dataset_all.parquet").exists()
    stages = {
        "clean_one_symbol.py": "crypto_hourly_cleaned/BTC_USDT:USDT_cleaned.csv",
        "aggregate_hourly_basic.py": "crypto_hourly_basic/BTC_USDT:USDT_hourly.csv",
        "add_funding_features.py": "crypto_hourly_full/BTC_USDT:USDT_hourly_full.csv",
    }
    files = {script: folder / "root" / stage for script, stage in stages.items()}
    before = {script: file.read_bytes() for script, file in files.items()}
    for file in files.values():
        file.unlink()
    for script, file in files.items():
        assert str(file) in start(script, "BTCUSDT", "--data-root", "root", cwd=folder)
        assert file.read_bytes() == before[script]


def test_minutes_and_derivatives_by_themselves(folder: Path) -> None:
    start("fetch_1min_data.py", *words("parts"), cwd=folder)
    lines = (folder / "parts/crypto_1min/BTC_USDT:USDT_1m.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 1440
    start("fetch_derivatives_data.py", *words("parts"), cwd=folder)
    for name in ("fundingRate", "metrics", "markPriceKlines_1h"):
        file = f"BTCUSDT_{name.removesuffix('_1h')}.csv"
        assert (folder / "parts" / f"binance_{name}" / file).exists()
    assert not (folder / "parts/final_dataset_all.parquet").exists()
