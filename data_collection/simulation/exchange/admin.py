"""The paths with two underscores: clock, truth, statistics and faults, for tests and demos."""

from __future__ import annotations

import orjson
from aiohttp import web

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.exchange.facts import ApiError, Endpoint
from alphaqcm.data_collection.simulation.exchange.fault_plan import Fault
from alphaqcm.data_collection.simulation.exchange.faults import FAULTS, FaultKind
from alphaqcm.data_collection.simulation.exchange.rest.candles import truth
from alphaqcm.data_collection.simulation.exchange.rest.request import Ask
from alphaqcm.data_collection.simulation.exchange.state import ExchangeState
from alphaqcm.data_collection.simulation.exchange.stats import Stats
from alphaqcm.data_collection.simulation.exchange.tape.listing import Market
from alphaqcm.data_collection.simulation.exchange.text import array, trade_rows


class AdminDesk:
    """Answers what no exchange would; costs no weight and meets no fault."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer one request below `/__`."""
        state = self._state
        try:
            match request.method, request.path:
                case "GET", "/__clock__":
                    return _json(state.clock.as_json())
                case "POST", "/__clock__":
                    words = orjson.loads(await request.read())
                    state.clock.advance(float(words["advance_ms"]))
                    return _json(state.clock.as_json())
                case "GET", "/__stats__":
                    pages = request.query.get("pages") == "1"
                    return _json(state.stats.as_json(state.weights, pages=pages))
                case "DELETE", "/__stats__":
                    state.stats = Stats(open_connections=state.stats.open_connections)
                    state.weights.used.clear()
                    return _json({})
                case "GET", "/__truth__/klines":
                    return self._klines(request)
                case "GET", "/__truth__/aggTrades":
                    return self._trades(request)
                case "GET", "/__faults__":
                    return _json({kind: _fact(kind) for kind in FAULTS})
                case "GET", "/__fault__":
                    return _json(
                        {"seed": state.fault_plan.seed, "faults": state.fault_plan.as_json()}
                    )
                case "POST", "/__fault__":
                    return await self._plant(request)
                case "DELETE", "/__fault__":
                    state.fault_plan.clear()
                    return _json({})
                case _:
                    return _json({"error": f"no such path: {request.path}"}, 404)
        except ApiError as error:
            return _json({"code": error.code, "msg": error.text}, error.status)
        except (UsageError, ValueError, KeyError, TypeError) as error:
            return _json({"error": str(error)}, 400)

    def _ask(self, request: web.BaseRequest) -> Ask:
        market = Market(request.query.get("market", "um"))
        endpoint = Endpoint("truth", market)
        params = dict(request.query)
        return Ask(request.path, endpoint, params, self._state, self._state.clock.now_ms())

    def _klines(self, request: web.BaseRequest) -> web.Response:
        ask = self._ask(request)
        _, body = truth(ask, ask.listing(), ask.interval())
        return web.Response(body=body, content_type="application/json")

    def _trades(self, request: web.BaseRequest) -> web.Response:
        ask = self._ask(request)
        listing = ask.listing()
        start, end = ask.moment("startTime"), ask.moment("endTime")
        trades = self._state.venue.trades(
            listing,
            listing.onboard_ms if start is None else start,
            ask.now_ms if end is None else end + 1,
        )
        rows = array(trade_rows(trades, listing))
        return web.Response(body=rows, content_type="application/json")

    async def _plant(self, request: web.BaseRequest) -> web.Response:
        words = orjson.loads(await request.read())
        rows = words if isinstance(words, list) else [words]
        now_ms = self._state.clock.now_ms()
        numbers = [self._state.plant(Fault.parse(row, now_ms)) for row in rows]
        return _json({"planted": numbers, "seed": self._state.fault_plan.seed, "now": now_ms})


def _fact(kind: FaultKind) -> dict[str, str]:
    fact = FAULTS[kind]
    return {"side": fact.side.value, "does": fact.does, "holds": fact.holds}


def _json(answer: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(answer), content_type="application/json")
