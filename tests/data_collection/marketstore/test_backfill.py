"""History comes in from archive and exchange, whatever ends the feeder in between."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pymarketstore as pymkts
import pytest

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.marketstore.config import Backfill, FeederConfig, MarketstoreConfig
from alphaqcm.data_collection.simulation.exchange import Exchange
from alphaqcm.pipeline.domain.registry import Market
from tests.conftest import PROJECT
from tests.helpers.marketstore_server import served
from tests.helpers.marketstore_tape import (
    FIRST,
    NOW_MS,
    SYMBOLS,
    exchange,
    published,
    true_minutes,
)
from tests.helpers.simulated_exchange import START_MS, environment, stats, truth
from tests.helpers.simulated_exchange import exchange as generated

pytestmark = pytest.mark.process

PARALLEL = 2
CONFIG = """
listen_port: 0
bgworkers:
  - module: binancefeederv2.so
    config:
      api_key: ""
      symbols: [BTCUSDT, ETHUSDT]
      timeframe: 1Min
      backfill: {{enabled: true, start_time: "{first}", batch_size: {batch}, parallelism: 2}}
      realtime: {{enabled: false}}
"""


@contextlib.contextmanager
def started(
    server: Exchange, folder: Path, batch: int = 500, source: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The command, once it has told its address."""
    path = folder / "mkts.yml"
    path.write_text(CONFIG.format(first=FIRST, batch=batch))
    command = [sys.executable, "-m", "alphaqcm", "marketstore", "start", "--config", str(path)]
    words = ["--data-root", str(folder / "root"), "--exchange", server.url]
    process = subprocess.Popen(
        [*command, *words, "--source", str(source or published())],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT,
        env=environment(server.url),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def rpc_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().split()[0]


def wait_done(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    for line in process.stdout:
        if "event=done part=backfill" in line:
            return
    pytest.fail("the backfill did not end: " + process.communicate()[1])


def assert_equals_truth(server: Exchange, rpc: str) -> None:
    end_ms = NOW_MS  # what is final since then came by chance of the clock
    for symbol in SYMBOLS:
        params = pymkts.Params(symbol, "1Min", "OHLCV_EXT", end=end_ms // 1000 - 1)
        array = pymkts.Client(rpc).query(params).first().array
        told = true_minutes(server, symbol, end_ms)
        expected = [
            (row[0].timestamp(), *row[1:]) for row in told.select(
                "candle_begin_time", "open", "high", "low", "close", "volume", "quote_volume",
                "trade_num", "taker_buy_base_asset_volume", "taker_buy_quote_asset_volume",
                pl.lit(1),
            ).iter_rows()
        ]  # fmt: skip
        assert len(expected) > 50 * 60  # of 50.5 hours; the tape knows no price before its first
        array = array[array["Epoch"] >= expected[0][0]]
        assert [tuple(row) for row in array.tolist()] == expected


def kline_pages(server: Exchange) -> dict[str, int]:
    """How often each page of candles was answered."""
    return {page: n for page, n in stats(server)["pages"].items() if "klines" in page}


def test_archive_first_then_rest_equals_the_truth(tmp_path: Path) -> None:
    with exchange() as server, started(server, tmp_path) as process:
        rpc = rpc_of(process)
        wait_done(process)
        assert_equals_truth(server, rpc)
        months = tmp_path / "root" / "binance_klines_1m_parquet"
        assert {path.name for path in months.iterdir()} == set(SYMBOLS)
        rest = pl.read_parquet(tmp_path / "root/candles/usdt_futures_1m/BTCUSDT.parquet")
        assert rest["candle_begin_time"].min().day == 28  # the archive has the day before


@pytest.mark.slow
@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.soak)])
def test_a_backfill_killed_again_and_again_is_finished_by_the_next(
    tmp_path: Path, kills: int
) -> None:
    with exchange() as server:
        for number in range(kills):
            with started(server, tmp_path, batch=12) as process:
                rpc_of(process)
                time.sleep(0.1 + 0.6 * number / kills)
                process.kill()
        before = len(kline_pages(server))
        with started(server, tmp_path, batch=12) as process:
            rpc = rpc_of(process)
            wait_done(process)
            assert_equals_truth(server, rpc)
        pages = kline_pages(server)
        assert kills < before < len(pages)  # they were killed at work, and had not finished
        # no page is asked for again but those that a kill cut off before they were kept
        assert sum(pages.values()) - len(pages) <= kills * PARALLEL


@pytest.mark.parametrize("market", [Market.SPOT, Market.CM])
def test_other_markets_are_backfilled_too(tmp_path: Path, market: Market) -> None:
    """All of it over REST, from an archive that has nothing; names have no prefix."""
    for name in ("spot", "futures"):
        (tmp_path / "archive" / "data" / name).mkdir(parents=True)
    symbol = "BTCUSDT" if market is Market.SPOT else "BTCUSD_PERP"
    span = (START_MS // 60_000 * 60_000 - 3 * 3_600_000, START_MS // 60_000 * 60_000)
    backfill = Backfill(enabled=True, start_ms=span[0], end_ms=span[1])
    feeder = FeederConfig(market, (symbol,), backfill=backfill)
    with generated(speed=60.0) as server, served(
        tmp_path / "root", MarketstoreConfig(feeders=(feeder,)), exchange=server.url,
        source=str(tmp_path / "archive"), clock=ExchangeClock(speed=60.0),
    ) as running:  # fmt: skip
        params = pymkts.Params(symbol, "1Min", "OHLCV")
        for _ in range(900):
            with contextlib.suppress(Exception):  # not there yet
                if len(array := running.client().query(params).first().array) == 180:
                    break
            time.sleep(0.1)
        told = truth(server, market.value, symbol, *span, "1m")
        assert array["Close"].tolist() == told["close"].to_list()
        assert array["Volume"].tolist() == told["volume"].to_list()
        assert [t * 1000 for t in array["Epoch"].tolist()] == list(range(*span, 60_000))


def test_a_source_that_is_no_archive_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with exchange() as server, started(server, tmp_path, source=tmp_path / "elsewhere") as process:
        _, told = process.communicate(timeout=100)
    assert process.returncode == 2
    (line,) = told.splitlines()
    assert "expected a directory that holds the archive's own tree" in line
