"""Symbols, funding, mark prices, open interest and the five metrics."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.data_collection.simulation.exchange.conftest import START_MS, Client

HOUR = 3_600_000
DAY = 24 * HOUR
METRICS = (
    "openInterestHist", "topLongShortAccountRatio", "topLongShortPositionRatio",
    "globalLongShortAccountRatio", "takerlongshortRatio",
)  # fmt: skip


def statuses(client: Client, path: str, word: str = "status") -> dict[str, str]:
    return {row["symbol"]: row[word] for row in client.json(path)["symbols"]}


def test_every_kind_of_symbol_that_needs_care_is_listed(client: Client) -> None:
    spot = statuses(client, "/api/v3/exchangeInfo")
    assert (spot["OLDUSDT"], spot["PAUSEDUSDT"], spot["NEWUSDT"]) == ("BREAK", "HALT", "TRADING")
    assert {"币安人生USDT", "BTCUSDC", "ETHBTC", "BTCUPUSDT"} <= set(spot)
    um = statuses(client, "/fapi/v1/exchangeInfo")
    assert (um["OLDUSDT"], um["SOONUSDT"]) == ("SETTLING", "PENDING_TRADING")
    kinds = {row["contractType"] for row in client.json("/fapi/v1/exchangeInfo")["symbols"]}
    assert kinds == {"PERPETUAL", "TRADIFI_PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER"}
    cm = statuses(client, "/dapi/v1/exchangeInfo", "contractStatus")
    assert {name.partition("_")[2] for name in cm} == {"PERP", "260626", "260925"}


def test_a_symbol_begins_to_trade_when_its_time_has_come(client: Client) -> None:
    client.advance(2 * 86_400)
    assert statuses(client, "/fapi/v1/exchangeInfo")["SOONUSDT"] == "TRADING"
    rows = client.json("/fapi/v1/klines", symbol="SOONUSDT", interval="1m")
    assert rows


def test_spot_can_be_asked_for_some_symbols(client: Client) -> None:
    info = client.json("/api/v3/exchangeInfo", symbols='["ETHUSDT","BTCUSDT"]')
    assert [row["symbol"] for row in info["symbols"]] == ["ETHUSDT", "BTCUSDT"]
    assert client.get("/api/v3/exchangeInfo", symbol="NOPE").json()["code"] == -1121


def test_funding_without_a_range_gives_the_newest_200(client: Client) -> None:
    rows = client.json("/fapi/v1/fundingRate", symbol="BTCUSDT")
    assert len(rows) == 200
    times = [row["fundingTime"] for row in rows]
    assert times == sorted(times)
    assert all(0 <= time % (8 * HOUR) <= 13 for time in times)
    assert START_MS - times[-1] < 8 * HOUR


def test_funding_of_a_range_is_paged_from_its_start(client: Client) -> None:
    start = START_MS - 400 * DAY
    first = client.json("/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=start, limit=1000)
    assert len(first) == 1000
    rest = client.json(
        "/fapi/v1/fundingRate",
        symbol="BTCUSDT", startTime=first[-1]["fundingTime"] + 1, limit=1000,
    )  # fmt: skip
    keys = [(row["fundingTime"], row["rateType"]) for row in first + rest]
    assert len(set(keys)) == len(keys) == 1200


def test_a_stock_perpetual_has_special_settlements_at_the_same_time(client: Client) -> None:
    rows = client.json("/fapi/v1/fundingRate", symbol="TSLAUSDT", limit=1000)
    special = {row["fundingTime"] for row in rows if row["rateType"] == "Special"}
    regular = {row["fundingTime"] for row in rows if row["rateType"] == "Regular"}
    assert special
    assert special <= regular


def test_premium_index_of_all_has_every_trading_symbol(client: Client) -> None:
    rows = client.json("/fapi/v1/premiumIndex")
    info = statuses(client, "/fapi/v1/exchangeInfo")
    assert {row["symbol"] for row in rows} == {s for s, word in info.items() if word == "TRADING"}
    one = client.json("/fapi/v1/premiumIndex", symbol="BTCUSDT")
    assert one["nextFundingTime"] > client.now


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_on_the_grid_of_the_last_30_days(client: Client, name: str) -> None:
    path = f"/futures/data/{name}"
    rows = client.json(path, symbol="BTCUSDT", period="15m", limit=500)
    steps = {b["timestamp"] - a["timestamp"] for a, b in pairwise(rows)}
    assert (len(rows), steps) == (500, {15 * 60_000})
    old = client.get(path, symbol="BTCUSDT", period="15m", startTime=START_MS - 31 * DAY)
    assert old.json()["code"] == -1130


def test_cm_metrics_are_asked_by_pair(client: Client) -> None:
    rows = client.json(
        "/futures/data/openInterestHist",
        pair="BTCUSD", contractType="PERPETUAL", period="5m", limit=2,
    )  # fmt: skip
    assert {row["pair"] for row in rows} == {"BTCUSD"}


def test_open_interest_now_is_that_of_the_symbol(client: Client) -> None:
    row = client.json("/fapi/v1/openInterest", symbol="ETHUSDT")
    assert row["symbol"] == "ETHUSDT"
    assert float(row["openInterest"]) > 0
