"""Who listens to what: topics, their subscribers, and the one encoding of each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from alphaqcm.data_collection.simulation.exchange.fault_plan import Fault
from alphaqcm.data_collection.simulation.exchange.faults import FaultKind
from alphaqcm.data_collection.simulation.exchange.sockets.streams import (
    Stream,
    delivers,
    stream_of,
)
from alphaqcm.data_collection.simulation.exchange.sockets.wire import Wire, frame
from alphaqcm.data_collection.simulation.exchange.state import ExchangeState
from alphaqcm.data_collection.simulation.exchange.tape.listing import Market


@dataclass(eq=False, slots=True)
class Topic:
    """One stream in one unit of time, and the connections to which its frames go.

    `stream` is None as long as the exchange has none of that name; `joined` says that a connection
    has come since the last frame.
    """

    market: Market
    name: str
    unit: int
    stream: Stream | None
    wires: dict[Wire, None] = field(default_factory=dict)
    joined: bool = False


class Hub:
    """The topics of all markets; `version` counts what changes the work to be done."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state
        self._topics: dict[tuple[Market, str, int], Topic] = {}
        self.wires: dict[Wire, None] = {}
        self.version = 0
        self._venue_version = state.venue.version

    def topics(self) -> Iterator[Topic]:
        """Every topic that has a subscriber and is a stream."""
        if self._venue_version != self._state.venue.version:
            self._venue_version = self._state.venue.version
            for topic in self._topics.values():
                topic.stream = stream_of(topic.name, topic.market, self._state.venue)
        yield from (topic for topic in self._topics.values() if topic.stream is not None)

    @property
    def stale(self) -> bool:
        """Whether symbols changed since the topics were last walked through."""
        return self._venue_version != self._state.venue.version

    def subscribe(self, wire: Wire, name: str) -> None:
        """Subscribe a connection; frames come only where its route delivers them."""
        if name in wire.streams:
            return
        stream = stream_of(name, wire.market, self._state.venue)
        wire.streams[name] = stream
        if stream is not None and not delivers(
            stream, wire.market, wire.route, cm_routed=self._state.spec.cm_routed
        ):
            return
        if self._state.fault_plan.has(FaultKind.ACK_NO_DATA) and self._state.fault_plan.strike(
            FaultKind.ACK_NO_DATA, self._state.clock.now(), market=wire.market, stream=name
        ):
            return
        key = (wire.market, name, wire.unit)
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(wire.market, name, wire.unit, stream)
            self.version += 1
        topic.wires[wire] = None
        topic.joined = True

    def unsubscribe(self, wire: Wire, name: str) -> None:
        """Take back a subscription."""
        wire.streams.pop(name, None)
        key = (wire.market, name, wire.unit)
        topic = self._topics.get(key)
        if topic is not None:
            topic.wires.pop(wire, None)
            if not topic.wires:
                del self._topics[key]
                self.version += 1

    def add(self, wire: Wire) -> None:
        """A connection was opened."""
        self.wires[wire] = None
        self._state.stats.connections += 1
        self._state.stats.open_connections += 1

    def remove(self, wire: Wire) -> None:
        """A connection has ended."""
        for name in list(wire.streams):
            self.unsubscribe(wire, name)
        if self.wires.pop(wire, 0) is None:
            self._state.stats.open_connections -= 1

    def emit(self, topic: Topic, payload: bytes) -> None:
        """Put a frame to every subscriber's waiting bytes; encoded once raw, once combined."""
        raw = combined = b""
        fault_plan = self._state.fault_plan
        twice = swapped = False
        if fault_plan.has(FaultKind.DUPLICATE) or fault_plan.has(FaultKind.OUT_OF_ORDER):
            now = self._state.clock.now()
            twice = self._strikes(FaultKind.DUPLICATE, topic, now) is not None
            swapped = self._strikes(FaultKind.OUT_OF_ORDER, topic, now) is not None
        stopped = fault_plan.has(FaultKind.STREAM_STOP) and self._strikes(
            FaultKind.STREAM_STOP, topic, self._state.clock.now()
        )
        for wire in topic.wires:
            if stopped and wire.opened_ms < stopped.start_ms:
                continue
            if wire.combined:
                if not combined:
                    name = topic.name.encode()
                    combined = frame(b'{"stream":"' + name + b'","data":' + payload + b"}")
                encoded = combined
            else:
                encoded = raw = raw or frame(payload)
            waiting = wire.waiting
            waiting.append(encoded)
            if twice:
                waiting.append(encoded)
            if swapped and len(waiting) > 1:
                waiting[-1], waiting[-2] = waiting[-2], waiting[-1]

    def _strikes(self, kind: FaultKind, topic: Topic, now: float) -> Fault | None:
        listing = topic.stream.listing if topic.stream else None
        return self._state.fault_plan.strike(
            kind,
            now,
            market=topic.market,
            stream=topic.name,
            symbol=listing.symbol if listing else "",
        )
