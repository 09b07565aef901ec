"""A tape: an archive tree's own trades, candles and derivatives, played as the exchange would."""

from __future__ import annotations

import asyncio
import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from alphaqcm.data_collection.errors import SourceError, UsageError
from alphaqcm.data_collection.simulation.exchange import Exchange, ExchangeSpec
from alphaqcm.data_collection.simulation.sample import (
    Delisted,
    Outage,
    SampleSpec,
    write_sample,
)
from alphaqcm.pipeline.domain.registry import Market
from tests.data_collection.simulation.exchange.conftest import Client
from tests.data_collection.simulation.exchange.frames import listen

HOUR = 3_600_000
DAYS = (date(2024, 2, 27), date(2024, 2, 28), date(2024, 2, 29))
GONE = datetime(2024, 2, 28, 6, tzinfo=UTC)
QUIET = datetime(2024, 2, 29, 3, tzinfo=UTC), datetime(2024, 2, 29, 5, tzinfo=UTC)
SYMBOLS = {"um": "BTCUSDT", "spot": "BTCUSDT", "cm": "BTCUSD_PERP"}
FOLDERS = {"um": "futures/um", "spot": "spot", "cm": "futures/cm"}


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tape")
    for market in Market:
        names = (SYMBOLS[market.value],) + (("SOLUSDT",) if market is Market.UM else ())
        traps = (Outage(*QUIET),) + (
            (Delisted("SOLUSDT", GONE, bars_go_on=False),) if len(names) > 1 else ()
        )
        write_sample(
            root,
            SampleSpec(names, days=3, market=market, trades_per_day=6000, traps=traps),
        )
    return root


@pytest.fixture(scope="module")
def client(tree: Path) -> Iterator[Client]:
    """The tape's last day is over."""
    start = ms(datetime(2024, 3, 1, tzinfo=UTC))
    spec = ExchangeSpec(tape=tree, start_ms=start, speed=0.001)
    with Exchange(spec) as exchange, requests.Session() as session:
        yield Client(exchange, session)


def rows_of(tree: Path, market: str, kind: str, symbol: str, interval: str) -> list[list[str]]:
    rows: list[list[str]] = []
    for day in DAYS:
        name = f"{symbol}-{interval or kind}-{day}.zip"
        path = tree / "data" / FOLDERS[market] / "daily" / kind / symbol / interval / name
        if path.exists():
            with zipfile.ZipFile(path) as held:
                text = held.read(held.namelist()[0]).decode()
            rows += [row for row in csv.reader(io.StringIO(text)) if row[0][:1].isdigit()]
    return rows


@pytest.mark.parametrize("market", SYMBOLS)
@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_its_own_candles_are_those_of_the_archive(
    client: Client, tree: Path, market: str, interval: str
) -> None:
    symbol = SYMBOLS[market]
    archive = rows_of(tree, market, "klines", symbol, interval)
    ours = client.json("/__truth__/klines", market=market, symbol=symbol, interval=interval)
    # before the first trade the archive has flat rows, the exchange has nothing yet
    first = ours[0][0] if interval == "1m" else ours[1][0]
    archive = [row for row in archive if int(row[0]) >= first]
    ours = [row for row in ours if row[0] >= first]
    assert [row[0] for row in ours] == [int(row[0]) for row in archive]
    for row, there in zip(ours, archive, strict=True):
        assert [Decimal(cell) for cell in [*row[1:6], *row[7:11]]] == [
            Decimal(cell) for cell in [*there[1:6], *there[7:11]]
        ]


def test_its_trades_are_those_of_the_archive(client: Client, tree: Path) -> None:
    archive = rows_of(tree, "um", "aggTrades", "BTCUSDT", "")
    ours = client.json("/__truth__/aggTrades", market="um", symbol="BTCUSDT")
    assert [[row["a"], row["f"], row["l"], row["T"]] for row in ours] == [
        [int(row[0]), *map(int, row[3:6])] for row in archive
    ]
    assert [[Decimal(row["p"]), Decimal(row["q"]), row["m"]] for row in ours] == [
        [Decimal(row[1]), Decimal(row[2]), row[6] == "true"] for row in archive
    ]


def test_an_outage_is_absent(client: Client) -> None:
    start, end = map(ms, QUIET)
    rows = client.json(
        "/fapi/v1/klines",
        symbol="BTCUSDT", interval="1m", startTime=start - 60_000, endTime=end,
    )  # fmt: skip
    assert [row[0] for row in rows] == [start - 60_000, end]


def test_a_delisted_symbol_ends_and_is_told_to(client: Client) -> None:
    info = client.json("/fapi/v1/exchangeInfo")["symbols"]
    assert {row["symbol"]: row["status"] for row in info} == {
        "BTCUSDT": "TRADING",
        "SOLUSDT": "SETTLING",
    }
    rows = client.json("/fapi/v1/klines", symbol="SOLUSDT", interval="1h", limit=1)
    assert rows[0][0] == ms(GONE) - HOUR


def test_nothing_comes_after_its_end(client: Client) -> None:
    client.advance(3600)
    rows = client.json("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1)
    assert rows[0][6] == ms(datetime(2024, 3, 1, tzinfo=UTC)) - 1


def test_funding_and_metrics_are_the_files(client: Client, tree: Path) -> None:
    rows = client.json("/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=ms(GONE))
    path = next((tree / "data/futures/um/monthly/fundingRate/BTCUSDT").glob("*.zip"))
    with zipfile.ZipFile(path) as held:
        text = held.read(held.namelist()[0]).decode().splitlines()[1:]
    rates = {int(row[0]): Decimal(row[2]) for row in csv.reader(text)}
    assert rows
    assert {row["fundingTime"]: Decimal(row["fundingRate"]) for row in rows} == {
        time: rate for time, rate in rates.items() if time >= ms(GONE)
    }
    metrics = rows_of(tree, "um", "metrics", "BTCUSDT", "")
    last = client.json(
        "/futures/data/openInterestHist", symbol="BTCUSDT", period="5m",
        endTime=ms(datetime(2024, 3, 1, tzinfo=UTC)), limit=1,
    )[0]  # fmt: skip
    assert Decimal(last["sumOpenInterest"]) == Decimal(metrics[-1][2])


def test_mark_price_candles_are_the_files(client: Client, tree: Path) -> None:
    archive = rows_of(tree, "um", "markPriceKlines", "BTCUSDT", "1m")[-500:]
    rows = client.json(
        "/fapi/v1/markPriceKlines",
        symbol="BTCUSDT", interval="1m", startTime=archive[0][0], limit=500,
    )  # fmt: skip
    assert [[row[0], *map(Decimal, row[1:5])] for row in rows] == [
        [int(row[0]), *map(Decimal, row[1:5])] for row in archive
    ]


def test_its_candles_stream_as_they_close(tree: Path) -> None:
    start = ms(datetime(2024, 2, 29, 12, 0, 30, tzinfo=UTC))
    spec = ExchangeSpec(tape=tree, start_ms=start, speed=0.001)
    with Exchange(spec) as exchange, requests.Session() as session:
        client = Client(exchange, session)
        path = "/um-ws/market/ws/btcusdt@kline_5m"
        frames: list[Any] = asyncio.run(listen(client, path, 1200, 30))
        closes = [frame["k"] for frame in frames if frame["k"]["x"]]
        truth = client.json(
            "/__truth__/klines", symbol="BTCUSDT", interval="5m", startTime=start - 30_000
        )
    assert [[candle[name] for name in "tohlcvTqnVQB"] for candle in closes] == truth
    assert len(truth) == 4


def test_minutes_without_trades_give_candles_over_rest(tmp_path: Path) -> None:
    write_sample(tmp_path, SampleSpec(("ETHUSDT",), days=2, minutes_only=True))
    start = ms(datetime(2024, 3, 1, tzinfo=UTC))
    spec = ExchangeSpec(tape=tmp_path, start_ms=start)
    with Exchange(spec) as exchange, requests.Session() as session:
        rows = Client(exchange, session).json(
            "/fapi/v1/klines", symbol="ETHUSDT", interval="1h", limit=48
        )
    archive = [
        row for row in rows_of(tmp_path, "um", "klines", "ETHUSDT", "1m") if int(row[0]) % HOUR == 0
    ]
    assert [row[0] for row in rows] == [int(row[0]) for row in archive]
    assert [Decimal(row[1]) for row in rows] == [Decimal(row[1]) for row in archive]


def test_a_folder_that_is_no_tape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="archive tree"):
        Exchange(ExchangeSpec(tape=tmp_path))
    with pytest.raises(UsageError, match="directory"):
        Exchange(ExchangeSpec(tape=tmp_path / "nowhere"))


def test_a_broken_file_is_an_answer_of_the_exchange_and_not_its_end(tmp_path: Path) -> None:
    write_sample(tmp_path, SampleSpec(("ETHUSDT",), days=1, trades_per_day=500))
    spec = ExchangeSpec(tape=tmp_path, start_ms=ms(datetime(2024, 2, 29, 23, tzinfo=UTC)))
    with Exchange(spec) as exchange, requests.Session() as session:
        for path in tmp_path.glob("data/futures/um/*/metrics/ETHUSDT/*.zip"):
            path.write_bytes(b"no zip")
        client = Client(exchange, session)
        broken = client.get("/fapi/v1/openInterest", symbol="ETHUSDT")
        assert (broken.status_code, broken.json()["code"]) == (500, -1000)
        assert client.get("/fapi/v1/klines", symbol="ETHUSDT", interval="1m").status_code == 200
