"""A full disk, a process stopped for long, a clock that jumps: told, mended, never torn."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from alphaqcm.data_collection.simulation.exchange import KlinePush
from tests.conftest import PROJECT
from tests.data_collection.queue.test_storms import until
from tests.helpers.live_directory import LiveDirectory
from tests.helpers.simulated_exchange import exchange, plant

pytestmark = [pytest.mark.process, pytest.mark.slow]

MINUTE = 60_000


def test_a_process_that_was_stopped_for_minutes_mends_what_it_missed(tmp_path: Path) -> None:
    with (
        exchange(um=3, kline_push=KlinePush.CLOSES) as server,
        LiveDirectory(server, tmp_path / "live") as live,
    ):
        live.wait_warm()
        assert live.process is not None
        live.process.send_signal(signal.SIGSTOP)
        stopped = server.state.clock.now()
        while server.state.clock.now() < stopped + 8 * MINUTE:
            time.sleep(0.05)
        live.process.send_signal(signal.SIGCONT)
        live.wait_until(server.state.clock.now() + 2 * MINUTE)
        for name in live.symbols():
            live.assert_equals_truth(name)


def test_an_hour_that_the_clock_jumps_over_is_read_over_rest(tmp_path: Path) -> None:
    """What a machine sees that was asleep for an hour."""
    with (
        exchange(um=3, kline_push=KlinePush.CLOSES) as server,
        LiveDirectory(server, tmp_path / "live") as live,
    ):
        live.wait_warm()
        request = urllib.request.Request(
            f"{server.url}/__clock__", data=b'{"advance_ms": 3600000}', method="POST"
        )
        with urllib.request.urlopen(request, timeout=10):
            pass
        live.wait_until(server.state.clock.now() + 3 * MINUTE)
        assert live.status["alerts"]["clock"] >= 1
        for name in live.symbols():
            assert live.assert_equals_truth(name) == 120


def test_a_clock_that_is_wrong_at_the_exchange_is_followed_and_told(tmp_path: Path) -> None:
    with (
        exchange(um=3, kline_push=KlinePush.CLOSES) as server,
        LiveDirectory(server, tmp_path / "live") as live,
    ):
        live.wait_warm()
        plant(server, "clock-skew", value=20_000)
        live.wait("the alert", lambda s: s["alerts"].get("clock"))
        live.wait_until(server.state.clock.now() + 3 * MINUTE)
        for name in live.symbols():
            live.assert_equals_truth(name)


def test_a_full_disk_is_told_and_the_files_are_written_when_there_is_room(tmp_path: Path) -> None:
    """Files may not grow beyond a few bytes for a while, as on a full disk."""
    with (
        exchange(um=3, kline_push=KlinePush.CLOSES) as server,
        LiveDirectory(server, tmp_path / "live") as live,
    ):
        live.wait_warm()
        assert live.process is not None
        before = resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, (3000, before[1]))
        live.wait("the alert", lambda s: s["file_errors"] > 3 and s["alerts"].get("files"))
        for name in live.symbols():
            live.assert_equals_truth(name)  # the old files are whole
        resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, before)
        live.wait_until(server.state.clock.now() + 2 * MINUTE)
        for name in live.symbols():
            live.assert_equals_truth(name)
        assert not [path for path in live.folder.iterdir() if path.name.endswith(".tmp")]


def test_a_region_that_is_refused_ends_it_at_once_with_one_line(tmp_path: Path) -> None:
    with exchange(um=2, kline_push=KlinePush.CLOSES) as server:
        live = LiveDirectory(server, tmp_path / "live")
        live.start()
        live.wait_warm()
        plant(server, "region-451")
        assert live.process is not None
        assert live.process.wait(60) == 1
        last = live.log.splitlines()[-1]
        assert last.startswith("alphaqcm bmac start: RegionRefused: ") and "451" in last
        for name in live.symbols():
            live.assert_equals_truth(name)  # what was there stays


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "expected a config.json"),
        ('{"interval": "1m", "trade_type": "usdt_perp", "num_candles": 0}', "from 1 to 10000"),
        ("{", "expected a JSON object"),
    ],
)
def test_a_start_that_cannot_be_is_one_line_and_exit_code_2(
    tmp_path: Path, config: str | None, says: str
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    done = start(tmp_path)
    assert done.returncode == 2
    assert says in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_directory_that_is_not_there_or_cannot_be_written_is_told(tmp_path: Path) -> None:
    assert "no such directory" in start(tmp_path / "nowhere").stderr
    (tmp_path / "config.json").write_text('{"interval": "1m", "trade_type": "usdt_perp"}')
    (tmp_path / "_live").write_text("a file where a folder must be")
    done = start(tmp_path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "_live" in done.stderr


def test_the_screen_fits_80_columns_and_says_who_stopped(tmp_path: Path) -> None:
    with exchange(um=3, kline_push=KlinePush.CLOSES) as server:
        live = LiveDirectory(server, tmp_path / ("a" * 90))
        with live:
            live.wait_warm()
            plant(server, "hole", symbol="BTCUSDT", start="+0", seconds=120)
            live.wait("a gap", lambda s: s["gaps"] >= 1)
            until(lambda: "the exchange has no candle" in status(live.base).stdout)
            shown = status(live.base)
            assert shown.returncode == 0
            lines = shown.stdout.splitlines()
            assert max(map(len, lines)) <= 80
            assert lines[0].startswith("running")
            for word in ("connections", "ready for", "latency", "gaps", "weight", "of 2,400"):
                assert word in shown.stdout
            port = live.status["port"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read().decode()
            assert "# TYPE alphaqcm_live_bars_total counter" in text
            assert 'alphaqcm_live_bars_total{source="socket"} ' in text
            assert 'alphaqcm_live_alerts_total{kind="gap"} ' in text
        stopped = status(live.base)
        assert stopped.returncode == 1 and stopped.stdout.startswith("stopped")


def start(base: Path) -> subprocess.CompletedProcess[str]:
    return run("start", str(base), "--exchange", "http://127.0.0.1:9")


def status(base: Path) -> subprocess.CompletedProcess[str]:
    return run("status", str(base))


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alphaqcm", "bmac", *words],
        capture_output=True, text=True, check=False, timeout=60, cwd=PROJECT,
        env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
