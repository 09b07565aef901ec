"""`aggTrades` and the book: by time, by id, the newest, and how far back."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from tests.data_collection.simulation.exchange.conftest import START_MS, Client

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("path", "symbol"),
    [
        ("/api/v3/aggTrades", "BTCUSDT"),
        ("/fapi/v1/aggTrades", "BTCUSDT"),
        ("/dapi/v1/aggTrades", "BTCUSD_PERP"),
    ],
)
def test_ids_and_the_trades_behind_them_are_without_gap(
    client: Client, path: str, symbol: str
) -> None:
    rows = client.json(path, symbol=symbol, limit=1000)
    assert len(rows) == 1000
    assert [row["a"] for row in rows] == list(range(rows[0]["a"], rows[0]["a"] + 1000))
    for before, after in pairwise(rows):
        assert after["f"] == before["l"] + 1
        assert after["T"] >= before["T"]
    assert rows[-1]["T"] < client.now


def test_an_id_gives_the_trades_from_it_on(client: Client) -> None:
    newest = client.json("/fapi/v1/aggTrades", symbol="ETHUSDT", limit=100)
    again = client.json("/fapi/v1/aggTrades", symbol="ETHUSDT", fromId=newest[40]["a"], limit=1000)
    assert again == newest[40:]


def test_a_time_gives_its_trades_oldest_first(client: Client) -> None:
    start = START_MS - 5 * HOUR
    rows = client.json(
        "/fapi/v1/aggTrades", symbol="BTCUSDT", startTime=start, endTime=start + HOUR - 1, limit=20
    )
    assert len(rows) == 20
    assert start <= rows[0]["T"] < start + HOUR
    whole = client.json(
        "/fapi/v1/aggTrades",
        symbol="BTCUSDT", startTime=start, endTime=start + HOUR - 1, limit=1000,
    )  # fmt: skip
    assert whole[:20] == rows


@pytest.mark.parametrize(
    ("path", "symbol", "hours"),
    [("/fapi/v1/aggTrades", "BTCUSDT", 48), ("/dapi/v1/aggTrades", "BTCUSD_PERP", 24)],
)
def test_futures_give_the_last_hours_only(
    client: Client, path: str, symbol: str, hours: int
) -> None:
    oldest = client.now - hours * HOUR
    assert client.json(path, symbol=symbol, startTime=oldest + 1000)
    refused = client.get(path, symbol=symbol, startTime=oldest - 1000)
    assert (refused.status_code, refused.json()["code"]) == (400, -4166)


def test_futures_refuse_an_hour_or_more_at_once_and_spot_does_not(client: Client) -> None:
    start = START_MS - 5 * HOUR
    asked = {"symbol": "BTCUSDT", "startTime": start, "endTime": start + HOUR}
    refused = client.get("/fapi/v1/aggTrades", **asked)
    assert (refused.status_code, refused.json()["code"]) == (400, -1127)
    assert client.json("/api/v3/aggTrades", **asked)


def test_an_id_and_a_time_do_not_go_together(client: Client) -> None:
    refused = client.get("/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=1, startTime=START_MS)
    assert refused.json()["code"] == -1128


def test_the_book_stands_around_the_last_price(client: Client) -> None:
    book = client.json("/fapi/v1/depth", symbol="BTCUSDT", limit=20)
    last = Decimal(client.json("/fapi/v1/aggTrades", symbol="BTCUSDT", limit=1)[0]["p"])
    bids, asks = ([Decimal(price) for price, _ in book[side]] for side in ("bids", "asks"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < last < asks[0]
    assert len(bids) == len(asks) == 20
