"""Tells the events of a bus to other processes, and again what they have missed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.extras import Extra, require_extra
from alphaqcm.data_collection.live.bus.topics import TopicKind, encode, kind_of, topic_of
from alphaqcm.data_collection.live.bus.wire import (
    HEADS,
    SEQUENCE,
    SNAPSHOT,
    Answer,
    Request,
    snapshot_address,
)
from alphaqcm.data_collection.live.events import Bus, Event

_RUN_BITS: Final = 20  # numbers of a run begin at its start in ms times 2**20
_KEPT: Final = {
    TopicKind.BAR: 256,
    TopicKind.TRADE: 4096,
    TopicKind.MARK: 64,
    TopicKind.LIQUIDATION: 512,
    TopicKind.FACTOR: 32,
    TopicKind.CONTROL: 1024,
}
"""Messages of a topic that can be asked for again."""


@dataclass(slots=True)
class _Kept:
    """What can be told again of one topic."""

    messages: deque[tuple[int, bytes]]
    next: int  # sequence of the message to come


class ZmqPublisher:
    """Tells a bus's events to other processes; `async with` it.

    `pub` is a ZeroMQ address, such as `ipc:///run/alphaqcm/um` or `tcp://127.0.0.1:5600`.
    """

    def __init__(self, pub: str, clock: ExchangeClock, *, queue: int = 100_000) -> None:
        require_extra("zmq", Extra.LIVE)
        self.pub, self._snapshot = pub, snapshot_address(pub)
        self._clock = clock
        self._queue = queue
        self._topics: dict[str, _Kept] = {}
        self._run = 0

    async def __aenter__(self) -> ZmqPublisher:
        import zmq
        import zmq.asyncio

        self._run = self._clock.now_ms() << _RUN_BITS
        self._context = zmq.asyncio.Context()
        self._socket = zmq.Socket(self._context, zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, self._queue)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._answers = self._context.socket(zmq.REP)
        self._answers.setsockopt(zmq.LINGER, 0)
        for socket, address in ((self._socket, self.pub), (self._answers, self._snapshot)):
            try:
                socket.bind(address)
            except zmq.ZMQError as error:
                self._close()
                raise UsageError(
                    f"zmq address {address}",
                    expected="one that can be bound, such as ipc:///run/alphaqcm/um",
                    found=str(error),
                ) from error
        self._serving = asyncio.create_task(self._serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        self._close()

    def _close(self) -> None:
        self._socket.close()
        self._answers.close()
        self._context.term()

    def follow(self, bus: Bus) -> Callable[[], None]:
        """Tell every event of `bus` from now on; what is returned ends that."""
        return bus.subscribe(self.publish)

    def publish(self, event: Event) -> None:
        """Tell one event; never waits."""
        topic, payload = topic_of(event), encode(event)
        kept = self._topics.get(topic)
        if kept is None:
            room: deque[tuple[int, bytes]] = deque(maxlen=_KEPT[kind_of(topic)])
            kept = self._topics[topic] = _Kept(room, self._run + 1)
        sequence, kept.next = kept.next, kept.next + 1
        kept.messages.append((sequence, payload))
        self._socket.send_multipart((topic.encode(), SEQUENCE.pack(sequence), payload))

    async def _serve(self) -> None:
        while True:
            request = await self._answers.recv()
            await self._answers.send(msgspec.msgpack.encode(self._answer(request)))

    def _answer(self, raw: bytes) -> Answer:
        try:
            asked = msgspec.msgpack.decode(raw, type=Request)
        except msgspec.MsgspecError as error:
            return Answer(f"not understood: {error}")
        if asked.what == HEADS:
            heads = {
                topic: kept.next - 1
                for topic, kept in self._topics.items()
                if topic.startswith(asked.topic)
            }
            return Answer(heads=heads)
        if asked.what != SNAPSHOT:
            return Answer(f"unknown request {asked.what!r}: {SNAPSHOT} or {HEADS}")
        known = self._topics.get(asked.topic)
        if known is None:
            return Answer(kept_from=self._run + 1)
        oldest = known.messages[0][0] if known.messages else known.next
        found = [message for message in known.messages if message[0] >= asked.first]
        return Answer(kept_from=oldest, messages=found)
