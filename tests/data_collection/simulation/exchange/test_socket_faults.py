"""Faults of streams."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.data_collection.simulation.exchange.conftest import START_MS, Client, Start
from tests.data_collection.simulation.exchange.frames import (
    Socket,
    conversation,
    drain,
    settled,
)

PATH = "/um-ws/market/ws/btcusdt@kline_1m"
TRADES = "/um-ws/market/ws/btcusdt@aggTrade"
FIRST = START_MS - 30_000


async def play(client: Client, socket: Socket, seconds: float, steps: int = 1) -> list[Any]:
    frames: list[Any] = []
    for _ in range(steps):
        client.advance(seconds / steps)
        await settled(client)
        frames += await drain(socket)
        if frames and isinstance(frames[-1], aiohttp.WSMessage):
            break
    return frames


def closes(frames: list[Any]) -> list[int]:
    return [(frame["k"]["t"] - FIRST) // 60_000 for frame in frames if frame["k"]["x"]]


def run(client: Client, path: str, fault: dict[str, object], seconds: float, steps: int) -> Any:
    async def talk(socket: Socket) -> list[Any]:
        await drain(socket)
        client.fault(**fault)
        return await play(client, socket, seconds, steps)

    return asyncio.run(conversation(client, path, talk))


@pytest.mark.parametrize("kind", ["ws-drop", "ws-reset"])
def test_a_connection_ends_without_a_close_frame(client: Client, kind: str) -> None:
    last = run(client, PATH, {"kind": kind}, 60, 4)[-1]
    assert last.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert client.json("/__stats__")["websocket"]["open"] == 0


def test_a_half_open_connection_gives_nothing_and_stays_up(client: Client) -> None:
    async def talk(socket: Socket) -> bool:
        await drain(socket)
        client.fault(kind="ws-half-open")
        client.advance(300)
        await settled(client)
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "params": [], "id": 1})
        with pytest.raises(asyncio.TimeoutError):
            await socket.receive(timeout=0.3)
        return not socket.closed

    assert asyncio.run(conversation(client, PATH, talk))


def test_a_stall_holds_frames_back_and_then_gives_them_all(client: Client) -> None:
    async def talk(socket: Socket) -> list[Any]:
        await drain(socket)
        client.fault(kind="ws-stall", seconds=150)
        client.advance(140)
        await settled(client)
        with pytest.raises(asyncio.TimeoutError):
            await socket.receive(timeout=0.3)
        client.advance(20)
        await settled(client)
        return await drain(socket)

    assert closes(asyncio.run(conversation(client, PATH, talk))) == [0, 1, 2]


def test_a_client_that_does_not_read_is_cut_off(start: Start) -> None:
    client = start(trades_per_minute=5000)  # what the kernel keeps is full before a pong is due

    async def talk(socket: Socket) -> None:
        client.fault(kind="ws-slow-consumer", value=1000)
        while not client.json("/__stats__")["websocket"]["cut_off"]:
            client.advance(60)
            await settled(client)

    paths = "/".join(f"{name}usdt@aggTrade" for name in ("btc", "eth", "bnb"))
    asyncio.run(conversation(client, f"/um-ws/market/stream?streams={paths}", talk))
    assert client.json("/__stats__")["websocket"]["cut_off"] == {"slow consumer": 1}


def test_a_shutdown_is_told_before_it_happens(client: Client) -> None:
    async def talk(socket: Socket) -> list[Any]:
        await drain(socket)
        client.fault(kind="ws-shutdown", seconds_after=30)
        told = await play(client, socket, 5)
        client.advance(30)
        while True:
            message = await socket.receive(timeout=20)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return told

    told = asyncio.run(conversation(client, "/spot-ws/ws", talk))
    assert [frame["e"] for frame in told] == ["serverShutdown"]


def test_an_acknowledged_subscription_stays_silent(client: Client) -> None:
    client.fault(kind="ack-no-data", market="um", stream="kline", count=1)

    async def talk(socket: Socket) -> list[Any]:
        names = ["btcusdt@kline_1m", "btcusdt@aggTrade"]
        await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        return await play(client, socket, 90) + await play(client, socket, 90)

    frames = asyncio.run(conversation(client, "/um-ws/market/ws", talk))
    assert frames[0] == {"result": None, "id": 1}
    assert {frame["e"] for frame in frames[1:]} == {"aggTrade"}


def test_a_late_close_comes_late_and_right(client: Client) -> None:
    fault = {"kind": "late-close", "symbol": "BTCUSDT", "count": 1, "seconds_after": 100}
    frames = run(client, PATH, fault, 240, 24)
    assert closes(frames) == [1, 0, 2, 3]
    late = next(frame for frame in frames if frame["k"]["x"] and frame["k"]["t"] == FIRST)
    (truth,) = client.json(
        "/__truth__/klines",
        market="um", symbol="BTCUSDT", interval="1m", startTime=FIRST, endTime=FIRST,
    )  # fmt: skip
    assert [late["k"][name] for name in "tohlcv"] == truth[:6]


def test_a_missing_close_does_not_come(client: Client) -> None:
    frames = run(client, PATH, {"kind": "missing-close", "count": 1}, 180, 12)
    assert closes(frames) == [1, 2]
    assert {frame["k"]["t"] for frame in frames} >= {FIRST, FIRST + 60_000}


def test_a_missing_minute_has_no_frame_and_rest_has_it(client: Client) -> None:
    fault = {"kind": "missing-minute", "start": FIRST + 60_000, "seconds": 60}
    frames = run(client, PATH, fault, 180, 12)
    assert closes(frames) == [0, 2]
    assert FIRST + 60_000 not in {frame["k"]["t"] for frame in frames}
    rows = client.json("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=FIRST)
    assert rows[1][0] == FIRST + 60_000


def test_a_hole_has_no_closing_frame(client: Client) -> None:
    fault = {"kind": "hole", "start": FIRST + 60_000, "seconds": 120}
    assert closes(run(client, PATH, fault, 300, 20)) == [0, 3, 4]


def test_frames_come_twice(client: Client) -> None:
    frames = run(client, TRADES, {"kind": "duplicate", "count": 3}, 300, 1)
    ids = [frame["a"] for frame in frames]
    assert len(ids) - len(set(ids)) == 3


def test_frames_change_places(client: Client) -> None:
    frames = run(client, TRADES, {"kind": "out-of-order", "share": 0.5}, 300, 1)
    ids = [frame["a"] for frame in frames]
    assert ids != sorted(ids)
    assert sorted(ids) == list(range(min(ids), max(ids) + 1))


def test_ids_are_left_out_of_the_stream_and_rest_has_them(client: Client) -> None:
    frames = run(client, TRADES, {"kind": "id-gap", "count": 4, "start": "+120"}, 300, 10)
    ids = {frame["a"] for frame in frames}
    missing = set(range(min(ids), max(ids) + 1)) - ids
    assert len(missing) == 4
    rows = client.json("/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=min(missing), limit=100)
    assert missing <= {row["a"] for row in rows}


def test_a_symbol_that_stops_trading_closes_its_last_candle(client: Client) -> None:
    fault = {"kind": "delist", "market": "um", "symbol": "BTCUSDT", "start": FIRST + 60_000}
    assert closes(run(client, PATH, fault, 300, 20)) == [0]


def test_what_carries_both_futures_markets_can_come_in_arrays(client: Client) -> None:
    fault = {"kind": "merged-arrays", "seconds_after": 3600}
    frames = run(client, "/um-ws/market/ws/!forceOrder@arr", fault, 9000, 25)
    assert len(frames) == 2
    for odd, *rows in frames:
        assert "o" not in odd
        assert {row["st"] for row in rows} == {1, 2}
        times = [row["E"] for row in rows]
        assert times == sorted(times)
