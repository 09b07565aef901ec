"""The exchange's care of its connections: pings, their ends, and the faults that strike them."""

from __future__ import annotations

import asyncio

from alphaqcm.data_collection.simulation.exchange.fault_plan import Fault
from alphaqcm.data_collection.simulation.exchange.faults import FaultKind
from alphaqcm.data_collection.simulation.exchange.sockets.frames import server_shutdown
from alphaqcm.data_collection.simulation.exchange.sockets.streams import LIFE_MS, SOCKETS
from alphaqcm.data_collection.simulation.exchange.sockets.topics import Hub
from alphaqcm.data_collection.simulation.exchange.sockets.wire import (
    MOST_WAITING,
    Wire,
    frame,
    ping,
)
from alphaqcm.data_collection.simulation.exchange.state import ExchangeState

POLICY, NORMAL = 1008, 1000


class WireCare:
    """Looks after every connection once a step, then sends what waits for it."""

    def __init__(self, state: ExchangeState, hub: Hub) -> None:
        self._state, self._hub = state, hub

    def step(self, now_ms: int) -> None:
        """Ping, end, strike and flush."""
        for wire in list(self._hub.wires):
            self._faults(wire, now_ms)
            if wire in self._hub.wires and not wire.half_open:
                self._keep(wire, now_ms)
            if wire in self._hub.wires:
                self._limit(wire, now_ms)
                wire.flush(self._state.stats, now_ms)

    def close(self, wire: Wire, why: str, code: int = NORMAL) -> None:
        """End a connection with a close frame."""
        self._state.stats.cut_off[why] += 1
        wire.flush(self._state.stats, self._state.clock.now())
        self._hub.remove(wire)
        wire.closing = asyncio.ensure_future(wire.socket.close(code=code, message=why.encode()))

    def _abort(self, wire: Wire, why: str, *, reset: bool = False) -> None:
        self._state.stats.cut_off[why] += 1
        wire.abort(reset=reset)
        self._hub.remove(wire)

    def _keep(self, wire: Wire, now_ms: int) -> None:
        fact = SOCKETS[wire.market]
        if wire.pong_due_ms is not None and now_ms >= wire.pong_due_ms:
            self.close(wire, "no pong", POLICY)
        elif now_ms - wire.opened_ms >= LIFE_MS:
            self.close(wire, "24 hours")
        elif wire.cut_at_ms is not None and now_ms >= wire.cut_at_ms:
            self.close(wire, "shutdown")
        elif now_ms - wire.pinged_ms >= fact.ping_ms:
            wire.pinged_ms = now_ms
            payload = str(now_ms).encode()
            if wire.pong_due_ms is None:
                wire.pong_due_ms = now_ms + fact.pong_ms
            wire.ping_payload = payload
            wire.waiting.append(ping(payload))

    def _limit(self, wire: Wire, now_ms: int) -> None:
        most = MOST_WAITING
        if fault := self._strike(FaultKind.WS_SLOW_CONSUMER, wire, now_ms):
            most = fault.value
        if wire.transport.get_write_buffer_size() > most:
            self._abort(wire, "slow consumer")

    def _faults(self, wire: Wire, now_ms: int) -> None:
        if fault := self._strike(FaultKind.WS_STALL, wire, now_ms):
            wire.held_until_ms = max(wire.held_until_ms, float(fault.end_ms))
        if self._strike(FaultKind.WS_HALF_OPEN, wire, now_ms):
            wire.half_open = True
        if fault := self._strike(FaultKind.WS_SHUTDOWN, wire, now_ms):
            wait = 60.0 if fault.seconds_after is None else fault.seconds_after
            wire.cut_at_ms = now_ms + wait * 1000
            wire.waiting.append(frame(server_shutdown(now_ms * wire.unit)))
        if self._strike(FaultKind.WS_DROP, wire, now_ms):
            self._abort(wire, "drop")
        elif wire.waiting and self._strike(FaultKind.WS_RESET, wire, now_ms):
            self._abort(wire, "reset", reset=True)

    def _strike(self, kind: FaultKind, wire: Wire, now_ms: int) -> Fault | None:
        if not self._state.fault_plan.has(kind):
            return None
        return self._state.fault_plan.strike(kind, now_ms, market=wire.market)
