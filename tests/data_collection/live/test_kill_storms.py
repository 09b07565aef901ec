"""The live client killed at random instants: files whole, nothing lost, every start a warm one."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from alphaqcm.data_collection.live.record.day_parts import DayParts, Kind, read_rows
from alphaqcm.data_collection.simulation.exchange import Exchange, KlinePush
from alphaqcm.pipeline.domain.registry import Market
from tests.helpers.live_directory import COLUMNS, LiveDirectory
from tests.helpers.simulated_exchange import ask, exchange, stats, truth

pytestmark = [pytest.mark.process, pytest.mark.slow]

MINUTE = 60_000
SYMBOLS = ["BNBUSDT", "BTCUSDT", "ETHUSDT", "币安人生USDT"]
CANDLES = 1000


def storm(server: Exchange, folder: Path, kills: int, seed: int) -> None:
    """Kill so many times, then run to an end and hold everything against the truth."""
    chance = random.Random(seed)
    root = folder / "root"
    live = LiveDirectory(
        server, folder / "live", "--record", str(root),
        num_candles=CANDLES, keep_symbols=SYMBOLS, streams=["aggTrade"],
    )  # fmt: skip
    live.start()
    live.wait_warm()
    live.wait("recorded trades", lambda s: s["recorder"].get("aggTrades", 0) > 20)
    before = limits(server)
    for number in range(kills):
        if number % 2:  # at any moment of a start
            time.sleep(chance.uniform(0.0, 4.0))
        else:  # at work
            live.wait_warm()
            time.sleep(chance.uniform(0.0, 1.5))
        live.stop(signal.SIGKILL)
        assert_whole(live)
        # a kill in the middle of a write leaves this, and is seldom
        (live.folder / ".BTCUSDT.1.tmp").write_bytes(b"PAR1")
        live.start()
    live.wait_warm()
    begin = server.state.clock.now()
    live.wait_until(begin + 2 * MINUTE)
    live.wait("the newest trades", lambda _: all(newest(root, name) > begin for name in SYMBOLS))
    assert live.stop() == 0

    assert_whole(live)
    assert live.symbols() == SYMBOLS
    for name in SYMBOLS:
        assert live.assert_equals_truth(name) == CANDLES
        assert_recorded(server, root, name)
    assert {name: len(times) for name, times in live.ready_times().items()} == dict.fromkeys(
        SYMBOLS, 1
    )
    assert len(list((live.base / "exginfo_1m").glob("*.ready"))) == 1
    left = [path for top in (live.base, root) for path in top.rglob("*.tmp")]
    assert left == []
    assert not list(live.base.rglob("*.damaged"))
    # a start that asked for all of its history would ask for pages of 499
    assert max(limits(server)[len(before) :]) < CANDLES // 3
    warm = [line for line in live.log.splitlines() if "event=warm" in line]
    assert len(warm) >= 1 + kills // 2
    for line in warm[1:]:
        assert int(line.partition("bars_from_files=")[2].split()[0]) > len(SYMBOLS) * CANDLES // 2


def limits(server: Exchange) -> list[int]:
    """How many candles each request for candles was for, in the order of their first asking."""
    pages = [page.partition("?")[2] for page in stats(server)["pages"] if "klines?" in page]
    return [int(dict(word.split("=") for word in page.split("&"))["limit"]) for page in pages]


def newest(root: Path, symbol: str) -> int:
    """The time (ms) of the newest recorded trade."""
    row = DayParts(root, Market.UM).last_row(Kind.AGG_TRADES, symbol)
    return int(row.split(",")[5]) if row else 0


def assert_whole(live: LiveDirectory) -> None:
    """Whoever sees a ready file reads every row up to its time, and each is the exchange's."""
    for name, times in live.ready_times().items():
        live.assert_equals_truth(name)
        last = live.rows(name)["candle_begin_time"].dt.epoch("ms")[-1]
        assert last + MINUTE >= max(times), name


def assert_recorded(server: Exchange, root: Path, symbol: str) -> None:
    """Recorded trades and candles are the exchange's, without a gap from first to last."""
    parts = DayParts(root, Market.UM)
    [trades], [candles] = (
        [path for name, _, path in parts.days(kind) if name == symbol]
        for kind in (Kind.AGG_TRADES, Kind.KLINES)
    )
    rows = read_rows(trades)
    ids = [int(row[0]) for row in rows]
    assert ids == list(range(ids[0], ids[-1] + 1)), symbol
    told = ask(
        server, "/__truth__/aggTrades", market="um", symbol=symbol,
        startTime=int(rows[0][5]), endTime=int(rows[-1][5]),
    )  # fmt: skip
    expected = {row["a"]: [str(row[key]) for key in "apqflT"] for row in told}
    assert [row[:6] for row in rows] == [expected[one] for one in ids]

    bars = {int(row[0]): row for row in read_rows(candles)}  # one may be there twice
    begins = sorted(bars)
    assert begins == list(range(begins[0], begins[-1] + MINUTE, MINUTE))
    frame = truth(server, "um", symbol, begins[0], begins[-1] + MINUTE, "1m")
    for row, begin in zip(frame.select(COLUMNS[1:]).iter_rows(), begins, strict=True):
        bar = bars[begin]
        assert (*map(float, bar[1:6]), *map(float, bar[7:11])) == row


def test_kills_at_random_instants_lose_and_tear_nothing(tmp_path: Path) -> None:
    with exchange(um=3, trades_per_minute=20, kline_push=KlinePush.CLOSES) as server:
        storm(server, tmp_path, kills=6, seed=20260310)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_sixty_kills_at_random_instants_lose_and_tear_nothing(tmp_path: Path) -> None:
    with exchange(um=3, trades_per_minute=20, kline_push=KlinePush.CLOSES) as server:
        storm(server, tmp_path, kills=60, seed=11)
