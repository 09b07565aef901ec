"""Limits of connections: messages, streams, pings, their length of life, connects."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.data_collection.simulation.exchange.conftest import Client
from tests.data_collection.simulation.exchange.frames import (
    Socket,
    conversation,
    drain,
    settled,
)

BASES = {"spot": "/spot-ws/ws", "um": "/um-ws/market/ws", "cm": "/cm-ws/ws"}


async def end_of(socket: Socket) -> int | None:
    """The code with which the exchange closes the connection."""
    while True:
        message = await socket.receive(timeout=20)
        if message.type is aiohttp.WSMsgType.CLOSE:
            return int(message.data)
        if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            return None


@pytest.mark.parametrize(("market", "limit"), [("spot", 5), ("um", 10), ("cm", 10)])
def test_more_messages_in_a_second_than_allowed_end_the_connection(
    client: Client, market: str, limit: int
) -> None:
    async def talk(socket: Socket) -> list[Any]:
        answers = []
        for number in range(limit):
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "params": [], "id": number})
            answers.append((await socket.receive_json(timeout=20))["id"])
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "params": [], "id": limit})
        return [answers, await end_of(socket)]

    assert asyncio.run(conversation(client, BASES[market], talk)) == [list(range(limit)), 1008]


def test_as_many_messages_as_allowed_each_second_go_on(client: Client) -> None:
    async def talk(socket: Socket) -> int:
        for second in range(3):
            for number in range(5):
                await socket.send_json(
                    {"method": "LIST_SUBSCRIPTIONS", "params": [], "id": second * 5 + number}
                )
                await socket.receive_json(timeout=20)
            client.advance(1.01)
        return 15

    assert asyncio.run(conversation(client, "/spot-ws/ws", talk)) == 15


@pytest.mark.parametrize(("market", "limit"), [("spot", 1024), ("um", 200)])
def test_more_streams_than_allowed_end_the_connection(
    client: Client, market: str, limit: int
) -> None:
    async def talk(socket: Socket) -> list[Any]:
        names = [f"coin{number}usdt@kline_1m" for number in range(limit)]
        await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        answer = await socket.receive_json(timeout=20)
        await socket.send_json({"method": "SUBSCRIBE", "params": ["more@aggTrade"], "id": 2})
        return [answer, await end_of(socket)]

    answer, code = asyncio.run(conversation(client, BASES[market], talk))
    assert (answer, code) == ({"result": None, "id": 1}, 1008)


async def until_ping(client: Client, socket: Socket, seconds: float) -> bytes:
    client.advance(seconds)
    while True:
        message = await socket.receive(timeout=20)
        if message.type is aiohttp.WSMsgType.PING:
            return bytes(message.data)


@pytest.mark.parametrize(
    ("market", "ping", "pong"), [("spot", 20, 60), ("um", 180, 600), ("cm", 180, 600)]
)
def test_who_answers_no_ping_is_cut_off(
    client: Client, market: str, ping: float, pong: float
) -> None:
    async def talk(socket: Socket) -> int | None:
        assert await until_ping(client, socket, ping + 0.1)
        client.advance(pong + 1)
        return await end_of(socket)

    code = asyncio.run(conversation(client, BASES[market], talk, autoping=False))
    assert code == 1008


@pytest.mark.parametrize("right", [True, False])
def test_only_a_pong_with_the_same_payload_counts(client: Client, right: bool) -> None:
    async def talk(socket: Socket) -> bool:
        payload = await until_ping(client, socket, 20.1)
        await socket.pong(payload if right else b"something else")
        await drain(socket)
        client.advance(61)
        while True:
            message = await socket.receive(timeout=20)
            if message.type is aiohttp.WSMsgType.PING:
                return True
            if message.type is aiohttp.WSMsgType.CLOSE:
                return False

    alive = asyncio.run(conversation(client, "/spot-ws/ws", talk, autoping=False))
    assert alive is right


def test_a_clients_ping_is_answered_with_its_payload(client: Client) -> None:
    async def talk(socket: Socket) -> bytes:
        await socket.ping(b"hello")
        message = await socket.receive(timeout=20)
        assert message.type is aiohttp.WSMsgType.PONG
        return bytes(message.data)

    assert asyncio.run(conversation(client, "/um-ws/market/ws", talk, autoping=False)) == b"hello"


def test_a_connection_ends_after_24_hours(client: Client) -> None:
    async def talk(socket: Socket) -> int | None:
        await drain(socket)
        client.advance(86_390)
        await settled(client)
        assert await drain(socket) == []
        client.advance(11)
        return await end_of(socket)

    assert asyncio.run(conversation(client, "/um-ws/market/ws", talk)) == 1000
    stats = client.json("/__stats__")["websocket"]
    assert stats["cut_off"] == {"24 hours": 1}


def test_the_301st_connect_in_five_minutes_is_refused(client: Client) -> None:
    async def connect(times: int) -> int:
        async with aiohttp.ClientSession() as session:
            for _ in range(times):
                try:
                    async with session.ws_connect(client.url + "/spot-ws/ws"):
                        pass
                except aiohttp.WSServerHandshakeError as error:
                    return error.status
        return 200

    assert asyncio.run(connect(300)) == 200
    assert asyncio.run(connect(1)) == 429
    client.advance(301)
    assert asyncio.run(connect(1)) == 200
