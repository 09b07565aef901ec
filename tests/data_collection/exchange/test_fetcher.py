"""The fetcher as a notebook uses it, and the client under it, against the simulated exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pandas as pd
import pytest
from aiohttp import web

from alphaqcm.data_collection.errors import BadSymbol, RequestRefused
from alphaqcm.data_collection.exchange import clock as clocks
from alphaqcm.data_collection.exchange.endpoints import Bases, Endpoint, Pool
from alphaqcm.data_collection.exchange.fetcher import (
    DEFAULT_TZ,
    BinanceFetcher,
    async_sleep_until_run_time,
    convert_interval_to_timedelta,
    create_aiohttp_session,
    get_logger,
    next_run_time,
    now_time,
)
from alphaqcm.data_collection.simulation.exchange import Exchange
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import BadName
from tests.helpers.simulated_exchange import START_MS, exchange, plant, stats, truth

Use = Callable[[BinanceFetcher], Awaitable[Any]]


def use(
    server: Exchange, monkeypatch: pytest.MonkeyPatch, body: Use, trade_type: str = "usdt_futures"
) -> Any:
    """Run a body with a fetcher that finds the exchange by its environment, as a notebook does."""
    monkeypatch.setenv("ALPHAQCM_EXCHANGE", server.url)
    monkeypatch.setenv("ALPHAQCM_TEST_CLOCK", server.url)
    monkeypatch.setattr(clocks, "_default", None)

    async def main() -> Any:
        async with create_aiohttp_session(timeout_sec=20) as session:
            return await body(BinanceFetcher(trade_type, session))

    return asyncio.run(main())


def test_a_candle_frame_is_that_of_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    with exchange() as server:
        frame = use(server, monkeypatch, lambda f: f.get_candle(symbol="BTCUSDT", interval="5m"))
    assert frame.shape == (500, 10)
    assert frame.index.name == "candle_end_time"
    assert str(frame.index.tz) == "UTC"
    assert list(frame.columns) == [
        "candle_begin_time",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "trade_num",
        "taker_buy_base_asset_volume",
        "taker_buy_quote_asset_volume",
    ]
    assert (frame.index - frame["candle_begin_time"] == pd.Timedelta("5min")).all()
    assert frame.dtypes.iloc[1:].unique().tolist() == ["float64"]


def test_a_page_goes_by_its_limit_and_times(monkeypatch: pytest.MonkeyPatch) -> None:
    end = START_MS // 300_000 * 300_000 - 3_600_000
    with exchange() as server:
        frame = use(
            server, monkeypatch, lambda f: f.get_candle("BTCUSDT", "5m", limit=7, endTime=end)
        )
        told = truth(server, "um", "BTCUSDT", end - 6 * 300_000, end + 1)
    assert frame["close"].tolist() == told["close"].to_list()


def test_time_and_weight_are_the_exchanges(monkeypatch: pytest.MonkeyPatch) -> None:
    with exchange() as server:
        time, used = use(server, monkeypatch, lambda f: f.get_time_and_weight())
    assert time.tz is not None
    assert time >= pd.Timestamp(START_MS, unit="ms", tz="UTC")
    assert used >= 1


@pytest.mark.parametrize(
    ("trade_type", "symbol"), [("usdt_futures", "BTCUSDT"), ("spot", "BTCUSDT")]
)
def test_trading_rules_are_decimals_by_symbol(
    monkeypatch: pytest.MonkeyPatch, trade_type: str, symbol: str
) -> None:
    with exchange() as server:
        rules = use(server, monkeypatch, lambda f: f.get_exchange_info(), trade_type)
    assert isinstance(rules[symbol]["price_tick"], Decimal)
    assert isinstance(rules[symbol]["min_notional_value"], Decimal)
    assert ("contract_type" in rules[symbol]) == (trade_type == "usdt_futures")


def test_a_trade_type_has_its_symbols_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with exchange() as server:
        perpetuals = use(server, monkeypatch, lambda f: f.get_exchange_info(), "usdt_perp")
        quarters = use(server, monkeypatch, lambda f: f.get_exchange_info(), "usdt_deli")
    assert "BTCUSDT" in perpetuals
    assert "BTCUSDC" not in perpetuals
    assert "TSLAUSDT" not in perpetuals
    assert quarters
    assert all("_" in name for name in quarters)


def test_limits_are_those_that_cost_least(monkeypatch: pytest.MonkeyPatch) -> None:
    async def limits(fetcher: BinanceFetcher) -> tuple[int, int]:
        return fetcher.get_api_limits()

    with exchange() as server:
        assert use(server, monkeypatch, limits) == (2400, 499)
        assert use(server, monkeypatch, limits, "spot") == (6000, 1000)


def test_paged_candles_equal_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    end = datetime.fromtimestamp(START_MS / 1000, UTC)
    with exchange() as server:
        frame = use(
            server, monkeypatch, lambda f: f.candles("币安人生USDT", end - timedelta(days=5), end)
        )
        first = int(frame["candle_begin_time"].dt.epoch("ms")[0])
        told = truth(server, "um", "币安人生USDT", first, first + frame.height * 300_000)
    assert frame.height == 5 * 288 - 1  # the range begins and the clock stands between two closes
    assert frame.drop("candle_end_time").equals(told.select(frame.columns[1:]))


def test_an_unknown_symbol_and_a_wrong_request_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with exchange() as server:
        with pytest.raises(BadSymbol):
            use(server, monkeypatch, lambda f: f.get_candle("NOSUCH", "5m"))
        with pytest.raises(RequestRefused, match="-1120"):
            use(server, monkeypatch, lambda f: f.get_candle("BTCUSDT", "7m"))


@pytest.mark.slow
def test_the_limit_holds_over_several_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    trades = msgspec.json.Decoder(list[Any])

    async def many(fetcher: BinanceFetcher) -> None:
        words = {"symbol": "BTCUSDT", "limit": 1}
        await asyncio.gather(
            *(fetcher.client.ask(Market.UM, Endpoint.AGG_TRADES, trades, words) for _ in range(250))
        )

    with exchange(speed=10.0) as server:
        use(server, monkeypatch, many)
        found = stats(server)
    used = [one["used"] for one in found["windows"] if one["pool"] == "futures"]
    assert sum(used) >= 250 * 20
    assert max(used) <= 2400
    assert found["refused"] == 0


def test_a_throttled_request_waits_and_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with exchange() as server:
        plant(server, "storm-429", count=2, seconds_after=30, path="klines")
        frame = use(server, monkeypatch, lambda f: f.get_candle("BTCUSDT", "5m", limit=5))
        found = stats(server)
    assert len(frame) == 5
    assert found["statuses"]["429"] == 2


def test_every_request_on_the_wire_was_reserved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # the exchange closes kept connections without an answer: the library would ask again by itself
    async def many(fetcher: BinanceFetcher) -> tuple[int, int]:
        for _ in range(12):
            await fetcher.get_candle("BTCUSDT", "5m", limit=99)
        return fetcher.client.tally.weight, fetcher.client.tally.answers

    with exchange() as server:
        plant(server, "drop", count=4, share=0.5, path="klines")
        weight, answers = use(server, monkeypatch, many)
        asked = stats(server)["paths"]
    assert answers == 12
    assert asked == {"/fapi/v1/time": 1, "/fapi/v1/klines": 16}
    assert weight == 1 + 16


def test_nothing_is_sent_while_a_pool_is_frozen_not_even_for_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ask(fetcher: BinanceFetcher) -> bool:
        await fetcher.get_time_and_weight()
        fetcher.client.governor.freeze(Pool.FUTURES, fetcher.client.clock.now() + 86_400)
        asking = asyncio.create_task(fetcher.get_time_and_weight())
        done, _ = await asyncio.wait({asking}, timeout=0.5)
        asking.cancel()
        return bool(done)

    with exchange() as server:
        assert not use(server, monkeypatch, ask)
        assert stats(server)["paths"] == {"/fapi/v1/time": 1}


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.path)
        raise web.HTTPFound(f"{server.url}{request.path_qs}")

    async def ask(fetcher: BinanceFetcher) -> None:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            fetcher.client.bases = Bases.at(f"http://127.0.0.1:{runner.addresses[0][1]}")
            with pytest.raises(RequestRefused, match="302"):
                await fetcher.get_candle("BTCUSDT", "5m")
        finally:
            await runner.cleanup()

    seen: list[str] = []
    with exchange() as server:
        use(server, monkeypatch, ask)
        assert stats(server)["paths"] == {}
    assert len(seen) == 1


def test_helpers_follow_the_exchanges_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: BinanceFetcher) -> tuple[datetime, datetime]:
        run_time = next_run_time("5m")
        await async_sleep_until_run_time(run_time)
        return run_time, now_time()

    with exchange(speed=600.0) as server:
        run_time, now = use(server, monkeypatch, sleep)
    assert run_time <= now
    assert run_time.minute % 5 == 0
    assert now.tzinfo is DEFAULT_TZ
    assert now.year == 2026


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m", 300), ("15T", 900), ("1h", 3600), ("2H", 7200), ("1d", 86400)]
)
def test_intervals_are_read_as_the_documents_write_them(text: str, seconds: int) -> None:
    assert convert_interval_to_timedelta(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "0m", "1M", "x", "1w"])
def test_other_intervals_are_refused(text: str) -> None:
    with pytest.raises(BadName, match="interval"):
        convert_interval_to_timedelta(text)


def test_a_logger_tells_of_success(capfd: pytest.CaptureFixture[str]) -> None:
    logger = get_logger("alphaqcm.test_ok")
    logger.ok("%d symbols", 3)
    assert get_logger("alphaqcm.test_ok") is logger
    assert "OK      3 symbols" in capfd.readouterr().err
