"""Connections that are replaced because their time is over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.config import parse_config
from alphaqcm.data_collection.live.service import LiveClient, LiveParts
from alphaqcm.data_collection.simulation.exchange import Exchange, KlinePush
from tests.helpers.simulated_exchange import exchange, stats, truth


async def rotate(server: Exchange, base: Path) -> dict[str, int]:
    """Live through many lives of a connection; what it cost."""
    config = parse_config(
        {"interval": "1m", "trade_type": "usdt_perp", "num_candles": 30, "num_socket_listeners": 2}
    ).at(server.url)
    clock = ExchangeClock.from_environment()
    async with LiveClient(base, config, LiveParts(clock=clock, life=150.0)) as client:
        running = asyncio.create_task(client.run())
        await asyncio.wait_for(client.started.wait(), 60)
        pages = kline_pages(server)
        counters = client.receiver.counters
        async with asyncio.timeout(120):
            while counters.connects < 10:
                await clock.sleep(60.0)
        await clock.sleep_until((clock.now() // 60 + 1) * 60 + 10)
        await client.publisher.drain()
        told = {
            "ends": sum(counters.ends.values()),
            "pages": kline_pages(server) - pages,
            "waiting": sum(bool(book.waiting) for book in client.keeper.books.values()),
            "same": client.metrics.outcomes["same"],
        }
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return told


def kline_pages(server: Exchange) -> int:
    return sum(n for page, n in stats(server)["pages"].items() if "klines" in page)


@pytest.mark.slow
def test_the_new_connection_is_up_before_the_old_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exchange(um=6, kline_push=KlinePush.CLOSES) as server:
        monkeypatch.setenv("ALPHAQCM_TEST_CLOCK", server.url)
        (tmp_path / "live").mkdir()
        told = asyncio.run(rotate(server, tmp_path / "live"))
        assert told["ends"] == 0  # none broke
        assert told["pages"] == 0  # nothing had to be read over REST
        assert told["waiting"] == 0
        for path in (tmp_path / "live" / "usdt_perp_1m").glob("*.pqt"):
            begins = pl.read_parquet(path)["candle_begin_time"].dt.epoch("ms").to_list()
            expected = truth(server, "um", path.stem, begins[0], begins[-1] + 60_000, "1m")
            assert begins == expected["candle_begin_time"].dt.epoch("ms").to_list()
