"""Candles written to a server: to another endpoint here, to a real one where there is one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pymarketstore as pymkts
import pytest

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.marketstore.bucket_key import BucketKey
from alphaqcm.data_collection.marketstore.buckets.candles import COLUMNS, OHLCV
from alphaqcm.data_collection.marketstore.config import (
    Backfill,
    FeederConfig,
    MarketstoreConfig,
    RealTime,
    Sink,
    StreamType,
    read_config,
)
from alphaqcm.data_collection.marketstore.faults import ServerRefused
from alphaqcm.data_collection.marketstore.writer import WRITABLE, ServerWriter
from tests.helpers.marketstore_server import Served, served
from tests.helpers.marketstore_tape import FIRST_MS, NOW_MS, exchange, published

PATIENCE = 100  # seconds until everything must be written
ROWS = {
    "Epoch": np.array([86_400, 172_800]),
    "Open": np.array([1.0, 2.0]),
    "High": np.array([3.0, 4.0]),
    "Low": np.array([0.5, 1.5]),
    "Close": np.array([2.0, 3.0]),
    "Volume": np.array([10.0, 20.0]),
}


@pytest.mark.slow
def test_history_and_what_closes_reach_the_server(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    speed = 60.0
    with exchange(speed=speed, kline_push="closes") as source, served(tmp_path / "b") as server:
        feeder = FeederConfig(
            symbols=("BTCUSDT",), sink=Sink.MARKETSTORE, server=server.rpc, timeframes=WRITABLE,
            backfill=Backfill(enabled=True, start_ms=FIRST_MS),
            realtime=RealTime(enabled=True, streams=(StreamType.KLINE,)),
        )  # fmt: skip
        with served(
            tmp_path / "a", MarketstoreConfig(feeders=(feeder,)), source=str(published()),
            exchange=source.url, clock=ExchangeClock(speed=speed),
        ) as own:  # fmt: skip
            until = NOW_MS // 1000 + 4 * 60  # four minutes after the feeder began
            give_up = time.monotonic() + PATIENCE
            while last_epoch(server) < until:
                assert time.monotonic() < give_up
                time.sleep(0.2)
            for timeframe in WRITABLE:
                params = pymkts.Params("BTCUSDT", timeframe, "OHLCV", end=until - 86_400)
                written = server.client().query(params).first().array
                assert written.size
                assert np.array_equal(written, own.client().query(params).first().array)


def last_epoch(server: Served) -> int:
    found = ServerWriter(server.rpc).last_epoch(BucketKey("BTCUSDT", "1Min", OHLCV))
    return found or 0


@pytest.mark.parametrize("timeframe", ["3Min", "4H", "1W", "2H"])
def test_timeframes_that_a_server_rewrites_are_refused_by_name(
    endpoint: Served, tmp_path: Path, timeframe: str
) -> None:
    writer = ServerWriter(endpoint.rpc)
    with pytest.raises(UsageError, match=f"timeframe {timeframe}; expected .* 1Min, 5Min, 15Min"):
        writer.write(BucketKey("X", timeframe, OHLCV), COLUMNS[OHLCV], ROWS)
    if timeframe == "2H":
        return
    text = (
        "bgworkers: [{config: {sink: marketstore, server: 'http://localhost:1/rpc', "
        f"timeframe: [1m, {timeframe}]}}}}]"
    )
    path = tmp_path / "mkts.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"timeframe {timeframe}"):
        read_config(path)


def test_an_error_inside_of_a_reply_is_raised(endpoint: Served) -> None:
    writer = ServerWriter(endpoint.rpc)
    with pytest.raises(ServerRefused, match="BTCUSDT/1D/OHLCV is read-only"):
        writer.write(BucketKey("BTCUSDT", "1D", OHLCV), COLUMNS[OHLCV], ROWS)


def test_a_server_that_is_not_there_is_told() -> None:
    writer = ServerWriter("http://127.0.0.1:1/rpc")
    for ask in (writer.version, lambda: writer.last_epoch(BucketKey("X", "1D", OHLCV))):
        with pytest.raises(
            ServerRefused, match=r"an answer of the server at http://127\.0\.0\.1:1"
        ):
            ask()


@pytest.mark.skipif(
    "MARKETSTORE_URL" not in os.environ,
    reason="MARKETSTORE_URL names no MarketStore server, such as http://localhost:5993/rpc",
)
@pytest.mark.parametrize("timeframe", WRITABLE)
def test_a_real_server_gives_back_what_was_written(timeframe: str) -> None:
    url = os.environ["MARKETSTORE_URL"]
    key = BucketKey("ALPHAQCMTEST", timeframe, OHLCV)
    writer, client = ServerWriter(url), pymkts.Client(url)
    try:
        assert writer.write(key, COLUMNS[OHLCV], ROWS) == 2
        params = pymkts.Params(key.symbol, timeframe, OHLCV)
        assert client.query(params).first().array["Close"].tolist() == [2.0, 3.0]
        assert writer.last_epoch(key) == 172_800
    finally:
        client.destroy(f"{key}")
