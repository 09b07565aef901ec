"""The live client as a process, against the simulated exchange and its faults."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from alphaqcm.data_collection.live.bus.subscriber import ZmqSubscriber
from alphaqcm.data_collection.live.events import ClosedBar
from alphaqcm.data_collection.simulation.exchange import Exchange, ExchangeSpec, KlinePush
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.conftest import PROJECT
from tests.helpers.live_directory import LiveDirectory
from tests.helpers.simulated_exchange import exchange, forget, plant, stats, truth

pytestmark = [pytest.mark.process, pytest.mark.slow]

MINUTE = 60_000


def test_files_equal_the_truth_and_go_on_warm_after_a_kill(tmp_path: Path) -> None:
    with exchange(um=4, kline_push=KlinePush.CLOSES) as server:
        live = LiveDirectory(server, tmp_path / "live", trade_type="usdt_swap")
        with live:
            live.wait_warm()
            asked = live.wait("five minutes", lambda s: s["bars"].get("socket", 0) >= 30 and s)
            assert asked["route"] == "/market/ws"
            live.stop(signal.SIGKILL)
        names = live.symbols()
        assert "币安人生USDT" in names
        assert "OLDUSDT" not in names and "TSLAUSDT" not in names
        before = {name: live.assert_equals_truth(name) for name in names}
        assert set(before.values()) == {120}
        with live:
            live.wait_warm()
            live.wait_until(server.state.clock.now() + 2 * MINUTE)
        assert live.log.count("event=warm") == 2
        assert f"bars_from_files={120 * len(names)}" not in live.log.splitlines()[0]
        from_files = int(live.log.rpartition("bars_from_files=")[2].split()[0])
        assert from_files > 100 * len(names)  # all but what passed since
        for name in names:
            assert live.assert_equals_truth(name) == 120
        ready = live.ready_times()
        assert {name: len(times) for name, times in ready.items()} == dict.fromkeys(names, 1)
        assert live.process is not None and live.process.returncode == 0


def test_a_second_start_says_who_holds_the_directory(tmp_path: Path) -> None:
    with (
        exchange(um=1, kline_push=KlinePush.CLOSES) as server,
        LiveDirectory(server, tmp_path / "live") as live,
    ):
        live.wait_warm()
        words = [sys.executable, "-m", "alphaqcm", "bmac", "start", str(live.base)]
        second = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=60, cwd=PROJECT
        )
        assert second.returncode == 1
        assert live.process is not None
        assert f"process {live.process.pid}: " in second.stderr
        assert len(second.stderr.splitlines()) == 1


def test_broken_silent_and_replaced_connections_lose_nothing(tmp_path: Path) -> None:
    """Each connection fault strikes in turn; in the end nothing is missing."""
    with exchange(um=6, kline_push=KlinePush.CLOSES) as server:
        with LiveDirectory(server, tmp_path / "live") as live:
            live.wait_warm()
            for kind in ("ws-drop", "ws-half-open", "ws-reset"):
                before = live.status["connects"]
                plant(server, kind, count=2)
                live.wait(
                    f"new connections after {kind}",
                    lambda s, n=before: s["connects"] >= n + 2 and s["connections_live"] == 2,
                )
            ends = live.status["ends"]
            # a half-open one is found by its silence, or by a close that comes before
            assert ends.pop("no frame for 30 s", 0) + ends.pop("no candle over a close", 0) == 2
            assert ends == {"connection lost": 4}

            klines = sum(n for p, n in stats(server)["pages"].items() if "klines" in p)
            before = live.status["connects"]
            plant(server, "ws-shutdown", count=2, seconds_after=30)
            live.wait("replaced connections", lambda s: s["connects"] >= before + 2)
            live.wait_until(server.state.clock.now() + 2 * MINUTE)
            assert "connection lost" in live.status["ends"]
            assert live.status["ends"]["connection lost"] == 4  # replaced before they broke
            assert klines == sum(n for p, n in stats(server)["pages"].items() if "klines" in p)
        for name in live.symbols():
            live.assert_equals_truth(name)


def test_a_wrong_route_is_found_told_and_left(tmp_path: Path) -> None:
    """cm's frames come on the route that the documents do not name."""
    with exchange(cm=3, cm_routed=True, kline_push=KlinePush.CLOSES) as server:
        with LiveDirectory(server, tmp_path / "live", trade_type="coin_perp") as live:
            found = live.wait("the other route", lambda s: s["connections_live"] == 2 and s)
            assert found["route"] == "/market/ws"
            assert found["alerts"]["socket acknowledged, and no frame in 20 s"] == 2
            live.wait_until(server.state.clock.now() + 2 * MINUTE)
        for name in live.symbols():
            live.assert_equals_truth(name, "cm")


def test_gaps_halts_listings_and_revisions_are_told_apart(tmp_path: Path) -> None:
    with exchange(um=6, kline_push=KlinePush.CLOSES) as server:
        with LiveDirectory(server, tmp_path / "live") as live:
            live.wait_warm()
            begin = (server.state.clock.now() // MINUTE + 2) * MINUTE
            plant(server, "hole", symbol="BTCUSDT", start=begin, seconds=180)
            plant(server, "halt", symbol="ETHUSDT", start=begin, seconds=180)
            plant(server, "missing-minute", symbol="SOLUSDT", start=begin, seconds=60)
            plant(server, "new-listing", symbol="FRESHUSDT", start=begin + 30_000, market="um")
            plant(server, "delist", symbol="XRPUSDT", start=begin + 90_000, market="um")
            live.wait("the delisting", lambda s: s["alerts"].get("delisted"))
            plant(server, "wrong-last", market="um", seconds=600)
            plant(server, "missing-close", symbol="SOLUSDT", start="+0", seconds=240)
            live.wait_until(begin + 6 * MINUTE)
            alerts = live.status["alerts"]
            assert alerts["gap"] == 1
            assert alerts["delisted"] == 1
        for name in live.symbols():
            live.assert_equals_truth(name)
        assert "FRESHUSDT" in live.symbols()
        assert "XRPUSDT" not in live.symbols()
        live.assert_equals_truth("XRPUSDT", folder=live.base / "delisted" / "usdt_perp_1m")
        gaps = live.notes("gaps.jsonl")
        told = {(row["symbol"], row["why"]): len(row["open_ms"]) for row in gaps}
        assert told == {("BTCUSDT", "hole"): 3, ("ETHUSDT", "halt"): 3}
        late = [line for line in live.log.splitlines() if "kind=late" in line]
        assert late and not any("ETHUSDT" in line for line in late)


def test_spot_in_feather_with_wider_candles(tmp_path: Path) -> None:
    with exchange(spot=4, speed=240, kline_push=KlinePush.CLOSES) as server:
        with LiveDirectory(
            server, tmp_path / "live", trade_type="usdt_spot", interval="5m", save_type="feather"
        ) as live:
            live.wait_warm()
            before = live.status["bars"].get("socket", 0)
            live.wait("three closes", lambda s: s["bars"].get("socket", 0) >= before + 3 * 8)
        names = sorted(path.stem for path in live.folder.glob("*.fea"))
        assert {"BTCUSDT", "BTCUPUSDT", "币安人生USDT"} <= set(names)
        assert "BTCUSDC" not in names and "PAUSEDUSDT" not in names
        for name in names:
            frame = pl.from_pandas(pd.read_feather(live.folder / f"{name}.fea"))
            begins = frame["candle_begin_time"].dt.epoch("ms").to_list()
            expected = truth(server, "spot", name, begins[0], begins[-1] + 300_000, "5m")
            numbers = expected.columns[1:]
            assert frame.select(numbers).equals(expected.select(pl.col(numbers).cast(pl.Float64)))
            assert begins == expected["candle_begin_time"].dt.epoch("ms").to_list()
        assert (live.base / "exginfo_5m" / "exginfo.fea").exists()


def test_a_flat_candle_stands_for_a_gap_where_that_is_asked_for(tmp_path: Path) -> None:
    with exchange(um=2, kline_push=KlinePush.CLOSES) as server:
        begin = (server.state.clock.now() // MINUTE - 5) * MINUTE
        plant(server, "hole", symbol="BTCUSDT", start=begin, seconds=120)
        with LiveDirectory(
            server, tmp_path / "live", fill_flat=True, keep_symbols=["BTCUSDT"], num_candles=20
        ) as live:
            live.wait_warm()
            later = (server.state.clock.now() // MINUTE + 2) * MINUTE
            plant(server, "hole", symbol="BTCUSDT", start=later, seconds=60)
            live.wait_until(later + 4 * MINUTE)
        rows = live.rows("BTCUSDT")
        begins = rows["candle_begin_time"].dt.epoch("ms").to_list()
        assert begins == list(range(begins[0], begins[0] + 20 * MINUTE, MINUTE))
        quiet = [int(begin), int(begin) + MINUTE, int(later)]
        flat = rows.filter(pl.col("candle_begin_time").dt.epoch("ms").is_in(quiet))
        assert flat["volume"].to_list() == flat["trade_num"].to_list() == [0] * 3
        before = rows["close"][begins.index(quiet[0]) - 1]
        assert flat.row(0)[1:5] == (before,) * 4
        told = [at for row in live.notes("gaps.jsonl") for at in row["open_ms"]]
        assert sorted(told) == quiet


def test_a_start_reads_the_archive_and_asks_rest_for_what_it_lacks(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    spec = SampleSpec(("BTCUSDT", "ETHUSDT"), days=3, trades_per_day=6000)
    write_sample(tree, spec)
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy)
    start = datetime(2024, 2, 29, 0, 30, tzinfo=UTC)
    days = ("2024-02-28", "2024-02-29")
    for day in days[1:]:  # the last day is not published yet
        for path in copy.rglob(f"*{day}.zip"):
            path.unlink()
    with Exchange(
        ExchangeSpec(
            tape=tree, start_ms=int(start.timestamp() * 1000), speed=60,
            kline_push=KlinePush.CLOSES,
        )
    ) as server:  # fmt: skip
        with LiveDirectory(
            server, tmp_path / "live", archive_dir=str(copy), num_candles=1000
        ) as live:
            live.wait_warm()
            live.wait_until(server.state.clock.now() + 2 * MINUTE)
            pages = [page for page in stats(server)["pages"] if "klines" in page]
        asked = [
            int(dict(p.split("=") for p in q.split("?")[1].split("&"))["limit"]) for q in pages
        ]
        assert sum(asked) < 2 * 60, pages
        for name in ("BTCUSDT", "ETHUSDT"):
            assert live.assert_equals_truth(name) == 1000


def test_other_processes_hear_the_bars_over_zmq(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/bus"

    async def listen(count: int) -> list[ClosedBar]:
        found: list[ClosedBar] = []
        async with (
            ZmqSubscriber(address, ["bar."]) as subscriber,
            asyncio.timeout(60),
        ):
            async for message in subscriber:
                assert isinstance(message.event, ClosedBar)
                found.append(message.event)
                if len(found) == count:
                    break
        return found

    with exchange(um=2, kline_push=KlinePush.CLOSES) as server:
        live = LiveDirectory(server, tmp_path / "live", num_candles=40, zmq={"pub": address})
        with live:
            live.wait_warm()
            bars = asyncio.run(listen(12))
            live.wait_until(server.state.clock.now() + 2 * MINUTE)
        for bar in bars:
            row = live.rows(bar.symbol).filter(
                pl.col("candle_begin_time").dt.epoch("us") == bar.open_time_us
            )
            assert row.row(0)[1:] == bar.values


def test_a_candle_read_soon_after_its_close_is_read_once_more(tmp_path: Path) -> None:
    """REST is wrong for five seconds; the streams bring nothing, and nobody waits for them."""
    with (
        exchange(um=2, speed=15, kline_push=KlinePush.CLOSES) as server,
        LiveDirectory(
            server, tmp_path / "live", num_candles=20, candle_close_timeout_sec=2.2
        ) as live,
    ):
        live.wait_warm()
        plant(server, "wrong-last", market="um", seconds=3600)
        plant(server, "missing-close", market="um", seconds=3600)
        live.wait("a revision", lambda s: s["revisions"] >= 1)
        forget(server)
        live.wait_until(server.state.clock.now() + 2 * MINUTE)
        assert live.status["alerts"]["revision"] >= 1
        for name in live.symbols():
            live.assert_equals_truth(name)
        for row in live.notes("revisions.jsonl"):
            assert (row["old_source"], row["new_source"], row["applied"]) == ("rest", "rest", True)
            assert row["old"] != row["new"]


FAULTS = (
    ("ws-drop", {"count": 1}),
    ("ws-half-open", {"count": 1}),
    ("ws-reset", {"count": 1}),
    ("ws-stall", {"count": 1, "seconds": 20}),
    ("ws-shutdown", {"count": 1, "seconds_after": 20}),
    ("late-close", {"seconds": 60, "share": 0.3, "seconds_after": 25}),
    ("missing-close", {"seconds": 120, "share": 0.05}),
    ("missing-minute", {"seconds": 60, "share": 0.05}),
    ("duplicate", {"seconds": 120, "share": 0.3}),
    ("out-of-order", {"seconds": 120, "share": 0.3}),
    ("storm-429", {"seconds": 15, "seconds_after": 5, "market": "um"}),
    ("server-error", {"seconds": 20, "share": 0.5}),
    ("cut-json", {"seconds": 30, "share": 0.5}),
    ("drop", {"seconds": 30, "share": 0.5}),
    ("reset", {"seconds": 30, "share": 0.5}),
    ("wrong-last", {"seconds": 120}),
    ("ban-418", {"count": 1, "seconds_after": 60}),
)
"""Faults of which a storm is made, beside those that change the truth."""


def storm(live: LiveDirectory, minutes: int, seed: int) -> int:
    """Strike at random for so many minutes; nothing may be lost or doubled. How many candles."""
    server, chance = live.server, random.Random(seed)
    live.wait_warm()
    names = live.symbols()
    begin = (server.state.clock.now() // MINUTE + 1) * MINUTE
    holes = chance.sample(names, 6)
    for name in holes[:3]:
        start = begin + chance.randrange(5, minutes - 15) * MINUTE
        plant(server, "hole", symbol=name, start=start, seconds=60 * chance.randrange(1, 4))
    plant(server, "halt", symbol=holes[3], start=begin + 7 * MINUTE, seconds=200)
    plant(server, "delist", symbol=holes[4], start=begin + 11 * MINUTE + 20_000, market="um")
    plant(server, "new-listing", symbol="FRESHUSDT", start=begin + 9 * MINUTE, market="um")
    for hour in range(0, minutes, 60):
        live.pass_until(begin + hour * MINUTE)
        forget(server)  # what is over costs the stand-in time
        for minute in range(hour, min(hour + 60, minutes - 12), 2):
            kind, words = chance.choice(FAULTS)
            start = begin + minute * MINUTE + chance.randrange(120_000)
            plant(server, kind, start=start, **words)
    live.wait_until(begin + minutes * MINUTE)
    assert live.status["alerts"]["delisted"] == 1
    live.stop()  # writes what is still in memory only
    total = sum(live.assert_equals_truth(name) for name in live.symbols())
    live.assert_equals_truth(holes[4], folder=live.base / "delisted" / live.folder.name)
    assert set(live.symbols()) == set(names) - {holes[4]} | {"FRESHUSDT"}
    told = {row["symbol"] for row in live.notes("gaps.jsonl") if row["why"] == "hole"}
    assert told == set(holes[:3]) - {holes[4]}
    assert all(len(times) == 1 for times in live.ready_times().values())
    return total


def test_an_hour_of_random_faults_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with (
        exchange(um=93, speed=60, kline_push=KlinePush.CLOSES) as server,
        LiveDirectory(server, tmp_path / "live", num_candles=90) as live,
    ):
        assert storm(live, 60, seed=20260310) > 90 * 94


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_a_day_of_700_symbols_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with exchange(um=693, speed=15, kline_push=KlinePush.CLOSES) as server:
        options = {"num_candles": 1500, "num_socket_listeners": 8}
        with LiveDirectory(server, tmp_path / "live", **options) as live:
            assert storm(live, 24 * 60, seed=7) > 1500 * 690
