"""The example programs, run as they stand, against files and messages that a client would write."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.bus.publisher import ZmqPublisher
from alphaqcm.data_collection.live.events import BarSource, ClosedBar
from alphaqcm.pipeline.domain.registry import Market
from tests.conftest import PROJECT
from tests.helpers.bmac_files import candles, publish, publish_exginfo
from tests.helpers.simulated_exchange import exchange

pytestmark = pytest.mark.process

EXAMPLES = PROJECT / "scripts" / "examples"
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
            [sys.executable, EXAMPLES / "bmac_factors.py", tmp_path],
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


def as_bar(row: pd.Series) -> ClosedBar:
    """A candle as the bus tells it."""
    begin, *values = row
    return ClosedBar(
        Market.UM, "BTCUSDT", "1m", begin.value // 1000, *values, source=BarSource.SOCKET
    )


async def strategy(folder: Path, pub: str) -> asyncio.subprocess.Process:
    """The example, started; it has read its file."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLES / "zmq_strategy.py", folder, pub, "BTCUSDT",
        env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert program.stdout is not None
    assert (await program.stdout.readline()).startswith(b"from the file up to")
    return program


async def rows_until(program: asyncio.subprocess.Process, last: bytes) -> list[bytes]:
    """What it prints, up to the row of a window."""
    assert program.stdout is not None
    found = [await program.stdout.readline()]
    while found[-1] and not found[-1].startswith(last):
        found.append(await program.stdout.readline())
    return found


def test_a_strategy_started_in_mid_day_knows_what_one_knows_that_ran_all_day(
    tmp_path: Path,
) -> None:
    pytest.importorskip("zmq")
    day = candles(FIRST, 400, minutes=1)
    folder, pub = tmp_path / "usdt_perp_1m", f"ipc://{tmp_path}/um"
    last = f"{(FIRST - pd.Timedelta('5min')).value // 1000} ".encode()

    async def run() -> tuple[list[bytes], list[bytes]]:
        programs = []
        publish(folder, "BTCUSDT", day[:100], day.index[99])
        try:
            async with ZmqPublisher(pub, ExchangeClock()) as told:
                for number in range(100, 400):
                    if number in (100, 300):  # the second finds a file that is some bars behind
                        programs.append(await strategy(folder, pub))
                    told.publish(as_bar(day.iloc[number]))
                    if number % 20 == 15:
                        publish(folder, "BTCUSDT", day[: number + 1], day.index[number])
                both = asyncio.gather(*(rows_until(one, last) for one in programs))
                first, second = await asyncio.wait_for(both, 60)
                return first, second
        finally:
            for one in programs:
                one.kill()
                await one.wait()

    all_day, mid_day = asyncio.run(run())
    assert len(all_day) == 60
    assert 20 <= len(mid_day) <= 21
    assert mid_day == all_day[-len(mid_day) :]
    close = day["close"].iloc[4::5]
    assert (
        float(mid_day[-1].split(b": ")[1].rstrip(b"}\n")) == close.iloc[-1] / close.iloc[-21] - 1.0
    )
