"""Answers REST requests: faults first, then the weight, then the endpoint's own answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping

import orjson
from aiohttp import web

from alphaqcm.data_collection.errors import CollectionError
from alphaqcm.data_collection.simulation.exchange.facts import (
    POOLS,
    WEIGHT_POOL,
    ApiError,
    Endpoint,
    Pool,
    endpoint_of,
)
from alphaqcm.data_collection.simulation.exchange.fault_plan import Fault
from alphaqcm.data_collection.simulation.exchange.faults import FaultKind
from alphaqcm.data_collection.simulation.exchange.rest import (
    candles,
    derivatives,
    info,
    trading,
)
from alphaqcm.data_collection.simulation.exchange.rest.request import Ask
from alphaqcm.data_collection.simulation.exchange.state import ExchangeState
from alphaqcm.data_collection.simulation.exchange.stats import page_key
from alphaqcm.data_collection.simulation.exchange.tape.listing import Market
from alphaqcm.data_collection.simulation.exchange.weights import Verdict

_HANDLERS: Mapping[str, Callable[[Ask], bytes]] = {
    "ping": info.ping,
    "time": info.time,
    "exchange_info": info.exchange_info,
    "klines": candles.klines,
    "continuous_klines": candles.continuous_klines,
    "index_klines": candles.index_klines,
    "mark_klines": candles.mark_klines,
    "premium_klines": candles.premium_klines,
    "agg_trades": trading.agg_trades,
    "depth": trading.depth,
    "funding_rate": derivatives.funding_rate,
    "funding_info": derivatives.funding_info,
    "premium_index": derivatives.premium_index,
    "open_interest": derivatives.open_interest,
    "open_interest_history": derivatives.open_interest_history,
    "long_short_ratio": derivatives.long_short_ratio,
    "taker_ratio": derivatives.taker_ratio,
    "taker_volume": derivatives.taker_volume,
}
_JSON = "application/json"


class RestDesk:
    """The REST side of one exchange."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        params = dict(request.query)
        endpoint = endpoint_of(request.path, params)
        if endpoint is None:
            return _error(404, -1, f"No such path: {request.path}")
        if request.method != "GET":
            return _error(405, -1, "Request method is not supported.")
        response = await self._respond(request, endpoint, params)
        key = page_key(request.path, params)
        self._state.stats.answered(key, request.path, response.status)
        return response

    async def _respond(
        self, request: web.BaseRequest, endpoint: Endpoint, params: Mapping[str, str]
    ) -> web.Response:
        state, address = self._state, request.remote or ""
        refusal = await self._fault_before(request, endpoint)
        if refusal is not None:
            return refusal
        now_ms = state.clock.now_ms()
        verdict = state.weights.charge(address, _spent(endpoint, params), now_ms)
        headers = self._headers(endpoint, address, now_ms)
        if verdict.status != 200:
            return _refused(verdict, endpoint, address, headers)
        micro = request.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND"
        ask = Ask(
            request.path, endpoint, params, state, now_ms, micro and endpoint.market is Market.SPOT
        )
        try:
            self._delisted(ask)
            body = _HANDLERS[endpoint.handler](ask)
        except ApiError as error:
            return _error(error.status, error.code, error.text, headers)
        except CollectionError as error:  # a tape that cannot be read
            return _error(500, -1000, str(error), headers)
        return await self._fault_after(request, ask, body, headers)

    def _headers(self, endpoint: Endpoint, address: str, now_ms: int) -> dict[str, str]:
        if endpoint.handler.endswith(("_history", "_ratio", "_volume")):
            return {}
        pool = WEIGHT_POOL[endpoint.market]
        used = str(self._state.weights.used_now(address, pool, now_ms))
        if pool is Pool.SPOT:
            return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        return {"X-MBX-USED-WEIGHT-1M": used}

    def _strike(
        self, kind: FaultKind, request: web.BaseRequest, endpoint: Endpoint
    ) -> Fault | None:
        if not self._state.fault_plan.has(kind):
            return None
        symbol = request.query.get("symbol", request.query.get("pair", ""))
        return self._state.fault_plan.strike(
            kind,
            self._state.clock.now(),
            market=endpoint.market,
            path=request.path,
            symbol=symbol,
        )

    def _delisted(self, ask: Ask) -> None:
        """Raise the error that a delisting fault has for the symbol's requests."""
        if not self._state.fault_plan.has(FaultKind.DELIST) or "symbol" not in ask.params:
            return
        fault = self._state.fault_plan.strike(
            FaultKind.DELIST, ask.now_ms, market=ask.market, symbol=ask.params["symbol"]
        )
        if fault is not None and fault.value:
            text = "Invalid symbol." if fault.value == -1121 else "Invalid symbol status."
            raise ApiError(fault.value, text)

    async def _fault_before(
        self, request: web.BaseRequest, endpoint: Endpoint
    ) -> web.Response | None:
        state, address = self._state, request.remote or ""
        if self._strike(FaultKind.REGION_451, request, endpoint):
            return _error(
                451,
                0,
                "Service unavailable from a restricted location according to 'b. Eligibility' "
                "in the terms of use.",
            )
        if self._strike(FaultKind.FIREWALL_403, request, endpoint):
            return web.Response(
                status=403,
                text="<html><head><title>403 Forbidden</title></head></html>",
                content_type="text/html",
            )
        if fault := self._strike(FaultKind.BAN_418, request, endpoint):
            length = 120.0 if fault.seconds_after is None else fault.seconds_after
            state.weights.ban(address, state.clock.now_ms(), int(length * 1000))
        if fault := self._strike(FaultKind.STALL, request, endpoint):
            length = 30.0 if fault.seconds_after is None else fault.seconds_after
            await asyncio.sleep(state.clock.real_seconds(length * 1000))
        if self._strike(FaultKind.DROP, request, endpoint):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        if fault := self._strike(FaultKind.SERVER_ERROR, request, endpoint):
            code = -1008 if fault.status == 503 else -1000
            return _error(fault.status, code, "Unknown error, please check your request.")
        if fault := self._strike(FaultKind.STORM_429, request, endpoint):
            wait = 5 if fault.seconds_after is None else max(1, round(fault.seconds_after))
            pool = WEIGHT_POOL[endpoint.market]
            return _refused(Verdict(429, wait, pool=pool), endpoint, address, {})
        return None

    async def _fault_after(
        self, request: web.BaseRequest, ask: Ask, body: bytes, headers: dict[str, str]
    ) -> web.Response:
        if self._strike(FaultKind.CUT_JSON, request, ask.endpoint):
            body = body[: len(body) // 2]
        response = web.Response(body=body, headers=headers, content_type=_JSON)
        transport = request.transport
        if transport is not None and self._strike(FaultKind.RESET, request, ask.endpoint):
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            handle = transport.get_extra_info("socket")
            if handle is not None:
                linger = struct.pack("ii", 1, 0)
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        return response


def _spent(endpoint: Endpoint, params: Mapping[str, str]) -> dict[Pool, int]:
    pool = WEIGHT_POOL[endpoint.market]
    spent = {pool: endpoint.weight.of(params)}
    if pool is Pool.SPOT:
        spent[Pool.SPOT_RAW] = 1
    if endpoint.pool is not None:
        spent[endpoint.pool] = 1
    return {pool: weight for pool, weight in spent.items() if weight}


def _refused(
    verdict: Verdict, endpoint: Endpoint, address: str, headers: dict[str, str]
) -> web.Response:
    headers = headers | {"Retry-After": str(verdict.retry_after)}
    if verdict.status == 418:
        text = (
            f"Way too many requests; IP({address}) banned until {verdict.until_ms}. "
            "Please use the websocket for live updates to avoid bans."
        )
        return _error(418, -1003, text, headers)
    fact = POOLS[verdict.pool or WEIGHT_POOL[endpoint.market]]
    if endpoint.market is Market.SPOT:
        text = (
            f"Too much request weight used; current limit is {fact.limit} request weight per "
            f"{fact.minutes} MINUTE. Please use WebSocket Streams for live updates to avoid "
            "polling the API."
        )
    else:
        text = (
            f"Too many requests; current limit of IP({address}) is {fact.limit} requests per "
            f"{'minute' if fact.minutes == 1 else f'{fact.minutes} minutes'}. Please use the "
            "websocket for live updates to avoid polling the API."
        )
    return _error(429, -1003, text, headers)


def _error(
    status: int, code: int, text: str, headers: dict[str, str] | None = None
) -> web.Response:
    body = orjson.dumps({"code": code, "msg": text})
    return web.Response(status=status, body=body, headers=headers, content_type=_JSON)
