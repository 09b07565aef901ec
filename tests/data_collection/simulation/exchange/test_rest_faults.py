"""Faults of REST answers, and the table that names every fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.exchange import FAULTS, FaultKind, Scenario
from tests.data_collection.simulation.exchange.conftest import START_MS, Client, Start

KLINES = {"symbol": "BTCUSDT", "interval": "5m", "limit": 3}


def test_every_fault_says_what_it_does_and_what_must_hold() -> None:
    assert set(FAULTS) == set(FaultKind)
    for fact in FAULTS.values():
        assert fact.does
        assert "equals the truth" in fact.holds or "stops" in fact.holds


def test_a_storm_of_429_ends_after_its_count(client: Client) -> None:
    client.fault(kind="storm-429", count=3, seconds_after=7)
    answers = [client.get("/fapi/v1/klines", **KLINES) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 429, 429, 200]
    assert answers[0].headers["Retry-After"] == "7"


def test_a_fault_ends_with_its_time(client: Client) -> None:
    client.fault(kind="server-error", status=502, seconds=60, start="+10")
    statuses = []
    for _ in range(3):
        statuses.append(client.get("/api/v3/ping").status_code)
        client.advance(35)
    assert statuses == [200, 502, 200]


@pytest.mark.parametrize(
    ("words", "path", "struck"),
    [
        ({"market": "um"}, "/fapi/v1/klines", True),
        ({"market": "spot"}, "/fapi/v1/klines", False),
        ({"symbol": "BTCUSDT"}, "/fapi/v1/klines", True),
        ({"symbol": "ETHUSDT"}, "/fapi/v1/klines", False),
        ({"path": "klines"}, "/fapi/v1/klines", True),
        ({"path": "aggTrades"}, "/fapi/v1/klines", False),
    ],
)
def test_a_fault_strikes_only_where_it_is_planted(
    client: Client, words: dict[str, str], path: str, struck: bool
) -> None:
    client.fault(kind="server-error", **words)
    assert (client.get(path, **KLINES).status_code == 503) is struck


@pytest.mark.parametrize(
    ("kind", "status"), [("ban-418", 418), ("firewall-403", 403), ("region-451", 451)]
)
def test_refusals_have_their_status(client: Client, kind: str, status: int) -> None:
    client.fault(kind=kind)
    assert client.get("/fapi/v1/ping").status_code == status


def test_a_planted_ban_ends_when_it_says(client: Client) -> None:
    client.fault(kind="ban-418", seconds_after=90)
    banned = client.get("/fapi/v1/ping")
    until = int(re.search(r"until (\d+)", banned.json()["msg"])[1])  # type: ignore[index]
    assert until - client.now == pytest.approx(90_000, abs=1000)
    assert client.get("/api/v3/ping").status_code == 418
    client.advance(91)
    assert client.get("/api/v3/ping").status_code == 200


def test_cut_json_is_no_json_and_says_its_true_length(client: Client) -> None:
    whole = client.get("/fapi/v1/klines", **KLINES).content
    client.fault(kind="cut-json", count=1)
    cut = client.get("/fapi/v1/klines", **KLINES)
    assert cut.status_code == 200
    assert whole.startswith(cut.content)
    assert len(cut.content) == int(cut.headers["Content-Length"]) < len(whole)
    assert client.get("/fapi/v1/klines", **KLINES).content == whole


@pytest.mark.parametrize("kind", ["drop", "reset"])
def test_a_lost_connection_gives_no_answer_and_the_next_one_does(client: Client, kind: str) -> None:
    client.fault(kind=kind, count=1)
    with pytest.raises(requests.RequestException):
        requests.get(client.url + "/fapi/v1/klines", params=KLINES, timeout=20)
    assert client.get("/fapi/v1/klines", **KLINES).status_code == 200


def test_a_stalled_answer_comes_late(start: Start) -> None:
    client = start(speed=1)
    client.fault(kind="stall", count=1, seconds_after=60)
    with pytest.raises(requests.Timeout):
        client.session.get(client.url + "/fapi/v1/ping", timeout=0.3)
    assert client.get("/fapi/v1/ping").status_code == 200


def test_a_closed_candle_is_wrong_for_five_seconds_over_rest_only(client: Client) -> None:
    client.fault(kind="wrong-last", market="um")
    client.advance(31)
    asked = {"symbol": "BTCUSDT", "interval": "1m", "startTime": START_MS - 30_000, "limit": 1}
    wrong = client.json("/fapi/v1/klines", **asked)[0]
    truth = client.json("/__truth__/klines", market="um", **asked)[0]
    assert wrong[5] != truth[5]
    assert wrong[:5] == truth[:5]
    client.advance(5)
    assert client.json("/fapi/v1/klines", **asked)[0] == truth


def test_a_delisted_symbol_ends_and_its_answers_say_so(client: Client) -> None:
    client.fault(kind="delist", market="um", symbol="ETHUSDT", start="+120", value=-1122)
    asked = {"symbol": "ETHUSDT", "interval": "1m", "limit": 1}
    assert client.get("/fapi/v1/klines", **asked).status_code == 200
    client.advance(600)
    assert client.get("/fapi/v1/klines", **asked).json()["code"] == -1122
    info = client.json("/fapi/v1/exchangeInfo")["symbols"]
    assert [r["status"] for r in info if r["symbol"] == "ETHUSDT"] == ["SETTLING"]
    truth = client.json(
        "/__truth__/klines", market="um", symbol="ETHUSDT", interval="1m", startTime=START_MS
    )
    assert truth[-1][0] == START_MS + 90_000


def test_a_new_symbol_begins_at_its_moment(client: Client) -> None:
    client.fault(kind="new-listing", market="spot", symbol="FRESHUSDT", start="+30")
    asked = {"symbol": "FRESHUSDT", "interval": "1m"}
    assert client.get("/api/v3/klines", **asked).json()["code"] == -1122
    client.advance(155)
    rows = client.json("/api/v3/klines", **asked)
    assert [row[0] for row in rows] == [START_MS + 30_000 + k * 60_000 for k in range(3)]


def test_a_halted_symbol_has_no_candles_and_says_its_status(client: Client) -> None:
    client.fault(kind="halt", market="spot", symbol="BTCUSDT", start="+30", seconds=120)
    client.advance(60)
    info = client.json("/api/v3/exchangeInfo", symbol="BTCUSDT")
    assert info["symbols"][0]["status"] == "HALT"
    client.advance(180)
    rows = client.json(
        "/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=START_MS - 30_000
    )
    assert [row[0] - START_MS for row in rows] == [-30_000, 150_000, 210_000]


def test_a_wrong_clock_is_wrong_against_the_clients_own(client: Client) -> None:
    client.fault(kind="clock-skew", value=-4000)
    server = client.json("/fapi/v1/time")["serverTime"]
    assert client.json("/__clock__")["now"] - server == pytest.approx(4000, abs=50)


def test_planted_faults_are_told_with_their_strikes_and_taken_back(client: Client) -> None:
    client.fault(kind="storm-429", count=2)
    client.get("/fapi/v1/ping")
    told = client.json("/__fault__")
    assert (told["seed"], told["faults"][0]["struck"]) == (0, 1)
    client.session.delete(client.url + "/__fault__", timeout=20)
    assert client.get("/fapi/v1/ping").status_code == 200


@pytest.mark.parametrize(
    "words",
    [{"kind": "rain"}, {"kind": "drop", "color": 1}, {"kind": "drop", "market": "moon"},
     {"kind": "drop", "count": "many"}, {"kind": "drop", "start": "soon"}],
)  # fmt: skip
def test_a_fault_that_does_not_exist_is_refused(client: Client, words: dict[str, object]) -> None:
    answer = client.session.post(client.url + "/__fault__", json=words, timeout=20)
    assert answer.status_code == 400
    assert "expected" in answer.json()["error"]


def test_a_scenario_plants_its_faults_with_its_seed(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "storm.yml"
    path.write_text("seed: 11\nfaults:\n- {kind: server-error, share: 0.5, path: ping}\n")
    runs = []
    for _ in range(2):
        client = start(scenario=Scenario.load(path))
        runs.append([client.get("/fapi/v1/ping").status_code for _ in range(40)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}
    assert client.json("/__fault__")["seed"] == 11


@pytest.mark.parametrize(
    "text", ["- a", "seed: x", "faults: {a: 1}", "faults: [{kind: rain}]", ":"]
)
def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yml"
    path.write_text(text)
    with pytest.raises(UsageError):
        Scenario.load(path)
