"""From what is traded at the simulated exchange to the callback of a real stream client."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pymarketstore as pymkts
import pytest
import websocket

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.marketstore.config import (
    FeederConfig,
    MarketstoreConfig,
    RealTime,
    StreamType,
)
from alphaqcm.data_collection.marketstore.feeder import real_time
from alphaqcm.data_collection.simulation.exchange import Exchange
from alphaqcm.pipeline.domain.registry import Market
from tests.helpers.marketstore_server import Served, served
from tests.helpers.simulated_exchange import ask, exchange, plant, truth

pytestmark = pytest.mark.slow

SPEED = 60.0
PATIENCE = 60  # seconds until a message must have come


class Enough(Exception):
    """The listener has what it wanted."""


@contextlib.contextmanager
def heard(running: Served, *streams: str) -> Iterator[queue.Queue[dict[str, Any]]]:
    """What the callback of a real StreamConn gets, once it is subscribed."""
    found: queue.Queue[dict[str, Any]] = queue.Queue()
    over = threading.Event()
    stream = running.client().client.stream()

    @stream.on(r".*")
    def hear(_stream: Any, message: dict[str, Any]) -> None:
        if over.is_set():
            raise Enough
        found.put(message)

    def run() -> None:
        # TypeError: the client cannot read the close of the connection
        with contextlib.suppress(Enough, websocket.WebSocketException, OSError, TypeError):
            stream.run(list(streams))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()


@contextlib.contextmanager
def feeding(
    root: Path, server: Exchange, *streams: StreamType, market: Market = Market.UM
) -> Iterator[Served]:
    symbols = ("BTCUSDT", "ETHUSDT")
    listening = RealTime(enabled=True, streams=streams, update_freq=1.0)
    config = MarketstoreConfig(feeders=(FeederConfig(market, symbols, realtime=listening),))
    clock = ExchangeClock(speed=SPEED)
    with served(root, config, exchange=server.url, clock=clock) as running:
        yield running


def true_rows(server: Exchange, symbol: str, begin: int, end: int, interval: str = "1m") -> Any:
    """The exchange's candles that begin in [begin, end) seconds, as the bucket has them."""
    frame = truth(server, "um", symbol, begin * 1000, end * 1000, interval)
    return [
        (int(row[0].timestamp()), *row[1:])
        for row in frame.select(
            "candle_begin_time", "open", "high", "low", "close", "volume"
        ).iter_rows()
    ]


def test_a_closed_candle_reaches_the_callback_and_the_bucket(tmp_path: Path) -> None:
    with (
        exchange(speed=SPEED, kline_push="closes") as server,
        feeding(tmp_path, server, StreamType.KLINE) as running,
        heard(running, "*/1Min/OHLCV", "BTCUSDT/5m/OHLCV_EXT") as messages,
    ):
        seen: dict[str, list[dict[str, Any]]] = {}
        while len(seen.get("BTCUSDT/5Min/OHLCV_EXT", ())) < 2:
            message = messages.get(timeout=PATIENCE)
            seen.setdefault(message["key"], []).append(message["data"])
        assert set(seen) == {"BTCUSDT/1Min/OHLCV", "ETHUSDT/1Min/OHLCV", "BTCUSDT/5Min/OHLCV_EXT"}
        for key in ("BTCUSDT/1Min/OHLCV", "ETHUSDT/1Min/OHLCV"):
            told = [tuple(row.values()) for row in seen[key]]
            assert list(seen[key][0]) == ["Epoch", "Open", "High", "Low", "Close", "Volume"]
            symbol = key.partition("/")[0]
            assert told == true_rows(server, symbol, told[0][0], told[-1][0] + 60)
            params = pymkts.Params(symbol, "1Min", "OHLCV", start=told[0][0], end=told[-1][0])
            array = running.client().query(params).first().array
            assert [tuple(row) for row in array.tolist()] == told
        long = seen["BTCUSDT/5Min/OHLCV_EXT"][1]  # the first began before the feeder did
        whole = true_rows(server, "BTCUSDT", long["Epoch"], long["Epoch"] + 300, "5m")
        assert long["Minutes"] == 5
        # the exchange adds exact decimals, the fold doubles from left to right
        assert tuple(long.values())[:6] == pytest.approx(whole[0], rel=1e-12)


def test_trades_reach_the_callback_and_the_bucket_whole(tmp_path: Path) -> None:
    words = {"trades_per_minute": 30}
    with (
        exchange(speed=SPEED, **words) as server,
        feeding(tmp_path, server, StreamType.TRADE) as running,
        heard(running, "BTCUSDT/1Min/TRADE") as messages,
    ):
        rows = [messages.get(timeout=PATIENCE)["data"] for _ in range(60)]
        assert list(rows[0]) == ["Epoch", "Price", "Size", "Exchange", "Tape", "Nanoseconds"]
        assert {(row["Exchange"], row["Tape"]) for row in rows} == {("BINANCE", "UM")}

        names = tuple(rows[0])

        def in_ms(row: Mapping[str, Any]) -> tuple[int, float, float]:
            time_ms = row["Epoch"] * 1000 + row["Nanoseconds"] // 1_000_000
            return time_ms, row["Price"], row["Size"]

        told = [in_ms(row) for row in rows]
        true = [
            (one["T"], float(one["p"]), float(one["q"]))
            for one in ask(
                server, "/__truth__/aggTrades", market="um", symbol="BTCUSDT",
                startTime=told[0][0], endTime=told[-1][0],
            )
        ]  # fmt: skip
        at = true.index(told[0])
        assert told == true[at : at + 60]
        array = running.client().query(pymkts.Params("BTCUSDT", "1Min", "TRADE")).first().array
        assert array.dtype.names == names
        kept = [in_ms(dict(zip(names, row, strict=True))) for row in array.tolist()]
        first = kept.index(told[0])
        assert kept[first : first + 60] == told
        assert "BTCUSDT/1Min/TRADE" in running.client().list_symbols(pymkts.ListSymbolsFormat.TBK)
    # what was in memory was written as it stopped, and is there without a feeder
    with served(tmp_path) as running:
        again = running.client().query(pymkts.Params("BTCUSDT", "1Min", "TRADE")).first().array
        assert np.array_equal(again[: array.size], array)
        last = running.client().query(pymkts.Params("BTCUSDT", "1Min", "TRADE", limit=3)).first()
        assert np.array_equal(last.array, again[-3:])


@pytest.mark.parametrize("market", [Market.UM, Market.SPOT])
def test_books_reach_the_callback_and_the_bucket(tmp_path: Path, market: Market) -> None:
    with (
        exchange(speed=SPEED) as server,
        feeding(tmp_path, server, StreamType.DEPTH, market=market) as running,
        heard(running, "*/*/DEPTH") as messages,
    ):
        seen: dict[str, dict[str, Any]] = {}
        while len(seen) < 2:
            message = messages.get(timeout=PATIENCE)
            seen[message["key"]] = message["data"]
        assert set(seen) == {"BTCUSDT/1Min/DEPTH", "ETHUSDT/1Min/DEPTH"}
        for key, book in seen.items():
            bids = [book[f"BidPrice{n}"] for n in range(1, 6)]
            asks = [book[f"AskPrice{n}"] for n in range(1, 6)]
            assert bids == sorted(bids, reverse=True)
            assert asks == sorted(asks)
            assert bids[0] < asks[0]
            array = running.client().query(pymkts.Params(*key.split("/"))).first().array
            assert array.dtype.names == tuple(book)
            assert array.size >= 1


def test_a_minute_that_never_came_is_asked_of_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_time, "SETTLE_EVERY", 1e9)  # it is not found by looking at all
    with exchange(speed=SPEED, kline_push="closes") as server:
        plant(server, "missing-minute", symbol="BTCUSDT", start="+120", seconds=60)
        with (
            feeding(tmp_path, server, StreamType.KLINE) as running,
            heard(running, "BTCUSDT/1Min/OHLCV") as messages,
        ):
            told = [messages.get(timeout=PATIENCE)["data"]["Epoch"]]
            while told[-1] - told[0] < 60 * (len(told) - 1) + 60:
                told.append(messages.get(timeout=PATIENCE)["data"]["Epoch"])
            missing = told[-1] - 60
            assert missing not in told
            store = tmp_path / "candles" / "usdt_futures_1m" / "BTCUSDT.parquet"
            for _ in range(60):
                if store.exists():
                    break
                messages.get(timeout=PATIENCE)
            params = pymkts.Params("BTCUSDT", "1Min", "OHLCV", start=told[0], end=told[-1])
            array = running.client().query(params).first().array
            expected = true_rows(server, "BTCUSDT", told[0], told[-1] + 60)
            assert [tuple(row) for row in array.tolist()] == expected


@pytest.mark.parametrize(
    "message",
    [b"\xc1", msgpack.dumps({"streams": "x"}), msgpack.dumps({"streams": []}),
     msgpack.dumps({"streams": ["BTCUSDT"]}), msgpack.dumps({"streams": ["../1Min/X"]}), "text"],
)  # fmt: skip
def test_a_wrong_subscription_ends_that_connection_only(endpoint: Served, message: Any) -> None:
    address = endpoint.url.replace("http", "ws") + "/ws"
    good = websocket.create_connection(address, timeout=60)
    right = msgpack.dumps({"streams": ["BTCUSDT/1Min/OHLCV"]})
    good.send_binary(right)
    assert good.recv() == right  # the echo
    bad = websocket.create_connection(address, timeout=60)
    bad.send(message) if isinstance(message, str) else bad.send_binary(message)
    code, told = bad.recv_data()
    assert code == websocket.ABNF.OPCODE_CLOSE
    assert int.from_bytes(told[:2], "big") == 1003
    assert b"expected" in told
    endpoint.call(endpoint.service.hub.publish, "BTCUSDT/1Min/OHLCV", {"Epoch": 60})
    assert msgpack.loads(good.recv()) == {"key": "BTCUSDT/1Min/OHLCV", "data": {"Epoch": 60}}
    good.close()


def test_a_client_that_does_not_keep_up_is_let_go_and_others_stay(endpoint: Served) -> None:
    address = endpoint.url.replace("http", "ws") + "/ws"
    sockets = []
    for stream in ("SLOW/1Min/OHLCV", "OTHER/1Min/OHLCV"):
        sockets.append(websocket.create_connection(address, timeout=60))
        sockets[-1].send_binary(msgpack.dumps({"streams": [stream]}))
        sockets[-1].recv()

    def burst() -> None:
        for number in range(25_000):  # at once: more bytes than are kept waiting for a client
            endpoint.service.hub.publish("SLOW/1Min/OHLCV", {"Epoch": number, "Pad": "x" * 1000})
        endpoint.service.hub.publish("OTHER/1Min/OHLCV", {"Epoch": 1})

    endpoint.call(burst)
    slow, other = sockets
    assert msgpack.loads(other.recv())["data"] == {"Epoch": 1}
    received = 0
    with contextlib.suppress(websocket.WebSocketException, OSError):
        while slow.recv():
            received += 1
    assert received < 25_000
    other.close()


@pytest.mark.parametrize("size", [0, 50, 60, 61, 62, 63, 64, 65, 70, 200, 65_400, 65_500, 70_000])
def test_messages_of_any_length_are_framed_right(endpoint: Served, size: int) -> None:
    """Lengths around 126 bytes and 64 KiB, where a frame's head changes its form."""
    socket = websocket.create_connection(endpoint.url.replace("http", "ws") + "/ws", timeout=60)
    socket.send_binary(msgpack.dumps({"streams": ["LONG/1Min/OHLCV"]}))
    socket.recv()
    for length in range(size, size + 10):
        data = {"Pad": "x" * length}
        endpoint.call(endpoint.service.hub.publish, "LONG/1Min/OHLCV", data)
        assert msgpack.loads(socket.recv())["data"] == data
    socket.close()
