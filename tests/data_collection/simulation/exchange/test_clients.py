"""Clients that others wrote, unmodified, work against the simulated exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import requests

from alphaqcm.data_collection.simulation.exchange import Exchange, ExchangeSpec, UniverseSize
from tests.data_collection.simulation.exchange.conftest import START_MS

binance = pytest.importorskip("binance", reason="python-binance is not installed")
ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed")

pytestmark = pytest.mark.process  # their candles close in real seconds: not for `make test-fast`

HOUR = 3_600_000
FETCHED = ["spot", "linear", "inverse"]
MARKETS = {"spot": "BTC/USDT", "um": "BTC/USDT:USDT", "cm": "BTC/USD:BTC"}
NAMES = {"spot": "BTCUSDT", "um": "BTCUSDT", "cm": "BTCUSD_PERP"}


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    """Sixty times as fast as the real one, so that candles close."""
    spec = ExchangeSpec(start_ms=START_MS, speed=60, size=UniverseSize(3, 3, 2))
    with Exchange(spec) as running:
        yield running


def truth(exchange: Exchange, market: str, start: int, end: int, interval: str = "1h") -> Any:
    answer = requests.get(
        exchange.url + "/__truth__/klines",
        params={
            "market": market,
            "symbol": NAMES[market],
            "interval": interval,
            "startTime": str(start),
            "endTime": str(end),
        },
        timeout=20,
    )
    return answer.json()


def pointed(made: Any, url: str) -> Any:
    """A ccxt exchange whose addresses are the simulated one's; nothing else is changed."""
    api = made.urls["api"]
    for name, address in list(api.items()):
        if isinstance(address, str):
            path = address.split("binance.com", 1)[-1]
            api[name] = url + path
    sockets = url.replace("http", "ws", 1)
    api["ws"] = {
        # ccxt takes an address for spot's by the words `/stream` in it: here, of a user's name
        "spot": f"{sockets.replace('://', '://stream@')}/spot-ws/ws",
        "linear": f"{sockets}/um-ws/ws",
        "inverse": f"{sockets}/cm-ws/ws",
    } | {name: value for name, value in api.get("ws", {}).items() if name.startswith("ws-")}
    return made


@pytest.fixture(scope="module")
def client(exchange: Exchange) -> Any:
    made = pointed(ccxt.binance({"options": {"fetchMarkets": {"types": FETCHED}}}), exchange.url)
    made.load_markets()
    return made


def test_ccxt_reads_the_time(exchange: Exchange, client: Any) -> None:
    before = exchange.state.clock.now_ms()
    assert before <= client.fetch_time() <= exchange.state.clock.now_ms()


def test_ccxt_reads_the_symbols_of_all_markets(client: Any) -> None:
    assert set(MARKETS.values()) <= set(client.markets)
    market = client.markets["BTC/USDT:USDT"]
    assert (market["id"], market["swap"], market["linear"]) == ("BTCUSDT", True, True)
    assert client.markets["BTC/USD:BTC"]["contractSize"] == 100
    assert not client.markets["PAUSED/USDT"]["active"]
    assert "币安人生/USDT" in client.markets


@pytest.mark.parametrize("market", MARKETS)
def test_ccxt_reads_candles(exchange: Exchange, client: Any, market: str) -> None:
    start = START_MS - START_MS % HOUR - 30 * HOUR
    rows = client.fetch_ohlcv(MARKETS[market], "1h", since=start, limit=24)
    right = truth(exchange, market, rows[0][0], rows[-1][0])
    assert len(rows) == 24
    column = 7 if market == "cm" else 5  # ccxt gives the volume in the base asset
    for row, whole in zip(rows, right, strict=True):
        assert row[:5] == [whole[0], *(float(cell) for cell in whole[1:5])]
        assert row[5] == float(whole[column])


@pytest.mark.parametrize("market", MARKETS)
def test_ccxt_reads_trades(client: Any, market: str) -> None:
    rows = client.fetch_trades(MARKETS[market], limit=50)
    ids = [int(row["id"]) for row in rows]
    assert ids == list(range(ids[0], ids[0] + 50))
    assert {row["side"] for row in rows} == {"buy", "sell"}


@asynccontextmanager
async def ccxt_pro(exchange: Exchange) -> AsyncIterator[Any]:
    import ccxt.pro

    made = ccxt.pro.binance({"options": {"fetchMarkets": {"types": FETCHED}}})
    made = pointed(made, exchange.url)
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("market", MARKETS)
def test_ccxt_streams_candles(exchange: Exchange, market: str) -> None:
    async def watch() -> list[Any]:
        async with ccxt_pro(exchange) as made:
            rows: dict[int, Any] = {}
            while len(rows) < 4:
                for row in await asyncio.wait_for(made.watch_ohlcv(MARKETS[market], "1m"), 30):
                    rows[row[0]] = row
            return [rows[at] for at in sorted(rows)]

    rows = asyncio.run(watch())
    # the first candle was joined in the middle, the last one is not over
    for row in rows[1:-1]:
        (whole,) = truth(exchange, market, row[0], row[0], "1m")
        assert row[1:5] == [float(cell) for cell in whole[1:5]]
        assert row[5] == float(whole[5])


def moved(kind: Any, url: str) -> Any:
    """python-binance's client class with the simulated exchange's addresses."""
    return type(
        kind.__name__,
        (kind,),
        {
            "API_URL": url + "/api",
            "FUTURES_URL": url + "/fapi",
            "FUTURES_COIN_URL": url + "/dapi",
            "FUTURES_DATA_URL": url + "/futures/data",
        },
    )


@pytest.fixture(scope="module")
def python_binance(exchange: Exchange) -> Any:
    return moved(binance.Client, exchange.url)()


def test_python_binance_reads_time_and_symbols(exchange: Exchange, python_binance: Any) -> None:
    assert python_binance.get_server_time()["serverTime"] <= exchange.state.clock.now_ms()
    for info in (
        python_binance.get_exchange_info(),
        python_binance.futures_exchange_info(),
        python_binance.futures_coin_exchange_info(),
    ):
        assert any(row["baseAsset"] == "BTC" for row in info["symbols"])


def test_python_binance_reads_candles_page_after_page(
    exchange: Exchange, python_binance: Any
) -> None:
    start = START_MS - START_MS % HOUR - 2500 * HOUR
    end = start + 2200 * HOUR
    rows = python_binance.get_historical_klines("BTCUSDT", "1h", start, end)
    assert rows == truth(exchange, "spot", start, end)
    futures = python_binance.futures_historical_klines("BTCUSDT", "1h", start, end)
    assert futures == truth(exchange, "um", start, end)


def test_python_binance_reads_trades(python_binance: Any) -> None:
    for rows in (
        python_binance.get_aggregate_trades(symbol="BTCUSDT", limit=20),
        python_binance.futures_aggregate_trades(symbol="BTCUSDT", limit=20),
    ):
        assert [row["a"] for row in rows] == list(range(rows[0]["a"], rows[0]["a"] + 20))


def test_python_binance_reads_funding_and_open_interest(python_binance: Any) -> None:
    assert len(python_binance.futures_funding_rate(symbol="BTCUSDT", limit=5)) == 5
    rows = python_binance.futures_open_interest_hist(symbol="BTCUSDT", period="5m", limit=5)
    assert len(rows) == 5


@pytest.mark.parametrize("market", ["spot", "um"])
def test_python_binance_streams_candles(exchange: Exchange, market: str) -> None:
    sockets = exchange.url.replace("http", "ws", 1)

    async def watch() -> list[dict[str, Any]]:
        made = await moved(binance.AsyncClient, exchange.url).create()
        manager = binance.BinanceSocketManager(made)
        manager.STREAM_URL = f"{sockets}/spot-ws/"
        manager.FSTREAM_URL = f"{sockets}/um-ws/"
        open_socket: Callable[[], Any] = (
            (lambda: manager.kline_socket("BTCUSDT", "1m"))
            if market == "spot"
            else (lambda: manager.futures_multiplex_socket(["btcusdt@kline_1m"]))
        )
        closes: list[dict[str, Any]] = []
        try:
            async with open_socket() as stream:
                while len(closes) < 2:
                    frame = await asyncio.wait_for(stream.recv(), 30)
                    candle = frame.get("data", frame)["k"]
                    if candle["x"]:
                        closes.append(candle)
        finally:
            await made.close_connection()
        return closes

    for candle in asyncio.run(watch()):
        (whole,) = truth(exchange, market, candle["t"], candle["t"], "1m")
        assert [candle[name] for name in "tohlcvTqnVQB"] == whole
