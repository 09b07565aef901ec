"""Opens WebSockets: paths, routes and limits, and the commands that clients send."""

from __future__ import annotations

from collections import defaultdict, deque
from urllib.parse import unquote

import orjson
from aiohttp import WSMsgType, web

from alphaqcm.data_collection.simulation.exchange.sockets.keepalive import POLICY, WireCare
from alphaqcm.data_collection.simulation.exchange.sockets.streams import (
    CONNECTS,
    CONNECTS_MS,
    SOCKETS,
    Route,
)
from alphaqcm.data_collection.simulation.exchange.sockets.topics import Hub
from alphaqcm.data_collection.simulation.exchange.sockets.wire import Wire, frame
from alphaqcm.data_collection.simulation.exchange.state import ExchangeState
from alphaqcm.data_collection.simulation.exchange.tape.listing import Market

BASES = {"spot-ws": Market.SPOT, "um-ws": Market.UM, "cm-ws": Market.CM}
_PONG = 0x8A


class SocketDoor:
    """Accepts connections below the three bases."""

    def __init__(self, state: ExchangeState, hub: Hub) -> None:
        self._state, self._hub = state, hub
        self._care = WireCare(state, hub)
        self._connects: dict[str, deque[float]] = defaultdict(deque)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one connection until it ends."""
        parts = [unquote(part) for part in request.raw_path.partition("?")[0].split("/")[1:]]
        market, parts = BASES[parts[0]], parts[1:]
        route = Route.NONE
        if market is not Market.SPOT and parts and parts[0] in tuple(Route):
            route, parts = Route(parts[0]), parts[1:]
        if not parts or parts[0] not in ("ws", "stream"):
            return web.Response(status=404)
        combined = parts[0] == "stream"
        names = request.query.get("streams", "").split("/") if combined else parts[1:]
        now_ms = self._state.clock.now_ms()
        if not self._may_connect(request.remote or "", now_ms):
            return web.Response(status=429, headers={"Retry-After": str(CONNECTS_MS // 1000)})
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=2**18)
        if not socket.can_prepare(request):
            return web.Response(status=400, text="a WebSocket is expected")
        await socket.prepare(request)
        if request.transport is None:
            return socket
        micro = request.query.get("timeUnit", "").upper() == "MICROSECOND"
        wire = Wire(
            socket=socket,
            transport=request.transport,
            market=market,
            route=route,
            combined=combined,
            unit=1000 if micro and market is Market.SPOT else 1,
            opened_ms=now_ms,
            pinged_ms=now_ms,
        )
        self._hub.add(wire)
        try:
            await self._converse(wire, [name for name in names if name])
        finally:
            self._hub.remove(wire)
            if wire.closing is not None:
                await wire.closing
        return socket

    def _may_connect(self, address: str, now_ms: int) -> bool:
        times = self._connects[address]
        while times and times[0] <= now_ms - CONNECTS_MS:
            times.popleft()
        times.append(now_ms)
        return len(times) <= CONNECTS

    async def _converse(self, wire: Wire, names: list[str]) -> None:
        if not self._subscribe(wire, names):
            return
        async for message in wire.socket:
            if wire.half_open:
                continue
            if not self._within_rate(wire):
                self._care.close(wire, "too many messages", POLICY)
                break
            if message.type is WSMsgType.PING:
                self._send(wire, frame(message.data, _PONG))
            elif message.type is WSMsgType.PONG:
                if bytes(message.data) == wire.ping_payload:
                    wire.pong_due_ms = None
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._command(wire, message.data)

    def _within_rate(self, wire: Wire) -> bool:
        now = self._state.clock.now()
        wire.messages.append(now)
        while wire.messages[0] <= now - 1000:
            wire.messages.popleft()
        return len(wire.messages) <= SOCKETS[wire.market].messages_a_second

    def _subscribe(self, wire: Wire, names: list[str]) -> bool:
        """Subscribe; a connection with too many streams is ended."""
        if len(set(wire.streams) | set(names)) > SOCKETS[wire.market].streams:
            self._care.close(wire, "too many streams", POLICY)
            return False
        for name in names:
            self._hub.subscribe(wire, name)
        return True

    def _command(self, wire: Wire, text: str | bytes) -> None:
        try:
            words = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            self._refuse(wire, None, 3, f"Invalid JSON: {error}")
            return
        if not isinstance(words, dict):
            self._refuse(wire, None, 2, "Invalid request: request must be an object")
            return
        number = words.get("id")
        method, params = words.get("method"), words.get("params", [])
        if not isinstance(params, list) or (
            method in ("SUBSCRIBE", "UNSUBSCRIBE")
            and not all(isinstance(name, str) for name in params)
        ):
            self._refuse(wire, number, 2, "Invalid request: params must be an array of strings")
            return
        result: object = None
        match method:
            case "SUBSCRIBE":
                if not self._subscribe(wire, params):
                    return
                self._state.stats.acknowledged += 1
            case "UNSUBSCRIBE":
                for name in params:
                    self._hub.unsubscribe(wire, name)
            case "LIST_SUBSCRIPTIONS":
                result = list(wire.streams)
            case "SET_PROPERTY" if params[:1] == ["combined"]:
                wire.combined = params[1:] == [True]
            case "GET_PROPERTY" if params[:1] == ["combined"]:
                result = wire.combined
            case _:
                self._refuse(wire, number, 2, f"Invalid request: unknown method {method!r}")
                return
        self._send(wire, frame(orjson.dumps({"result": result, "id": number})))

    def _refuse(self, wire: Wire, number: object, code: int, text: str) -> None:
        answer = {"error": {"code": code, "msg": text}, "id": number}
        self._send(wire, frame(orjson.dumps(answer)))

    def _send(self, wire: Wire, encoded: bytes) -> None:
        wire.waiting.append(encoded)
        wire.flush(self._state.stats, self._state.clock.now())
