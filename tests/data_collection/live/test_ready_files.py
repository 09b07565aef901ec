from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphaqcm.data_collection.live.config import SaveType
from alphaqcm.data_collection.live.files.ready_files import ReadyFiles, Step
from alphaqcm.data_collection.live.files.ready_names import parse_ready_name, ready_name
from alphaqcm.data_collection.live.files.tables import CandleRows, read_candles
from tests.conftest import PROJECT
from tests.helpers.ready_child import FIRST, NAMES, STEP, read, rows, write


def child(*words: object) -> subprocess.Popen[str]:
    module = [sys.executable, "-m", "tests.helpers.ready_child", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        module, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    return out


def test_names_are_hong_kong_time_and_are_read_back() -> None:
    moment = int(pd.Timestamp("2026-03-10T12:15:00Z").timestamp()) * 1_000_000
    assert ready_name("BTCUSDT", moment) == "BTCUSDT_20260310_201500.ready"
    for symbol in ("BTCUSDT", "BTCUSDT_260327", "币安人生USDT", "A_20260310_201500"):
        assert parse_ready_name(ready_name(symbol, moment)) == (symbol, moment)
    for other in ("BTCUSDT.pqt", "BTCUSDT_20260310.ready", "BTCUSDT_20261310_201500.ready"):
        assert parse_ready_name(other) is None


def test_parquet_is_what_bmac_wrote_and_feather_drops_the_index(tmp_path: Path) -> None:
    for save_type, suffix in ((SaveType.PARQUET, "pqt"), (SaveType.FEATHER, "fea")):
        files = ReadyFiles(tmp_path / suffix, save_type)
        files.recover()
        files.write("BTCUSDT", rows(FIRST), STEP)
        path = tmp_path / suffix / f"BTCUSDT.{suffix}"
        frame = pd.read_parquet(path) if suffix == "pqt" else pd.read_feather(path)
        assert list(frame.columns) == [
            "candle_begin_time", "open", "high", "low", "close", "volume", "quote_volume",
            "trade_num", "taker_buy_base_asset_volume", "taker_buy_quote_asset_volume",
        ]  # fmt: skip
        assert str(frame["candle_begin_time"].dtype) == "datetime64[ns, UTC]"
        if suffix == "pqt":
            assert frame.index.name == "candle_end_time"
            ends = frame["candle_begin_time"] + pd.Timedelta(minutes=1)
            assert (frame.index == pd.DatetimeIndex(ends)).all()
        back = files.read("BTCUSDT", STEP)
        assert back is not None and back.as_of_us == (FIRST + 1) * STEP * 1000
        np.testing.assert_array_equal(back.values, rows(FIRST).values)


def test_the_old_ready_file_goes_and_those_of_other_symbols_stay(tmp_path: Path) -> None:
    files = ReadyFiles(tmp_path)
    files.recover()
    for name in NAMES:
        files.write(name, rows(FIRST), STEP)
    files.write("BTCUSDT", rows(FIRST + 1), STEP)
    assert sorted(path.name for path in tmp_path.glob("*.ready")) == sorted(
        [
            ready_name("BTCUSDT", (FIRST + 2) * STEP * 1000),
            ready_name("BTCUSDT_260327", (FIRST + 1) * STEP * 1000),
        ]
    )


def test_a_damaged_file_moves_aside_and_is_ready_no_more(tmp_path: Path) -> None:
    files = ReadyFiles(tmp_path)
    files.recover()
    files.write("BTCUSDT", rows(FIRST), STEP)
    path = tmp_path / "BTCUSDT.pqt"
    whole = path.read_bytes()
    odd = CandleRows(rows(FIRST).open_ms + 1, rows(FIRST).values, 0)
    for damage in (whole[: len(whole) // 2], b"", b"PAR1" + b"\0" * 100 + b"PAR1"):
        files.write("BTCUSDT", rows(FIRST), STEP)
        path.write_bytes(damage)
        assert files.read("BTCUSDT", STEP) is None
        assert not path.exists() and not list(tmp_path.glob("*.ready"))
        assert (tmp_path / "BTCUSDT.pqt.damaged").read_bytes() == damage
    files.write("BTCUSDT", odd, STEP)  # off the grid
    with pytest.raises(ValueError, match="off the grid"):
        read_candles(path, STEP, SaveType.PARQUET)


@pytest.mark.process
@pytest.mark.slow
def test_four_readers_see_nothing_torn_and_nothing_stale_in_10000_updates(tmp_path: Path) -> None:
    """In feather, which is written faster; the protocol knows nothing of what is in a file."""
    ReadyFiles(tmp_path).recover()
    updates = 10_000 // len(NAMES)
    readers = [child("read", tmp_path, FIRST + updates - 1) for _ in range(4)]
    finished(child("write", tmp_path, updates, ""))
    for reader in readers:
        assert int(finished(reader)) > 100
    assert {path.suffix for path in tmp_path.iterdir()} == {".fea", ".ready"}
    assert len(list(tmp_path.iterdir())) == 2 * len(NAMES)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("step", list(Step))
def test_a_kill_at_any_step_leaves_the_promise_true(tmp_path: Path, step: Step) -> None:
    ReadyFiles(tmp_path).recover()
    writer = child("write", tmp_path, 100, f"{step.name}:9")
    writer.communicate(timeout=60)
    assert writer.returncode == -signal.SIGKILL
    for path in tmp_path.glob("*.ready"):  # before anybody cleans up
        name, ready_us = parse_ready_name(path.name) or ("", 0)
        assert read_candles(tmp_path / f"{name}.fea", STEP, SaveType.FEATHER).as_of_us >= ready_us
    write(tmp_path, 5, "")
    read(tmp_path, FIRST + 8)
    names = [path.name for path in tmp_path.iterdir()]
    assert not [name for name in names if name.endswith(".tmp")]
    assert len(names) == 2 * len(NAMES)
