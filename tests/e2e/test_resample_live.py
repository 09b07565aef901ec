"""`alphaqcm candles resample --bmac`: hours at every offset from a live directory's files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.bmac_files import candles, publish, publish_exginfo, write_data
from tests.helpers.command import alphaqcm
from tests.helpers.simulated_exchange import environment, exchange

pytestmark = pytest.mark.process

CLOSE = pd.Timestamp("2026-03-10 12:00", tz="UTC")
STEP = pd.Timedelta("5min")
SUMS = ("volume", "quote_volume", "trade_num", "taker_buy_base_asset_volume")
NAMES = ("BTCUSDT", "ETHUSDT", "牛USDT")


def live_directory(
    base: Path, run_time: pd.Timestamp, rows: int = 100, save_type: str = "parquet"
) -> dict[str, pd.DataFrame]:
    """Three symbols, one with a hole; a file of a symbol that the exchange info does not name."""
    frames = {name: candles(run_time, rows, seed=n) for n, name in enumerate(NAMES)}
    frames["ETHUSDT"] = frames["ETHUSDT"].drop(run_time - 20 * STEP)
    for name, frame in frames.items():
        publish(base / "usdt_perp_5m", name, frame, run_time, save_type)
    write_data(base / "usdt_perp_5m", "GONEUSDT", candles(run_time, rows), save_type)
    publish_exginfo(base / "exginfo_5m", run_time, **dict.fromkeys(NAMES, "TRADING"))
    return frames


def windows(frame: pd.DataFrame, offset: int) -> dict[pd.Timestamp, list[float]]:
    """The whole hours at an offset, added up one candle after the other."""
    rows = {row.Index - STEP: row for row in frame.itertuples()}
    found = {}
    for begin in rows:
        parts = [rows.get(begin + n * STEP) for n in range(12)]
        if (begin.hour * 60 + begin.minute - offset) % 60 or None in parts:
            continue
        sums = [0.0] * len(SUMS)
        for part in parts:
            sums = [a + getattr(part, name) for a, name in zip(sums, SUMS, strict=True)]
        found[begin] = [
            parts[0].open, max(p.high for p in parts), min(p.low for p in parts), parts[-1].close,
            *sums,
        ]  # fmt: skip
    return found


def made(root: Path, offset: int, name: str) -> dict[pd.Timestamp, list[float]]:
    path = root / "candles" / "usdt_perp_1h_resample" / f"{offset}m" / f"{name}.parquet"
    columns = ["candle_begin_time", "open", "high", "low", "close", *SUMS]
    frame = pd.read_parquet(path)[columns]
    return {row[0]: list(row[1:]) for row in frame.itertuples(index=False)}


@pytest.mark.parametrize("save_type", ["parquet", "feather"])
def test_every_offset_has_the_whole_hours_of_the_live_candles(
    tmp_path: Path, save_type: str
) -> None:
    base = tmp_path / "live"
    frames = live_directory(base, CLOSE, save_type=save_type)
    config = {"interval": "5m", "trade_type": "usdt_perp", "save_type": save_type}
    (base / "config.json").write_text(json.dumps(config))
    root = tmp_path / "root"
    done = alphaqcm("candles", "resample", "--bmac", base, "--data-root", root)
    assert done.returncode == 0, done.stderr
    assert "usdt_perp: 3 symbols" in done.stdout
    for offset in range(0, 60, 5):
        for name, frame in frames.items():
            assert made(root, offset, name) == windows(frame, offset)
    assert len(made(root, 0, "BTCUSDT")) == 8
    assert len(made(root, 0, "ETHUSDT")) == 7
    assert not list(root.rglob("GONEUSDT.parquet"))


def test_a_directory_without_its_configuration_is_known_by_its_folder(tmp_path: Path) -> None:
    base = tmp_path / "live"
    live_directory(base, CLOSE)
    words = ["candles", "resample", "--bmac", base, "--data-root", tmp_path, "--offsets", "0m"]
    assert alphaqcm(*words).returncode == 0
    (base / "usdt_spot_5m").mkdir()
    done = alphaqcm(*words)
    assert done.returncode == 2
    assert "usdt_perp_5m, usdt_spot_5m" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--bmac", "nowhere"], "expected a live directory"),
        (["--watch"], "expected --bmac"),
        (["--bmac", ".", "--from", "holo"], "expected one of the two"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, words: list[str], told: str) -> None:
    done = alphaqcm("candles", "resample", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_hours_are_made_again_at_each_close(tmp_path: Path) -> None:
    """The window that the close completes is there; a symbol that is late is named."""
    base, root = tmp_path / "live", tmp_path / "root"
    live_directory(base, CLOSE)
    start_ms = int(datetime(2026, 3, 10, 12, 1, tzinfo=UTC).timestamp() * 1000)
    with exchange(start_ms=start_ms, speed=20.0) as server:
        program = subprocess.Popen(
            [
                sys.executable, "-m", "alphaqcm", "candles", "resample", "--bmac", base,
                "--data-root", root, "--watch",
            ],
            env=environment(server.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert program.stdout is not None
        try:
            first = program.stdout.readline()
            assert "3 symbols" in first, first
            frames = {name: candles(CLOSE + STEP, 101, seed=n) for n, name in enumerate(NAMES)}
            for name in NAMES[:2]:
                publish(base / "usdt_perp_5m", name, frames[name], CLOSE + STEP)
            publish_exginfo(base / "exginfo_5m", CLOSE + STEP, **dict.fromkeys(NAMES, "TRADING"))
            again, told = program.stdout.readline(), program.stdout.readline()
            assert "3 symbols" in again
            assert told.split() == [
                "at",
                "2026-03-10",
                "20:05",
                "(Hong",
                "Kong)",
                "late:",
                "牛USDT",
            ]
            program.send_signal(signal.SIGINT)
            assert program.wait(60) == 0, program.stderr
        finally:
            program.kill()
            program.wait()
    assert made(root, 5, "BTCUSDT") == windows(frames["BTCUSDT"], 5)
    assert CLOSE - pd.Timedelta("55min") in made(root, 5, "BTCUSDT")
