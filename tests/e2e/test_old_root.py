"""A data root that an earlier release made: its layers are current for this one.

Only the tables are made again, for the columns that they have now.

`root_0_1_0.tar.xz` is a root of release 0.1.0 without its cached ZIPs, made in one folder by

    alphaqcm sample archive --symbols 1 --days 2 --trades-per-day 800
    alphaqcm run --symbols BTCUSDT --start 2024-02-28 --end 2024-02-29 \
        --source archive --data-root root --workers 1
    alphaqcm export crypto_1min --data-root root
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from alphaqcm.pipeline.features.columns import COLUMNS
from tests.helpers.command import alphaqcm

pytestmark = pytest.mark.process

OLD = Path(__file__).with_name("root_0_1_0.tar.xz")
SAMPLE = ("--symbols", 1, "--trades-per-day", 800, "--start", "2024-02-28")
RUN = ("run", "--symbols", "BTCUSDT", "--start", "2024-02-28", "--workers", 1)
TABLES = ("_tmp/symbol_tables", "_tmp/final_dataset", "final_dataset", "crypto_hourly_")
CURRENT = "everything is current: nothing to download, nothing to build"
STATE = ("ledger.sqlite", "aggTrades_queue_state", "run.json", "root.lock", "compile.lock", "logs")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The old root, its cache filled again from the same sample."""
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    sample(tmp_path / "archive", 2)
    cache = tmp_path / "root" / "_tmp" / "binance_vision"
    for path in list((tmp_path / "archive").rglob("*.zip")):
        target = cache / path.relative_to(tmp_path / "archive")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return tmp_path / "root"


def sample(archive: Path, days: int) -> None:
    done = alphaqcm("sample", archive, *SAMPLE, "--days", days)
    assert done.returncode == 0, done.stderr


def run(root: Path, source: Path, end: str = "2024-02-29") -> str:
    done = alphaqcm(*RUN, "--end", end, "--source", source, "--data-root", root)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def layers(root: Path) -> dict[str, tuple[int, str]]:
    """Every file but state, cache and kept digests: when it was written, and its SHA-256."""
    return {
        name: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for name, path in files(root)
        if not name.startswith("_tmp/binance_vision")
        and not name.endswith((".digests", "_tmp/integrity.json"))
        and not any(part.startswith(STATE) for part in name.split("/"))
    }


def files(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield path.relative_to(root).as_posix(), path


def test_a_run_makes_only_the_tables_of_the_old_root_again(root: Path) -> None:
    before = layers(root)
    assert len(before) > 30
    assert CURRENT not in run(root, root.with_name("archive"))
    after = layers(root)
    written = {name for name in after if after[name] != before.get(name)}
    assert all(name.startswith(TABLES) for name in written), written
    changed = {name for name in written if name in before and after[name][1] != before[name][1]}
    assert not any(name.startswith("crypto_hourly_") for name in changed)
    assert len(pq.read_schema(root / "final_dataset_all.parquet")) == len(COLUMNS)
    assert CURRENT in run(root, root.with_name("archive"))
    assert layers(root) == after


def test_an_export_leaves_the_csvs_of_the_old_root_as_they_are(root: Path) -> None:
    def csvs() -> dict[str, tuple[int, str]]:
        return {name: told for name, told in layers(root).items() if name.endswith(".csv")}

    run(root, root.with_name("archive"))
    before = csvs()
    for layer in ("crypto_1min", "final"):
        done = alphaqcm("export", layer, "--data-root", root)
        assert done.returncode == 0, done.stderr
    assert csvs() == before


def test_an_update_of_the_old_root_gives_the_table_of_a_new_run(root: Path) -> None:
    """The day after is a new month's first: the old month files are read, and stay."""

    def old_months() -> dict[str, tuple[int, str]]:
        return {name: told for name, told in layers(root).items() if "/2024-02." in name}

    before = old_months()
    assert len(before) > 8
    source, anew = root.with_name("archive"), root.with_name("anew")
    sample(source, 3)
    words = ("--through", "2024-03-01", "--source", source, "--workers", 1)
    done = alphaqcm("update", *words, "--data-root", root)
    assert done.returncode == 0, done.stderr
    assert old_months() == before
    run(anew, source, "2024-03-01")
    tables = [place / "final_dataset_all.parquet" for place in (root, anew)]
    assert tables[0].read_bytes() == tables[1].read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "binance_klines_1m_parquet/BTCUSDT/2024-02.parquet",
        "binance_metrics/BTCUSDT_metrics.csv",
        "crypto_hourly_cleaned/BTC_USDT:USDT_cleaned.csv",
        "final_dataset_all.parquet",
    ],
)
def test_a_bit_flipped_after_the_first_run_is_found_although_the_file_has_no_digest(
    root: Path, name: str
) -> None:
    run(root, root.with_name("archive"))
    table = root / "final_dataset_all.parquet"
    right = pl.read_parquet(table)
    path = root / name
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    assert "was damaged on the disk" in run(root, root.with_name("archive"))
    assert pl.read_parquet(table).equals(right)
    assert CURRENT in run(root, root.with_name("archive"))
