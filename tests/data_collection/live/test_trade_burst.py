"""Trades by the thousand at once: recorded one by one, none lost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from alphaqcm.data_collection.live.record.day_parts import DayParts, Kind, read_rows
from alphaqcm.data_collection.simulation.exchange import Exchange, KlinePush
from alphaqcm.pipeline.domain.registry import Market
from tests.helpers.live_directory import LiveDirectory
from tests.helpers.simulated_exchange import ask, exchange, plant

MINUTE = 60_000
SYMBOLS = ["BNBUSDT", "BTCUSDT", "ETHUSDT", "币安人生USDT"]
A_MINUTE, STALL = 1200, 25


@pytest.mark.process
@pytest.mark.slow
def test_a_burst_of_trades_is_recorded_whole(tmp_path: Path) -> None:
    """1,600 trades a second, and twice what 25 seconds of the exchange have brought, at once."""
    root = tmp_path / "root"
    with (
        exchange(
            spot=1, um=3, speed=20, trades_per_minute=A_MINUTE, kline_push=KlinePush.CLOSES
        ) as server,
        LiveDirectory(
            server, tmp_path / "live", "--record", str(root),
            num_candles=5, keep_symbols=SYMBOLS, streams=["aggTrade"],
        ) as live,
    ):  # fmt: skip
        live.wait("trades", lambda s: s["recorder"].get("aggTrades", 0) > A_MINUTE)
        bursts = []
        for _ in range(2):
            bursts.append(server.state.clock.now())
            plant(server, "ws-stall", market="um", seconds=STALL)
            live.pass_until(bursts[-1] + 2 * STALL * 1000)
        end = server.state.clock.now()
        live.wait("the newest trades", lambda _: all(newest(root, one) > end for one in SYMBOLS))
        live.stop()
        for name in SYMBOLS:
            rows = assert_trades(server, root, name)
            assert_minutes(server, root, name, rows)
            for begin in bursts:
                inside = [row for row in rows if begin < int(row[5]) < begin + STALL * 1000]
                assert len(inside) > A_MINUTE * STALL // 60 - 100


def part(root: Path, kind: Kind, symbol: str) -> list[list[str]]:
    [path] = [path for name, _, path in DayParts(root, Market.UM).days(kind) if name == symbol]
    return read_rows(path)


def newest(root: Path, symbol: str) -> int:
    """The time (ms) of the newest recorded trade."""
    row = DayParts(root, Market.UM).last_row(Kind.AGG_TRADES, symbol)
    return int(row.split(",")[5]) if row else 0


def assert_trades(server: Exchange, root: Path, symbol: str) -> list[list[str]]:
    """Recorded trades are the exchange's, id by id; gives them back."""
    rows = part(root, Kind.AGG_TRADES, symbol)
    ids = [int(row[0]) for row in rows]
    assert ids == list(range(ids[0], ids[-1] + 1)), symbol
    told = ask(
        server, "/__truth__/aggTrades", market="um", symbol=symbol,
        startTime=int(rows[0][5]), endTime=int(rows[-1][5]),
    )  # fmt: skip
    truth = {row["a"]: [str(row[key]) for key in "apqflT"] for row in told}
    assert [row[:6] for row in rows] == [truth[one] for one in ids]
    return rows


def assert_minutes(server: Exchange, root: Path, symbol: str, rows: list[list[str]]) -> None:
    """Whole minutes of the recorded trades, and the recorded candles, are the exchange's."""
    first, last = int(rows[0][5]) // MINUTE + 1, int(rows[-1][5]) // MINUTE
    candles = ask(
        server, "/__truth__/klines", market="um", symbol=symbol, interval="1m",
        startTime=first * MINUTE, endTime=last * MINUTE - 1,
    )  # fmt: skip
    assert len(candles) == last - first > 0
    recorded = {int(row[0]): row for row in part(root, Kind.KLINES, symbol)}
    for candle in candles:
        mine = [row for row in rows if candle[0] <= int(row[5]) < candle[0] + MINUTE]
        prices = [Decimal(row[1]) for row in mine]
        assert (prices[0], max(prices), min(prices), prices[-1]) == tuple(map(Decimal, candle[1:5]))
        assert sum(Decimal(row[2]) for row in mine) == Decimal(candle[5])
        assert sum(Decimal(row[1]) * Decimal(row[2]) for row in mine) == Decimal(candle[7])
        assert sum(int(row[4]) - int(row[3]) + 1 for row in mine) == candle[8]
        bar = recorded[candle[0]]
        assert [float(word) for word in bar[1:6]] == [float(word) for word in candle[1:6]]
