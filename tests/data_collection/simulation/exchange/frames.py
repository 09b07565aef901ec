"""Listens to WebSockets of the simulated exchange while its clock is moved."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from tests.data_collection.simulation.exchange.conftest import Client

Socket = aiohttp.ClientWebSocketResponse


async def settled(client: Client) -> None:
    """Wait until the exchange has played everything up to its clock."""
    pump = client.exchange.pump
    moment = client.now
    while pump.played_ms < moment:
        await asyncio.sleep(0.01)


async def drain(socket: Socket) -> list[Any]:
    """The frames that are there now: everything before the answer to a last command."""
    with contextlib.suppress(ConnectionResetError):
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "params": [], "id": 987654})
    frames = []
    while True:
        message = await socket.receive(timeout=20)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return [*frames, message]
        frame = json.loads(message.data)
        if isinstance(frame, dict) and frame.get("id") == 987654:
            return frames
        frames.append(frame)


async def listen(client: Client, path: str, advance: float, steps: int = 1) -> list[Any]:
    """The frames of a connection while the clock moves on by `advance` seconds in some steps."""
    async with aiohttp.ClientSession() as session, session.ws_connect(client.url + path) as socket:
        await drain(socket)
        frames = []
        for _ in range(steps):
            client.advance(advance / steps)
            await settled(client)
            frames += await drain(socket)
        return frames


async def conversation(
    client: Client, path: str, talk: Callable[[Socket], Awaitable[Any]], **words: Any
) -> Any:
    """What `talk` returns of an open connection."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(client.url + path, **words) as socket,
    ):
        return await talk(socket)
