"""The documents' factor program, run as it stands, against files that a client would write."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import PROJECT
from tests.helpers.bmac_files import candles, publish, publish_exginfo
from tests.helpers.simulated_exchange import exchange

pytestmark = pytest.mark.process

FIRST = pd.Timestamp("2026-03-10 12:00", tz="UTC")
NEXT = FIRST + pd.Timedelta("5min")
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def close(base: Path, run_time: pd.Timestamp) -> dict[str, float]:
    """Every file of one close; the momentum of each symbol."""
    changes = {}
    for seed, name in enumerate(SYMBOLS):
        frame = candles(run_time, 160, seed=seed)
        changes[name] = frame["close"].iloc[-1] / frame["close"].iloc[-101] - 1
        publish(base / "usdt_perp_5m", name, frame, run_time)
    publish_exginfo(base / "exginfo_5m", run_time, **dict.fromkeys(SYMBOLS, "TRADING"))
    return changes


def test_the_factors_of_a_symbol_and_of_the_market_come_at_each_close(tmp_path: Path) -> None:
    start_ms = int(datetime(2026, 3, 10, 12, 1, tzinfo=UTC).timestamp() * 1000)
    told = close(tmp_path, FIRST)
    with exchange(start_ms=start_ms, speed=20.0) as server:
        program = subprocess.Popen(
            [sys.executable, PROJECT / "scripts" / "examples" / "bmac_factors.py", tmp_path],
            env={**os.environ, "PYTHONPATH": str(PROJECT), "ALPHAQCM_TEST_CLOCK": server.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert program.stdout is not None
        try:
            before, after = [], []
            for line in program.stdout:
                before.append(line)
                if line.startswith("Next run time"):
                    break
            then = close(tmp_path, NEXT)
            for line in program.stdout:
                if line.startswith("Next run time"):
                    break
                after.append(line)
        finally:
            program.kill()
            program.wait()
    text, later = "".join(before), "".join(after)
    assert "Next run time: 2026-03-10 20:05:00+08:00" in text, text
    for name in SYMBOLS:
        assert f"{told[name]:.6f}" in text
        assert f"{then[name]:.6f}" in later
    assert "late: []" in later
