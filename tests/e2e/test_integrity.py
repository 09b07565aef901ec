"""Damage on the disk, from the command line: told, made again, or refused; never believed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.helpers.bit_flips import SPEC, FlippedRoots
from tests.helpers.command import alphaqcm

pytestmark = pytest.mark.process

TABLE = "final_dataset_all.parquet"
KLINES = "binance_klines_1m_parquet/BTCUSDT/2024-02.parquet"
END = SPEC.last - timedelta(days=1)
SOAK = 500
FIRST_SEED = int(os.environ.get("ALPHAQCM_SEED", "0"))


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> FlippedRoots:
    return FlippedRoots.make(tmp_path_factory.mktemp("roots"))


@pytest.fixture
def root(roots: FlippedRoots, tmp_path: Path) -> Path:
    shutil.copytree(roots.clean, tmp_path / "root")
    return tmp_path / "root"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a disk does it


def run(root: Path, source: Path, end: date = END) -> subprocess.CompletedProcess[str]:
    words = ("--symbols", ",".join(SPEC.symbols), "--start", SPEC.first, "--end", end)
    return alphaqcm("run", *words, "--source", source, "--data-root", root, "--workers", 1)


@pytest.mark.parametrize(
    "damaged",
    [
        {
            KLINES: "month/klines:1m/BTCUSDT/2024-02",
            "_tmp/months/um/metrics/SOLUSDT/2024-02.parquet": "month/metrics/SOLUSDT/2024",
            "_tmp/symbol_tables/BTCUSDT.parquet": "factors/BTCUSDT",
            "binance_fundingRate/BTCUSDT_fundingRate.csv": "hourly/fundingRate/BTCUSDT",
            "crypto_hourly_basic/SOL_USDT:USDT_hourly.csv": "factors/SOLUSDT",
        },
        {TABLE: "it or its manifest"},
        {"final_dataset_all.manifest.json": "it or its manifest"},
    ],
)
def test_a_run_makes_damaged_files_again_and_says_so(
    roots: FlippedRoots, root: Path, damaged: dict[str, str]
) -> None:
    for name in damaged:
        flip(root / name)
    done = run(root, roots.source)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if "damaged on the disk" in line]
    assert len(told) == len(damaged), done.stdout
    assert all(any(word in line for line in told) for word in damaged.values()), told
    assert pl.read_parquet(root / TABLE).equals(roots.tables[END])
    assert alphaqcm("info", "--data-root", root).returncode == 0


def test_a_damaged_file_whose_inputs_are_gone_is_refused(roots: FlippedRoots, root: Path) -> None:
    flip(root / KLINES)
    source = root.with_name("source")
    shutil.copytree(roots.source, source)
    for folder in (source, root / "_tmp" / "binance_vision"):
        for path in folder.rglob("BTCUSDT-1m-*.zip*"):
            path.unlink()
    done = run(root, source)
    assert done.returncode == 1, done.stdout
    assert KLINES in done.stdout + done.stderr
    assert "damaged on the disk" in done.stdout + done.stderr
    state = json.loads((root / "_tmp" / "aggTrades_queue_state.json").read_bytes())
    failed = [task for task in state["tasks"].values() if task["state"] == "failed"]
    assert failed
    assert {task["attempts"] for task in failed} == {1}  # it says the same the next time


def test_a_build_heals_from_the_cache_when_the_source_has_lost_the_file(
    roots: FlippedRoots, root: Path
) -> None:
    flip(root / KLINES)
    files = roots.source / "data/futures/um/monthly/klines/BTCUSDT/1m"
    assert files.is_dir()
    away = files.rename(roots.source / "away")
    try:
        done = alphaqcm("build", "--data-root", root, "--workers", 1)
    finally:
        away.rename(files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert pl.read_parquet(root / TABLE).equals(roots.tables[END])


def test_an_update_adds_no_rows_to_a_damaged_table(roots: FlippedRoots, root: Path) -> None:
    flip(root / TABLE)
    words = ("--through", SPEC.last, "--source", roots.source, "--workers", 1)
    done = alphaqcm("update", *words, "--data-root", root)
    assert done.returncode == 0, done.stderr
    assert f"{TABLE} was damaged on the disk: made again" in done.stdout
    assert pl.read_parquet(root / TABLE).equals(roots.tables[SPEC.last])


def test_verify_names_damaged_layers_and_repair_makes_them_again(root: Path) -> None:
    for name in (KLINES, TABLE, "crypto_hourly_full/BTC_USDT:USDT_hourly_full.csv"):
        flip(root / name)
    told = alphaqcm("verify", "--deep", "--data-root", root)
    assert told.returncode == 1
    assert told.stdout.count("its own digest does not hold") == 3
    assert KLINES in told.stdout
    assert alphaqcm("verify", "--deep", "--repair", "--data-root", root).returncode == 0
    assert alphaqcm("verify", "--deep", "--data-root", root).returncode == 0


def test_sql_refuses_damaged_files_of_the_layers_that_it_reads(root: Path) -> None:
    flip(root / KLINES)
    assert alphaqcm("sql", "SELECT count(*) FROM final", "--data-root", root).returncode == 0
    done = alphaqcm("sql", "SELECT count(*) FROM klines_1m", "--data-root", root)
    assert done.returncode == 1
    assert "damaged on the disk" in done.stderr


def test_settings_with_a_flipped_letter_are_refused(root: Path) -> None:
    path = root / "_tmp" / "run.json"
    path.write_bytes(path.read_bytes().replace(b"SOLUSDT", b"SOLUSDU"))
    done = alphaqcm("build", "--data-root", root)
    assert done.returncode in (1, 2)
    assert "damaged" in done.stderr


@pytest.mark.soak
@pytest.mark.skipif(os.environ.get("ALPHAQCM_SOAK") != "1", reason="ALPHAQCM_SOAK=1 asks for it")
@pytest.mark.timeout(0)
def test_no_bit_of_hundreds_ends_in_a_wrong_table_of_a_command(
    roots: FlippedRoots, tmp_path: Path
) -> None:
    wrong = []
    for seed in range(FIRST_SEED + 100_000, FIRST_SEED + 100_000 + SOAK):
        root = tmp_path / "root"
        place = roots.flip(seed, root)
        rng = random.Random(-1 - seed)
        end = rng.choice(sorted(roots.tables))
        if rng.random() < 0.6:
            done = run(root, roots.source, end)
        else:
            words = ("--through", end, "--source", roots.source, "--workers", 1)
            done = alphaqcm("update", *words, "--data-root", root)
        if "Traceback" in done.stderr:
            wrong.append(f"{place}: {done.stderr}")
        elif done.returncode == 0 and not pl.read_parquet(root / TABLE).equals(roots.tables[end]):
            wrong.append(f"{place}: {' '.join(map(str, done.args))} gave others")
        elif done.returncode and not done.stderr + done.stdout:
            wrong.append(f"{place}: refused without a word")
    assert wrong == [], f"ALPHAQCM_SEED={FIRST_SEED}"
