"""Follows a publisher's topics in another process: each message once, in order, none missed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from alphaqcm.data_collection.errors import BadMessage, NoAnswer
from alphaqcm.data_collection.extras import Extra, require_extra
from alphaqcm.data_collection.live.bus.topics import decode, kind_of
from alphaqcm.data_collection.live.bus.wire import (
    HEADS,
    SNAPSHOT,
    Answer,
    Request,
    snapshot_address,
    unpack,
)
from alphaqcm.data_collection.live.events import ClosedBar, Event
from alphaqcm.pipeline.candles.window_grid import interval_us

_IDLE: Final = 2.0  # seconds without a message after which a subscriber asks what it has missed
_PATIENCE: Final = 5.0  # seconds for an answer


@dataclass(frozen=True, slots=True)
class Message:
    """One event as it came; `lost` says that messages before it cannot be had any more.

    After a lost message what a strategy knows has a hole: it starts again from the files.
    """

    topic: str
    sequence: int
    event: Event
    lost: bool = False


@dataclass(slots=True)
class SubscriberStats:
    """What a subscriber had to do."""

    filled: int = 0  # messages that were dropped on the way and asked for
    doubled: int = 0  # that came a second time
    lost: int = 0  # holes that could not be filled


@dataclass(slots=True)
class _Place:
    last: int  # sequence of the last message given; -1: the topic is new


class ZmqSubscriber:
    """Messages of some topics, each once and in order; `async with` it, then `async for`.

    `topics` are whole topics, or prefixes that end with a dot (`bar.1m.um.`). What is missed is
    asked for, at the latest after `idle` seconds without a message. What is told from the entering
    on is not missed; a topic that `replay` was asked of goes on where that ended.
    """

    def __init__(
        self,
        pub: str,
        topics: Sequence[str],
        *,
        idle: float = _IDLE,
        patience: float = _PATIENCE,
        queue: int = 100_000,
    ) -> None:
        require_extra("zmq", Extra.LIVE)
        for topic in topics:
            kind_of(topic)  # raises for what nobody tells
        self.pub = pub
        self.stats = SubscriberStats()
        self._topics = tuple(topics)
        self._idle, self._patience, self._queue = idle, patience, queue
        self._places: dict[str, _Place] = {}

    async def __aenter__(self) -> ZmqSubscriber:
        import zmq
        import zmq.asyncio

        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, self._queue)
        self._socket.setsockopt(zmq.LINGER, 0)
        for topic in self._topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self._socket.connect(self.pub)
        with contextlib.suppress(NoAnswer):  # a publisher that starts later has told nothing yet
            for topic, head in (await self._heads()).items():
                self._places[topic] = _Place(head)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()
        self._context.term()

    async def replay(self, topic: str, after_us: int) -> AsyncIterator[Message]:
        """What is kept of a bar topic after the candle that ends at `after_us` (a file's last).

        Go on with `async for`: it gives what follows. The first message is `lost` where the
        publisher has not kept enough to reach back so far.
        """
        answer = await self._ask(SNAPSHOT, topic, 0)
        bars = [(number, decode(topic, payload)) for number, payload in answer.messages]
        fresh = [(number, bar) for number, bar in bars if _end_us(bar) > after_us]
        lost = bool(fresh) and len(fresh) == len(bars) and _begin_us(fresh[0][1]) > after_us
        self._places[topic] = _Place(bars[-1][0] if bars else answer.kept_from - 1)
        for number, bar in fresh:
            yield Message(topic, number, bar, lost)
            lost = False

    def __aiter__(self) -> AsyncIterator[Message]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Message]:
        while True:
            try:
                frames = await asyncio.wait_for(self._socket.recv_multipart(), self._idle)
            except TimeoutError:
                with contextlib.suppress(NoAnswer):  # a publisher that is away tells nothing new
                    for message in await self._missed():
                        yield message
                continue
            topic, sequence, payload = unpack(frames)
            if self._wants(topic):
                for message in await self._take(topic, sequence, payload):
                    yield message

    def _wants(self, topic: str) -> bool:
        """`bar.1m.um.BTCUSDT` is no prefix: `…BTCUSDT_260626` is another symbol."""
        return any(
            topic.startswith(wanted) if wanted.endswith(".") else topic == wanted
            for wanted in self._topics
        )

    async def _take(self, topic: str, sequence: int, payload: bytes) -> list[Message]:
        place = self._places.setdefault(topic, _Place(-1))
        if sequence <= place.last:
            self.stats.doubled += 1
            return []
        if sequence == place.last + 1:
            place.last = sequence
            return [Message(topic, sequence, decode(topic, payload))]
        return await self._fill(topic, place)

    async def _fill(self, topic: str, place: _Place) -> list[Message]:
        """Everything after the last message given, as the publisher has kept it."""
        wanted = place.last + 1
        try:
            answer = await self._ask(SNAPSHOT, topic, wanted)
        except NoAnswer:  # it is asked again with the next message, or when nothing comes
            return []
        lost = wanted > 0 and answer.kept_from > wanted
        self.stats.lost += lost
        found = []
        for number, payload in answer.messages:
            found.append(Message(topic, number, decode(topic, payload), lost))
            place.last, lost = number, False
        self.stats.filled += len(found)
        return found

    async def _missed(self) -> list[Message]:
        """What was told and did not come."""
        found = []
        for topic, head in (await self._heads()).items():
            place = self._places.setdefault(topic, _Place(-1))
            if head > place.last:
                found += await self._fill(topic, place)
        return found

    async def _heads(self) -> dict[str, int]:
        """The last sequence of each topic that is wanted; raises `NoAnswer`."""
        answers = [await self._ask(HEADS, wanted, 0) for wanted in self._topics]
        told = {topic: head for answer in answers for topic, head in answer.heads.items()}
        return {topic: head for topic, head in told.items() if self._wants(topic)}

    async def _ask(self, what: str, topic: str, first: int) -> Answer:
        """One answer of the publisher; raises `NoAnswer`, `BadMessage`."""
        import zmq

        address = snapshot_address(self.pub)
        with self._context.socket(zmq.REQ) as socket:  # one each: a REQ that waits is of no use
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(address)
            await socket.send(msgspec.msgpack.encode(Request(what, topic, first)))
            try:
                raw = await asyncio.wait_for(socket.recv(), self._patience)
            except TimeoutError:
                raise NoAnswer(
                    address,
                    expected=f"an answer within {self._patience:g} s",
                    found="none",
                    next_step="see whether the live client runs: alphaqcm bmac status",
                ) from None
        answer = msgspec.msgpack.decode(raw, type=Answer)
        if answer.error:
            raise BadMessage(f"{what} of {topic}", found=answer.error)
        return answer


def _begin_us(event: Event) -> int:
    return event.open_time_us if isinstance(event, ClosedBar) else 0


def _end_us(event: Event) -> int:
    if not isinstance(event, ClosedBar):
        return 0
    return event.open_time_us + interval_us(event.interval)
