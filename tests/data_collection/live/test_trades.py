"""Trades, mark prices and liquidations from the streams, in one process with the test."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path

import pytest

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.config import parse_config
from alphaqcm.data_collection.live.events import (
    Control,
    ControlKind,
    Event,
    Liquidation,
    LiveTrade,
    LocalBus,
    MarkPrice,
)
from alphaqcm.data_collection.live.extra.trade_line import TradeLine
from alphaqcm.data_collection.live.service import LiveClient, LiveParts
from alphaqcm.data_collection.simulation.exchange import Exchange
from alphaqcm.pipeline.domain.registry import Market
from tests.helpers.simulated_exchange import ask, exchange, plant


def trade(number: int) -> LiveTrade:
    return LiveTrade(Market.UM, "BTCUSDT", number, number, number, number * 1000, 1.0, 1.0, False)


def test_trades_come_once_and_in_order_however_they_arrive() -> None:
    chance = random.Random(3)
    for _ in range(50):
        line = TradeLine()
        told = [one.agg_id for one in line.offer(trade(100))]
        numbers = [*range(101, 140), *chance.choices(range(90, 140), k=20)]
        chance.shuffle(numbers)
        for number in numbers:
            told += [one.agg_id for one in line.offer(trade(number))]
        assert told == list(range(100, 140)) and not line.waiting


async def follow(server: Exchange, base: Path, minutes: int) -> list[Event]:
    """Run a client so long after it is warm; everything it told."""
    told: list[Event] = []
    bus = LocalBus(lambda one, error: pytest.fail(f"{one}: {error!r}"))
    bus.subscribe(told.append)
    config = parse_config(
        {
            "interval": "1m", "trade_type": "usdt_perp", "num_candles": 10,
            "num_socket_listeners": 2, "keep_symbols": ["BTCUSDT", "ETHUSDT", "BNBUSDT"],
            "streams": ["aggTrade", "markPrice", "forceOrder"],
        }
    ).at(server.url)  # fmt: skip
    clock = ExchangeClock.from_environment()
    async with LiveClient(base, config, LiveParts(clock=clock, bus=bus)) as client:
        running = asyncio.create_task(client.run())
        await asyncio.wait_for(client.started.wait(), 60)
        await clock.sleep(60.0 * minutes)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return told


@pytest.mark.slow
def test_no_trade_is_lost_or_doubled_or_out_of_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exchange(um=3, speed=60, trades_per_minute=40) as server:
        monkeypatch.setenv("ALPHAQCM_TEST_CLOCK", server.url)
        plant(server, "duplicate", seconds=600, share=0.1)
        plant(server, "out-of-order", seconds=600, share=0.1)
        plant(server, "id-gap", symbol="BTCUSDT", start="+150", seconds=70)
        plant(server, "ws-drop", start="+240", count=2)
        (tmp_path / "live").mkdir()
        told = asyncio.run(follow(server, tmp_path / "live", 8))
        trades = [one for one in told if isinstance(one, LiveTrade)]
        for symbol in ("BTCUSDT", "ETHUSDT", "BNBUSDT"):
            mine = [one for one in trades if one.symbol == symbol]
            assert len(mine) > 150
            assert all(b.agg_id == a.agg_id + 1 for a, b in itertools.pairwise(mine))
            truth = ask(
                server, "/__truth__/aggTrades", market="um", symbol=symbol,
                startTime=mine[0].time_us // 1000, endTime=mine[-1].time_us // 1000,
            )  # fmt: skip
            by_id = {row["a"]: row for row in truth}
            for one in mine:
                row = by_id[one.agg_id]
                assert (one.price_text, one.quantity_text, one.time_us, one.buyer_is_maker) == (
                    row["p"], row["q"], row["T"] * 1000, row["m"],
                )  # fmt: skip
        complete = [
            one for one in told if isinstance(one, Control) and one.kind is ControlKind.TRADED
        ]
        assert len(complete) >= 3 * 5
        assert all(one.detail["exact"] for one in complete)
        for control in complete:  # told after the last trade of its minute
            at = told.index(control)
            later = [one for one in told[at:] if isinstance(one, LiveTrade)]
            late = [o for o in later if o.symbol == control.symbol and o.time_us < control.time_us]
            assert not late
        marks = [one for one in told if isinstance(one, MarkPrice)]
        keys = [(one.symbol, one.time_us) for one in marks]
        assert len(keys) > 500 and len(keys) == len(set(keys))
        forced = [one for one in told if isinstance(one, Liquidation)]
        assert {one.symbol for one in forced} <= {"BTCUSDT", "ETHUSDT", "BNBUSDT"}
        assert all(one.side in ("BUY", "SELL") for one in forced)
