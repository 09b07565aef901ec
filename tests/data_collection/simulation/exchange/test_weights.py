"""Weights: what requests cost, fixed windows, shared pools, 429 and the ban of who ignores it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data_collection.simulation.exchange.conftest import Client, Start

USED = "X-MBX-USED-WEIGHT-1M"


def used(client: Client, path: str, **params: object) -> int:
    return int(client.get(path, **params).headers[USED])


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("/api/v3/time", {}, 1),
        ("/api/v3/exchangeInfo", {}, 20),
        ("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1000}, 2),
        ("/api/v3/aggTrades", {"symbol": "BTCUSDT"}, 4),
        ("/fapi/v1/exchangeInfo", {}, 1),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 99}, 1),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 100}, 2),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 499}, 2),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m"}, 5),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1000}, 5),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1001}, 10),
        ("/fapi/v1/aggTrades", {"symbol": "BTCUSDT"}, 20),
        ("/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"}, 1),
        ("/fapi/v1/premiumIndex", {}, 10),
        ("/fapi/v1/fundingRate", {"symbol": "BTCUSDT"}, 0),
        ("/fapi/v1/openInterest", {"symbol": "BTCUSDT"}, 1),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 50}, 2),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 1000}, 20),
        ("/dapi/v1/premiumIndex", {}, 10),
        ("/dapi/v1/fundingRate", {"symbol": "BTCUSD_PERP"}, 1),
        ("/dapi/v1/aggTrades", {"symbol": "BTCUSD_PERP"}, 20),
    ],
)
def test_a_request_costs_its_weight(
    client: Client, path: str, params: dict[str, Any], weight: int
) -> None:
    base = "/".join(path.split("/")[:3])
    before = used(client, f"{base}/ping")
    assert used(client, path, **params) - before == weight


def test_um_and_cm_share_one_counter_and_spot_has_its_own(client: Client) -> None:
    assert used(client, "/fapi/v1/ping") == 1
    assert used(client, "/dapi/v1/ping") == 2
    assert used(client, "/api/v3/ping") == 1


def test_the_window_is_the_clock_minute_of_the_exchange(client: Client) -> None:
    assert used(client, "/fapi/v1/aggTrades", symbol="BTCUSDT") == 20
    client.advance(29)
    assert used(client, "/fapi/v1/ping") == 21
    client.advance(1.2)
    assert used(client, "/fapi/v1/ping") == 1


def spend(client: Client, requests: int) -> list[int]:
    return [
        client.get("/fapi/v1/aggTrades", symbol="BTCUSDT", limit=1).status_code
        for _ in range(requests)
    ]


def test_beyond_the_limit_come_429_and_the_seconds_to_the_next_minute(client: Client) -> None:
    assert spend(client, 120) == [200] * 120
    refused = client.get("/fapi/v1/ping")
    assert refused.status_code == 429
    assert refused.json()["code"] == -1003
    wait = int(refused.headers["Retry-After"])
    assert wait == 30
    assert client.get("/api/v3/ping").status_code == 200
    client.advance(wait)
    assert client.get("/fapi/v1/ping").status_code == 200


def test_who_ignores_429_is_banned_everywhere_until_the_ban_ends(client: Client) -> None:
    spend(client, 120)
    answers = [client.get("/fapi/v1/ping") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [429] * 5 + [418] * 2
    banned = answers[-1]
    assert "banned until" in banned.json()["msg"]
    assert client.get("/api/v3/ping").status_code == 418
    assert int(banned.headers["Retry-After"]) == 120
    client.advance(121)
    assert client.get("/fapi/v1/ping").status_code == 200


def test_the_second_ban_is_longer(client: Client) -> None:
    waits = []
    for _ in range(2):
        spend(client, 120)
        answers = [client.get("/fapi/v1/ping") for _ in range(6)]
        waits.append(int(answers[-1].headers["Retry-After"]))
        client.advance(waits[-1] + 60)
    assert waits == [120, 240]


def test_funding_has_a_pool_of_requests_in_five_minutes(client: Client) -> None:
    asked = [client.get("/fapi/v1/fundingInfo").status_code for _ in range(499)]
    assert set(asked) == {200}
    assert client.get("/fapi/v1/fundingRate", symbol="BTCUSDT", limit=1).status_code == 200
    assert client.get("/fapi/v1/fundingRate", symbol="BTCUSDT", limit=1).status_code == 429
    assert client.get("/fapi/v1/ping").status_code == 200
    client.advance(300)
    assert client.get("/fapi/v1/fundingInfo").status_code == 200


@pytest.mark.slow
def test_metrics_have_a_pool_of_their_own_and_no_weight(client: Client) -> None:
    asked = {"symbol": "BTCUSDT", "period": "5m", "limit": 1}
    statuses = {
        client.get("/futures/data/openInterestHist", **asked).status_code for _ in range(1000)
    }
    assert statuses == {200}
    assert client.get("/futures/data/takerlongshortRatio", **asked).status_code == 429
    assert used(client, "/fapi/v1/ping") == 1


def test_exchange_info_tells_the_limits_that_are_kept(client: Client) -> None:
    limits = {
        base: [
            row["limit"]
            for row in client.json(f"{base}/exchangeInfo")["rateLimits"]
            if row["rateLimitType"] == "REQUEST_WEIGHT"
        ]
        for base in ("/api/v3", "/fapi/v1", "/dapi/v1")
    }
    assert limits == {"/api/v3": [6000], "/fapi/v1": [2400], "/dapi/v1": [2400]}


def test_statistics_tell_windows_pages_and_refusals(start: Start) -> None:
    client = start(patience=1000)
    spend(client, 121)
    for _ in range(2):
        client.get("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=3)
    stats = client.json("/__stats__", pages=1)
    windows = {row["pool"]: row["used"] for row in stats["windows"]}
    assert windows["futures"] == 121 * 20
    assert windows["spot"] == 4
    assert stats["refused"] == 1
    key = "/api/v3/klines?interval=1m&limit=3&symbol=BTCUSDT"
    assert stats["pages"][key] == 2
    assert stats["repeated_pages"][key] == 2
