"""Resampled files: what they carry, and that a full disk leaves the old ones whole."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from alphaqcm.data_collection.build.candles.resample import (
    ResampleJob,
    StoreSource,
    resample_store,
)
from alphaqcm.data_collection.build.candles.store import CandleStore, Covered
from alphaqcm.pipeline.candles.resample import WindowRule
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA, QUANTITIES
from alphaqcm.pipeline.errors import DiskFull
from alphaqcm.pipeline.storage.file_digest import Proof
from alphaqcm.pipeline.storage.verified_read import examine

BEGIN = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
OFFSETS = tuple(n * 300_000_000 for n in range(12))
SYMBOLS = tuple(f"S{n:02d}USDT" for n in range(70))  # more than one group


def fill(root: Path, rows: int, volume: float, symbols: tuple[str, ...]) -> CandleStore:
    store = CandleStore(root, "usdt_futures", "5m")
    begins = (BEGIN + np.arange(rows) * 300_000) * 1000
    values = dict.fromkeys(("open", "high", "low", "close", *QUANTITIES), np.full(rows, volume))
    frame = pl.DataFrame(
        {"candle_end_time": begins + 300_000_000, "candle_begin_time": begins, **values}
    ).select(pl.col(n).cast(t) for n, t in CANDLE_SCHEMA.items())
    told = [Covered(BEGIN, BEGIN + rows * 300_000, "rest", "2026-03-10T00:00:00Z")]
    for symbol in symbols:
        store.add(symbol, [frame], told)
    return store


def job(store: CandleStore, target: Path) -> ResampleJob:
    return ResampleJob(StoreSource(store), target, "1h", OFFSETS, WindowRule.STRICT)


@pytest.mark.slow
def test_every_file_proves_itself_and_tells_its_source(tmp_path: Path) -> None:
    store = fill(tmp_path, 40, 1.0, SYMBOLS)
    one = job(store, tmp_path)
    made = resample_store(one, lambda _: None)
    assert (made.symbols, made.files) == (70, 840)
    for symbol in SYMBOLS:
        found = examine(one.folder / "35m" / f"{symbol}.parquet")
        assert found.proof is Proof.WHOLE
        assert found.record is not None
        assert [source.sha256 for source in found.record.fingerprint.inputs] == [
            store.checksum(symbol)
        ]
    long = examine(one.long_folder / "35m.parquet")
    assert long.proof is Proof.WHOLE
    assert long.record is not None
    assert [source.key for source in long.record.fingerprint.inputs] == list(SYMBOLS)
    rows = pl.read_parquet(one.long_folder / "35m.parquet")
    assert rows["symbol"].unique(maintain_order=True).to_list() == list(SYMBOLS)
    assert rows["volume"].unique().to_list() == [12.0]


@pytest.mark.process
def test_a_full_disk_leaves_the_old_files_whole_and_the_same_command_goes_on(
    tmp_path: Path,
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small file system needs the right to mount one")
    try:
        resample_store(job(fill(tmp_path, 40, 1.0, SYMBOLS[:4]), small), lambda _: None)
        later = job(fill(tmp_path / "later", 3000, 2.0, SYMBOLS[:9]), small)
        with pytest.raises(DiskFull):
            resample_store(later, lambda _: None)
        assert not list(small.rglob(".*.tmp"))
        assert pl.read_parquet(later.long_folder / "0m.parquet")["volume"].unique().to_list() == [
            12.0
        ]
        for path in small.rglob("*.parquet"):
            assert examine(path).proof is Proof.WHOLE
        subprocess.run(
            ["mount", "-o", "remount,size=30m", str(small)], check=True, capture_output=True
        )
        resample_store(later, lambda _: None)
        assert pl.read_parquet(later.long_folder / "0m.parquet")["volume"].unique().to_list() == [
            24.0
        ]
    finally:
        subprocess.run(["umount", str(small)], check=False, capture_output=True)
