"""`alphaqcm candles fetch` while the exchange, the network, the disk or the user's words fail."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from alphaqcm.data_collection.simulation.exchange import Exchange
from tests.helpers.simulated_exchange import (
    START_MS,
    ask,
    assert_stored_equals_truth,
    candle_words,
    candles,
    environment,
    exchange,
    footer,
    plant,
    repeated_kline_pages,
    stats,
    take_faults_away,
)

pytestmark = pytest.mark.process

_DAY = 86_400_000
UM = "usdt_futures_5m"
ONE = ("--market", "um", "--symbols", "BTCUSDT,ETHUSDT,BNBUSDT", "--days", "6")


@pytest.fixture
def server() -> Iterator[Exchange]:
    with exchange() as running:
        yield running


def all_equal(server: Exchange, root: Path) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT", "BNBUSDT"):
        assert_stored_equals_truth(server, root, UM, "um", symbol)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("storm-429", {"count": 9, "seconds_after": 15}),
        ("server-error", {"count": 5}),
        ("server-error", {"count": 3, "status": 500}),
        ("cut-json", {"count": 4}),
        ("drop", {"count": 4}),
        ("reset", {"count": 4}),
        ("stall", {"count": 1, "seconds_after": 3600}),
        ("firewall-403", {"count": 1}),
    ],
)
def test_a_fault_that_passes_leaves_no_trace(
    server: Exchange, tmp_path: Path, kind: str, words: dict[str, int]
) -> None:
    plant(server, kind, path="klines", **words)
    done = candles(server, tmp_path, "fetch", *ONE)
    assert done.returncode == 0, done.stderr
    assert all(one["struck"] for one in ask(server, "/__fault__")["faults"])
    all_equal(server, tmp_path)
    assert repeated_kline_pages(server) == {} or kind in ("cut-json", "reset", "stall")


def test_a_ban_ends_the_fetch_with_its_own_exit_code_and_is_respected(
    server: Exchange, tmp_path: Path
) -> None:
    candles(server, tmp_path, "fetch", "--market", "um", "--symbols", "BTCUSDT", "--days", "3")
    plant(server, "ban-418", seconds_after=1200, path="klines")
    banned = candles(server, tmp_path, "fetch", *ONE)
    assert banned.returncode == 75
    assert "ban of this address until 2026-03-10" in banned.stderr
    before = stats(server)["statuses"]
    again = candles(server, tmp_path, "fetch", *ONE)
    assert again.returncode == 75
    assert stats(server)["statuses"] == before  # nothing was sent while the ban lasts
    assert footer(tmp_path, UM, "BTCUSDT")["rows"] == 3 * 288
    until = datetime.fromisoformat(re.findall(r"until (\S+);", again.stderr)[0])
    while server.state.clock.now_ms() < until.timestamp() * 1000 + 1000:
        time.sleep(0.2)  # the exchange's own clock: the ban's end
    done = candles(server, tmp_path, "fetch", *ONE)
    assert done.returncode == 0, done.stderr
    all_equal(server, tmp_path)
    assert repeated_kline_pages(server) == {}


def test_a_refused_region_stops_at_once_and_keeps_what_is_there(
    server: Exchange, tmp_path: Path
) -> None:
    candles(server, tmp_path, "fetch", "--market", "um", "--symbols", "BTCUSDT", "--days", "2")
    plant(server, "region-451")
    done = candles(server, tmp_path, "fetch", *ONE)
    assert done.returncode == 1
    assert "451" in done.stderr
    assert "data-api.binance.vision" in done.stderr
    assert footer(tmp_path, UM, "BTCUSDT")["rows"] == 2 * 288
    assert stats(server)["statuses"]["451"] == 1
    take_faults_away(server)
    assert candles(server, tmp_path, "fetch", *ONE).returncode == 0
    all_equal(server, tmp_path)
    assert repeated_kline_pages(server) == {}


def test_a_network_lost_in_the_middle_keeps_what_came_and_the_same_command_goes_on(
    server: Exchange, tmp_path: Path
) -> None:
    plant(server, "drop", symbol="ETHUSDT", path="klines")
    done = candles(server, tmp_path, "fetch", *ONE)
    assert done.returncode == 1
    assert "run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    for symbol in ("BTCUSDT", "BNBUSDT"):
        assert_stored_equals_truth(server, tmp_path, UM, "um", symbol)
    take_faults_away(server)
    assert candles(server, tmp_path, "fetch", *ONE).returncode == 0
    all_equal(server, tmp_path)
    assert repeated_kline_pages(server) == {}


def test_a_symbol_delisted_in_the_middle_is_told_and_the_others_go_on(
    server: Exchange, tmp_path: Path
) -> None:
    plant(server, "delist", market="um", symbol="ETHUSDT", start=START_MS, value=-1121)
    # its name is given: the exchange still lists it when the symbols are read
    done = candles(server, tmp_path, "fetch", *ONE)
    assert done.returncode == 0, done.stderr
    assert "delisted during the fetch: 1" in done.stdout
    for symbol in ("BTCUSDT", "BNBUSDT"):
        assert_stored_equals_truth(server, tmp_path, UM, "um", symbol)


def test_no_network_is_a_clear_error(tmp_path: Path) -> None:
    with exchange() as server:
        url = server.url
        environment(url)
        words = candle_words("http://127.0.0.1:9", tmp_path, "fetch", *ONE)
        done = subprocess.run(
            words, env=environment(url), capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 1
    assert "NoAnswer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--symbols", "BTCUSTD"), "near: BTCUSDT"),
        (("--market", "moon"), "market 'moon'"),
        (("--interval", "7m"), "interval '7m'"),
        (("--start", "2027-01-01"), "in the future"),
        (("--start", "yesterday"), "an ISO instant"),
        (("--start", "2026-03-05", "--end", "2026-03-04"), "a start before the end"),
        (
            (
                "--market",
                "um",
                "--symbols",
                "NEWUSDT",
                "--start",
                "2026-02-01",
                "--end",
                "2026-02-02",
            ),
            "before any was: NEWUSDT",
        ),
        (("--exchange", "moon"), "an http(s) address"),
        (("--market", "cm"), "most have USD"),
        (("--symbols-file", "no.txt"), "symbols file no.txt"),
    ],
)
def test_words_that_do_not_fit_are_refused_with_exit_code_2(
    server: Exchange, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = candles(server, tmp_path, "fetch", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_offset_is_refused(server: Exchange, tmp_path: Path) -> None:
    candles(server, tmp_path, "fetch", "--market", "um", "--symbols", "BTCUSDT", "--days", "1")
    done = candles(server, tmp_path, "resample", "--offsets", "7m")
    assert done.returncode == 2
    assert "offset '7m'" in done.stderr


def test_a_store_file_that_was_cut_is_moved_aside_and_fetched_anew(
    server: Exchange, tmp_path: Path
) -> None:
    one = ("--market", "um", "--symbols", "BTCUSDT", "--days", "2")
    candles(server, tmp_path, "fetch", *one)
    path = tmp_path / "candles" / UM / "BTCUSDT.parquet"
    cut = path.read_bytes()[:-100]
    path.write_bytes(cut)
    resampled = candles(server, tmp_path, "resample", "--market", "um")
    assert resampled.returncode == 1
    assert "candles fetch moves it aside" in resampled.stderr
    done = candles(server, tmp_path, "fetch", *one)
    assert done.returncode == 0, done.stderr
    assert path.with_name("BTCUSDT.parquet.damaged-1").read_bytes() == cut
    assert_stored_equals_truth(server, tmp_path, UM, "um", "BTCUSDT")


def test_a_killed_fetch_goes_on_and_asks_again_for_nothing_that_was_stored(
    tmp_path: Path,
) -> None:
    with exchange(spot=12, um=12, speed=2.0) as server:
        words = candle_words(server, tmp_path, "fetch", "--days", "20")
        seen = Counter(kline_pages(server))
        held: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for _ in range(10):
            running = subprocess.Popen(
                words, env=environment(server.url), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            files = len(held)
            while running.poll() is None and len(all_held(tmp_path)) == files:
                time.sleep(0.005)  # until one more symbol is stored
            running.send_signal(signal.SIGKILL)
            running.wait()
            asked = Counter(kline_pages(server)) - seen
            assert_not_held(asked, held)
            seen, held = Counter(kline_pages(server)), all_held(tmp_path)
        done = candles(server, tmp_path, "fetch", "--days", "20")
        assert done.returncode == 0, done.stderr
        assert held  # the kills came in the middle
        assert_not_held(Counter(kline_pages(server)) - seen, held)
        for folder, market in (("usdt_futures_5m", "um"), ("spot_5m", "spot")):
            for path in sorted((tmp_path / "candles" / folder).glob("*.parquet")):
                assert_stored_equals_truth(server, tmp_path, folder, market, path.stem)
        assert not list((tmp_path / "candles").rglob("*.tmp"))


def kline_pages(server: Exchange) -> dict[str, int]:
    """Kline pages answered so far, with how often."""
    return {page: n for page, n in list(server.state.stats.pages.items()) if "/klines" in page}


def all_held(root: Path) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """What each file of the store covers."""
    return {
        (folder, path.stem): [
            (one["begin_ms"], one["end_ms"]) for one in footer(root, folder, path.stem)["covered"]
        ]
        for folder in ("usdt_futures_5m", "spot_5m")
        for path in (root / "candles" / folder).glob("*.parquet")
    }


def assert_not_held(
    asked: Counter[str], held: dict[tuple[str, str], list[tuple[int, int]]]
) -> None:
    """No page that was asked for lies in time that was stored before."""
    for page in asked:
        folder = "usdt_futures_5m" if page.startswith("/fapi") else "spot_5m"
        words = dict(word.split("=") for word in page.split("?")[1].split("&"))
        begin, end = int(words["startTime"]), int(words["endTime"])
        for first, last in held.get((folder, words["symbol"]), []):
            assert end < first or begin >= last, page


def test_a_disk_that_fills_in_the_middle_keeps_what_was_fetched(
    server: Exchange, tmp_path: Path
) -> None:
    one = ("--market", "um", "--symbols", "BTCUSDT", "--days", "6")
    candles(server, tmp_path, "fetch", *one)
    size = (tmp_path / "candles" / UM / "BTCUSDT.parquet").stat().st_size
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={5 * size // 2 // 1024 + 16}k", "tmpfs", str(small)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small file system needs the right to mount one")
    try:
        done = candles(server, small, "fetch", "--market", "um", "--days", "6")
        assert done.returncode == 1
        assert "no space left" in done.stderr
        assert "Traceback" not in done.stderr
        kept = sorted((small / "candles" / UM).glob("*.parquet"))
        assert kept
        for path in kept:
            assert_stored_equals_truth(server, small, UM, "um", path.stem)
        assert not list(small.rglob("*.tmp"))
        subprocess.run(
            ["mount", "-o", "remount,size=20m", str(small)], check=True, capture_output=True
        )
        assert candles(server, small, "fetch", "--market", "um", "--days", "6").returncode == 0
    finally:
        subprocess.run(["umount", str(small)], check=False, capture_output=True)
