"""The protocol itself: bodies byte for byte, error codes, hostile bodies, who may speak."""

from __future__ import annotations

import http.client
import random
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pymarketstore as pymkts
import pytest

from alphaqcm import __version__
from alphaqcm.data_collection.marketstore.endpoint.guard import Guard
from tests.conftest import SOAK
from tests.helpers.marketstore_server import Served, served

MSGPACK = {"Content-Type": "application/x-msgpack"}


def post(
    endpoint: Served, body: bytes, headers: dict[str, str] | None = None, path: str = "/rpc"
) -> tuple[int, bytes]:
    """The status and body of an answer."""
    connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=60)
    try:
        connection.request("POST", path, body, MSGPACK if headers is None else headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def call(endpoint: Served, method: str, **params: Any) -> dict[str, Any]:
    body = {"method": method, "id": "1", "jsonrpc": "2.0", "params": params}
    status, answer = post(endpoint, msgpack.dumps(body))
    assert status == 200
    return dict(msgpack.loads(answer))


# the very bytes that pymarketstore 0.22 sends
QUERY = (
    b"\x84\xa6method\xb1DataService.Query\xa2id\xa11\xa7jsonrpc\xa32.0\xa6params\x81\xa8requests"
    b"\x91\x84\xabdestination\xb0BTCUSDT/1D/OHLCV\xabepoch_start\xcee\x92\x00\x80\xa9epoch_end"
    b"\xcee\x93R\x00\xb2limit_record_count\x02"
)
LIST = (
    b"\x84\xa6method\xb7DataService.ListSymbols\xa2id\xa11\xa7jsonrpc\xa32.0\xa6params\x81"
    b"\xa6format\xa6symbol"
)
WRITE = (
    b"\x84\xa6method\xb1DataService.Write\xa2id\xa11\xa7jsonrpc\xa32.0\xa6params\x81\xa8requests"
    b"\x91\x82\xa7dataset\x86\xa5types\x92\xa2i8\xa2f4\xa5names\x92\xa5Epoch\xa3Ask\xa4data\x92"
    b"\xc4\x08\x00\xf1Se\x00\x00\x00\x00\xc4\x04\x00\x00\x20A\xa6length\x01\xaastartindex\x81"
    b"\xaeGOLD/1Min/Tick\x00\xa7lengths\x81\xaeGOLD/1Min/Tick\x01\xb2is_variable_length\xc2"
)
CREATE = (
    b"\x84\xa6method\xb2DataService.Create\xa2id\xa11\xa7jsonrpc\xa32.0\xa6params\x81\xa8requests"
    b"\x91\x84\xa3key\xd9)MADE/1D/X:Symbol/Timeframe/AttributeGroup\xaccolumn_names\x92\xa5Epoch"
    b"\xa1A\xaccolumn_types\x92\xa2i8\xa3U16\xa8row_type\xa5fixed"
)
DESTROY = (
    b"\x84\xa6method\xb3DataService.Destroy\xa2id\xa11\xa7jsonrpc\xa32.0\xa6params\x81\xa8requests"
    b"\x91\x81\xa3key\xa9MADE/1D/X"
)


class Recording(pymkts.jsonrpc_client.MsgpackRpcClient):
    """The real client, whose bodies are kept."""

    bodies: list[bytes]

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self.bodies = []
        send = self._session.post

        def kept(url: str, data: bytes, headers: dict[str, str]) -> Any:
            self.bodies.append(data)
            return send(url, data=data, headers=headers)

        self._session.post = kept  # type: ignore[method-assign,assignment]


def test_the_real_client_sends_the_golden_bodies(tmp_path: Path) -> None:
    with served(tmp_path) as running:
        client = running.client()
        recording = client.client.rpc = Recording(running.rpc)
        client.list_symbols()
        rows = np.array([(1_700_000_000, 10.0)], dtype=[("Epoch", "i8"), ("Ask", "f4")])
        client.write(rows, "GOLD/1Min/Tick")
        client.create("MADE/1D/X", [("Epoch", "i8"), ("A", "U16")])
        client.destroy("MADE/1D/X")
        with pytest.raises(Exception, match="no files returned"):
            client.query(
                pymkts.Params("BTCUSDT", "1D", "OHLCV", "2024-01-01", "2024-01-02", limit=2)
            )
        assert recording.bodies == [LIST, WRITE, CREATE, DESTROY, QUERY]


def test_a_golden_query_is_answered_byte_for_byte(tmp_path: Path) -> None:
    ask = QUERY.replace(b"\xb0BTCUSDT/1D/OHLCV", b"\xaeGOLD/1Min/Tick")
    ask = ask.replace(b"\xcee\x92\x00\x80", b"\x00")
    with served(tmp_path) as running:
        status, answer = post(running, WRITE)
        result = b"\xa6result\x81\xa9responses\xc0"
        assert (status, answer) == (200, b"\x83\xa7jsonrpc\xa32.0\xa2id\xa11" + result)
        status, answer = post(running, ask)
    version = __version__.encode()
    key = b"\xd9.GOLD/1Min/Tick:Symbol/Timeframe/AttributeGroup"
    assert status == 200
    assert answer == (
        b"\x83\xa7jsonrpc\xa32.0\xa2id\xa11\xa6result\x83\xa9responses\x91\x81\xa6result\x86"
        b"\xa5types\x92\xa2i8\xa2f4\xa5names\x92\xa5Epoch\xa3Ask\xa4data\x92"
        b"\xc4\x08\x00\xf1Se\x00\x00\x00\x00\xc4\x04\x00\x00\x20A\xa6length\x01"
        b"\xaastartindex\x81" + key + b"\x00\xa7lengths\x81" + key + b"\x01"
        b"\xa7version" + bytes([0xA0 + len(version)]) + version + b"\xa8timezone\xa3UTC"
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"\xc1", -32700),
        (b"\x84\xa6meth", -32700),
        (b"not msgpack", -32700),
        (msgpack.dumps([1, 2]), -32600),
        (msgpack.dumps({"id": "1"}), -32600),
        (msgpack.dumps({"method": 7, "id": "1"}), -32600),
        (msgpack.dumps({"method": "DataService.Query", "id": "1", "jsonrpc": "1.0"}), -32600),
        (msgpack.dumps({"method": "DataService.Nope", "id": "1"}), -32601),
        (msgpack.dumps({"method": "os.system", "id": "1", "params": {}}), -32601),
        (msgpack.dumps({"method": "DataService.Query", "id": "1"}), -32602),
        (msgpack.dumps({"method": "DataService.Query", "params": {"requests": 5}}), -32602),
        (msgpack.dumps({"method": "DataService.ListSymbols", "params": {"format": "x"}}), -32602),
        (b"\x82\xa6method\xb1DataService.Query\xa6params" + b"\x91" * 100_000 + b"\xc0", -32700),
        (b"\x82\xa6method\xb1DataService.Query\xa6params\xdd\xff\xff\xff\xff", -32700),
    ],
)
def test_broken_requests_have_the_codes_of_the_protocol(
    endpoint: Served, body: bytes, code: int
) -> None:
    status, answer = post(endpoint, body)
    assert status == 200
    error = msgpack.loads(answer)["error"]
    assert error["code"] == code, error
    assert error["message"]


def test_a_query_that_cannot_be_answered_has_the_servers_code(endpoint: Served) -> None:
    reply = call(endpoint, "DataService.Query", requests=[{"destination": "NO/1Min/OHLCV"}])
    assert reply["error"]["code"] == -32000
    assert reply["id"] == "1"
    assert "result" not in reply


def test_info_tells_columns_and_last_year(endpoint: Served) -> None:
    keys = [{"key": "BTCUSDT/1h/OHLCV"}, {"key": "NO/1Min/OHLCV"}]
    known, unknown = call(endpoint, "DataService.GetInfo", requests=keys)["result"]["responses"]
    assert known["latest_year"] == 2024
    assert known["timeframe"] == "1H"
    assert [one["name"] for one in known["dsv"]] == [
        "Epoch", "Open", "High", "Low", "Close", "Volume"
    ]  # fmt: skip
    assert known["server_resp"]["error"] == ""
    assert "no files returned" in unknown["server_resp"]["error"]


def test_a_reply_has_a_limit(month: Path) -> None:
    from alphaqcm.data_collection.marketstore.query import Bounds

    with served(month, bounds=Bounds(rows=50_000)) as running:
        client = running.client()
        assert client.query(pymkts.Params("ETHUSDT", "1Min", "OHLCV")).first().array.size == 44_640
        with pytest.raises(Exception, match="too many rows: a reply has at most 50,000"):
            client.query(pymkts.Params("*", "1Min", "OHLCV"))
        assert client.query(pymkts.Params("*", "1Min", "OHLCV", limit=9)).first().array.size == 9


def test_a_body_too_large_is_refused_and_the_server_lives_on(endpoint: Served) -> None:
    status, answer = post(endpoint, b"\0" * ((64 << 20) + 1))
    assert status == 200
    assert msgpack.loads(answer)["error"]["message"] == "body too large"
    assert call(endpoint, "DataService.ListSymbols")["result"]["Results"]


def test_another_content_type_is_refused(endpoint: Served) -> None:
    """A web page may send text to another origin without asking, but not msgpack."""
    assert post(endpoint, LIST, {"Content-Type": "text/plain"})[0] == 415


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:5993"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "["}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:5993", "Origin": "http://localhost:5993"}, 200),
        ({"Host": "localhost:5993", "Origin": "http://localhost:8888"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/rpc", "/ws"])
def test_a_foreign_host_or_origin_is_refused(
    endpoint: Served, headers: dict[str, str], status: int, path: str
) -> None:
    connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=60)
    if path == "/rpc":
        connection.request("POST", path, LIST, {**MSGPACK, **headers})
        expected = status
    else:
        upgrade = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }  # fmt: skip
        connection.request("GET", path, headers={**upgrade, **headers})
        expected = 101 if status == 200 else status
    assert connection.getresponse().status == expected
    connection.close()


def test_beyond_loopback_addresses_are_own_and_names_must_be_told() -> None:
    guard = Guard("0.0.0.0", ("data.example",))
    assert guard.refusal("192.168.1.5:5993", None) == ""
    assert guard.refusal("data.example:5993", None) == ""
    assert guard.refusal("evil.example", None)
    assert Guard("127.0.0.1").refusal("192.168.1.5:5993", None)


def test_the_heartbeat_tells_that_it_lives(endpoint: Served) -> None:
    connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=60)
    connection.request("GET", "/heartbeat")
    answer = connection.getresponse()
    assert answer.status == 200
    assert b'"status": "queryable"' in answer.read()


SEEDS = (QUERY, LIST, WRITE, CREATE, DESTROY)
WORDS: tuple[Any, ...] = (
    None, True, -1, 2**63, 2**64 - 1, -(2**63), 1.5, float("nan"), float("inf"), "", "..", "*",
    "BTCUSDT", "BTCUSDT/1Min/OHLCV", "*/*/*", "../../etc/passwd", "A/B/C", "GOLD/1Min/Tick", "\0",
    "x" * 5000, b"", b"\xff" * 9, [], {}, [[]], {"a": {}}, "i8", "U16", "Epoch", "f4", 0, 1, 7,
)  # fmt: skip
KEYS = (
    "requests", "destination", "epoch_start", "epoch_end", "epoch_start_nanos", "columns", "key",
    "functions", "limit_record_count", "limit_from_start", "dataset", "types", "names", "data",
    "length", "startindex", "lengths", "format", "column_names", "column_types", "row_type",
    "key_category", "is_sqlstatement", "is_variable_length",
)  # fmt: skip


def hostile(chance: random.Random) -> bytes:
    """A body: a golden one with wrong bytes or values, or anything at all."""
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    body = bytearray(chance.choice(SEEDS))
    if kind == 1:
        for _ in range(chance.randrange(1, 6)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        return bytes(body[: chance.randrange(len(body))] if chance.random() < 0.2 else body)
    told = msgpack.loads(bytes(body))
    for _ in range(chance.randrange(1, 4)):
        _spoil(told, chance)
    return bytes(msgpack.dumps(told))


def _spoil(told: Any, chance: random.Random) -> None:
    """Replace, add or take away something, somewhere inside."""
    while True:
        if isinstance(told, dict) and told:
            key = chance.choice(list(told))
        elif isinstance(told, list) and told:
            key = chance.randrange(len(told))
        else:
            return
        inner = told[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.8:
            told = inner
            continue
        chosen = chance.random()
        if chosen < 0.7:
            told[key] = chance.choice(WORDS)
        elif chosen < 0.85 and isinstance(told, dict):
            told[chance.choice(KEYS)] = chance.choice(WORDS)
        else:
            del told[key]
        return


@pytest.mark.slow
@pytest.mark.parametrize(
    "cases", [5_000, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
def test_hostile_bodies_get_replies_of_the_protocol(
    month: Path, tmp_path: Path, cases: int
) -> None:
    if cases > 5_000 and not SOAK:
        pytest.skip("a storm: make soak")
    chance = random.Random(20_240_229)
    (tmp_path / "binance_klines_1m_parquet").symlink_to(month / "binance_klines_1m_parquet")
    with served(tmp_path) as running:
        connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=60)
        for number in range(cases):
            body = hostile(chance)
            connection.request("POST", "/rpc", body, MSGPACK)
            answer = connection.getresponse()
            reply = answer.read()
            assert answer.status == 200, (number, body)
            told = msgpack.loads(reply)
            assert ("error" in told) != ("result" in told), (number, body)
            assert told.get("error", {}).get("code") != -32603, (number, body, told)
        frame = running.client().query(pymkts.Params("BTCUSDT", "1D", "OHLCV")).first()
        assert frame.array.size == 29
    user = tmp_path / "marketstore" / "user"
    assert not [p for p in user.rglob("*") if user.resolve() not in p.resolve().parents]
