"""Fifteen days of whole markets: clean, and with everything planted that a REST answer can be.

The small size needs two windows of futures weight; the soak has the size of the real markets.
"""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from alphaqcm.data_collection.exchange.governor import IN_FLIGHT
from alphaqcm.data_collection.simulation.exchange import Exchange
from tests.helpers.simulated_exchange import (
    ask,
    assert_stored_equals_truth,
    candles,
    exchange,
    plant,
    repeated_kline_pages,
    stats,
)

pytestmark = [pytest.mark.process, pytest.mark.slow]

DAYS = ("--days", 15)
FOLDERS = {"um": "usdt_futures_5m", "spot": "spot_5m"}
STORM: tuple[dict[str, Any], ...] = (
    {"kind": "storm-429", "market": "um", "share": 0.03, "seconds_after": 15},
    {"kind": "storm-429", "market": "spot", "share": 0.03, "seconds_after": 5},
    {"kind": "reset", "share": 0.03},
    {"kind": "drop", "share": 0.02},
    {"kind": "cut-json", "share": 0.03},
    {"kind": "server-error", "share": 0.02},
)


def symbols(root: Path, market: str) -> list[str]:
    return sorted(path.stem for path in (root / "candles" / FOLDERS[market]).glob("*.parquet"))


def assert_all_equal_the_truth(server: Exchange, root: Path, spot: int, um: int) -> None:
    assert len(symbols(root, "spot")) == spot
    assert len(symbols(root, "um")) == um
    for market, folder in FOLDERS.items():
        for symbol in symbols(root, market):
            assert_stored_equals_truth(server, root, folder, market, symbol)


def assert_within_the_limit(server: Exchange, windows: int) -> None:
    """No window above its limit, and the futures needed so many."""
    found = stats(server)["windows"]
    assert all(window["used"] <= window["limit"] for window in found)
    busy = [one for one in found if one["pool"] == "futures" and one["used"] > 50]
    assert len(busy) >= windows


def fetch_clean(root: Path, spot: int, um: int, speed: float, windows: int) -> None:
    """`spot` and `um` are ordinary symbols; five and two of the special ones are traded as well."""
    with exchange(spot=spot, um=um, speed=speed) as server:
        done = candles(server, root, "fetch", *DAYS, seconds=600)
        assert done.returncode == 0, done.stderr
        assert repeated_kline_pages(server) == {}
        assert stats(server)["refused"] == 0
        assert_within_the_limit(server, windows)
        assert_all_equal_the_truth(server, root, spot + 5, um + 2)


def fetch_in_a_storm(root: Path, spot: int, um: int, speed: float, stall: int) -> None:
    """The first run meets a ban in the middle, the next is too early, the third ends."""
    with exchange(spot=spot, um=um, speed=speed) as server:
        for fault in STORM:
            plant(server, path="klines", count=um // 2, **fault)
        plant(server, "stall", path="klines", share=0.01, count=2, seconds_after=stall)
        listed = [one["symbol"] for one in ask(server, "/fapi/v1/exchangeInfo")["symbols"]]
        middle = sorted(name for name in listed if re.fullmatch("[A-Z0-9]+USDT", name))[um // 2]
        plant(server, "ban-418", path="klines", symbol=middle, market="um", seconds_after=900)
        banned = candles(server, root, "fetch", *DAYS, seconds=600)
        assert banned.returncode == 75, banned.stderr
        kept = symbols(root, "spot") + symbols(root, "um")
        assert kept
        statuses = stats(server)["statuses"]
        assert 1 <= statuses["418"] <= IN_FLIGHT
        early = candles(server, root, "fetch", *DAYS, seconds=600)
        assert early.returncode == 75
        assert stats(server)["statuses"] == statuses  # nothing was sent while the ban lasts
        (until,) = {datetime.fromisoformat(told) for told in
                    re.findall(r"until (\S+T\S+Z);", early.stderr)}  # fmt: skip
        while server.state.clock.now_ms() <= until.timestamp() * 1000:
            time.sleep(0.1)
        done = candles(server, root, "fetch", *DAYS, seconds=600)
        assert done.returncode == 0, done.stderr
        struck: dict[str, int] = {}
        for one in ask(server, "/__fault__")["faults"]:
            struck[one["kind"]] = struck.get(one["kind"], 0) + one["struck"]
        assert all(struck.values()), struck
        assert stats(server)["refused"] == struck["storm-429"]
        again = sum(count - 1 for count in repeated_kline_pages(server).values())
        assert again <= struck["reset"] + struck["cut-json"] + struck["stall"] + IN_FLIGHT
        assert_within_the_limit(server, 2 if um > 120 else 1)
        assert_all_equal_the_truth(server, root, spot + 5, um + 2)


def test_a_clean_fetch_equals_the_truth_within_the_limit(tmp_path: Path) -> None:
    fetch_clean(tmp_path, spot=35, um=130, speed=30.0, windows=2)


def test_a_fetch_through_a_storm_and_a_ban_equals_the_truth(tmp_path: Path) -> None:
    fetch_in_a_storm(tmp_path, spot=10, um=40, speed=60.0, stall=60)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_whole_markets_equal_the_truth(tmp_path: Path) -> None:
    fetch_clean(tmp_path, spot=375, um=298, speed=20.0, windows=3)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_whole_markets_through_a_storm_equal_the_truth(tmp_path: Path) -> None:
    fetch_in_a_storm(tmp_path, spot=375, um=298, speed=20.0, stall=3600)
