"""A simulated exchange: Binance's REST and WebSocket interface over simulated trades.

    from alphaqcm.data_collection.simulation.exchange import Exchange, ExchangeSpec, UniverseSize

    with Exchange(ExchangeSpec(speed=60, size=UniverseSize(spot=380, um=300))) as exchange:
        exchange.url        # REST at the real paths; WebSockets below /spot-ws, /um-ws, /cm-ws

Beside the exchange's own paths: `GET /__clock__` (`POST {"advance_ms": …}` moves it),
`GET /__truth__/klines` and `/__truth__/aggTrades` (market, symbol, interval, startTime, endTime;
no limit),
`GET /__stats__[?pages=1]`, `DELETE /__stats__`, `GET|POST|DELETE /__fault__`, `GET /__faults__`.
"""

from alphaqcm.data_collection.simulation.exchange.clock import ExchangeClock
from alphaqcm.data_collection.simulation.exchange.fault_plan import Fault, Scenario
from alphaqcm.data_collection.simulation.exchange.faults import FAULTS, FaultKind
from alphaqcm.data_collection.simulation.exchange.server import Exchange, serve_until
from alphaqcm.data_collection.simulation.exchange.state import (
    ExchangeSpec,
    ExchangeState,
    KlinePush,
)
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.universe import UniverseSize

__all__ = [
    "FAULTS",
    "Exchange",
    "ExchangeClock",
    "ExchangeSpec",
    "ExchangeState",
    "Fault",
    "FaultKind",
    "KlinePush",
    "Listing",
    "Market",
    "Scenario",
    "UniverseSize",
    "serve_until",
]
