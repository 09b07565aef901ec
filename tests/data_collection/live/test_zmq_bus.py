"""Events between processes over real sockets: what is lost on the way is had again."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import msgpack
import pytest

from alphaqcm.data_collection.errors import BadMessage, NoAnswer, UsageError
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.bus.publisher import ZmqPublisher
from alphaqcm.data_collection.live.bus.subscriber import Message, ZmqSubscriber
from alphaqcm.data_collection.live.bus.topics import decode, encode, kind_of, topic_of
from alphaqcm.data_collection.live.bus.wire import snapshot_address
from alphaqcm.data_collection.live.events import (
    BarSource,
    ClosedBar,
    Control,
    ControlKind,
    Event,
    FactorHour,
    FactorRow,
    Liquidation,
    LiveTrade,
    LocalBus,
    MarkPrice,
)
from alphaqcm.pipeline.domain.registry import Market

zmq = pytest.importorskip("zmq")
UM = Market.UM
MINUTE = 60_000_000
NOW = 1_779_278_400.0


def bar(number: int, symbol: str = "BTCUSDT") -> ClosedBar:
    return ClosedBar(
        UM, symbol, "1m", number * MINUTE, 0.1 + number, 2.0, 0.05, 1 / 3, 5.0, 6.0, 7, 8.0, 9.0,
        BarSource.SOCKET,
    )  # fmt: skip


EVENTS: dict[str, Event] = {
    "bar.1m.um.BTCUSDT": bar(3),
    "trade.spot.牛USDT": LiveTrade(
        Market.SPOT, "牛USDT", 9, 1, 2, 5, 0.1, 0.2, True, "0.10", "0.20"
    ),
    "mark.cm.BTCUSD_PERP": MarkPrice(Market.CM, "BTCUSD_PERP", 5, 1.5, 1.25, None, 7),
    "liq.um.ETHUSDT": Liquidation(UM, "ETHUSDT", 5, "SELL", 1.5, 1.25, 7.0),
    "factor.1h.um.BTCUSDT": FactorRow(
        UM, "BTCUSDT", "1h", 5, {"close": 0.1, "is_spike": False, "vwap": None}
    ),
    "factor.1h.um": FactorHour(UM, "1h", 5, 300, ("BTCUSDT",)),
    "ctl.um": Control(ControlKind.GAP, UM, "BTCUSDT", 5, {"late": ["A", "B"]}),
}  # fmt: skip


@pytest.mark.parametrize("topic", EVENTS)
def test_an_event_is_the_same_behind_the_wire(topic: str) -> None:
    event = EVENTS[topic]
    assert topic_of(event) == topic
    assert decode(topic, encode(event)) == event


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(BadMessage, match="begins with bar, trade"):
        kind_of("candle.1m.um.BTCUSDT")
    with pytest.raises(BadMessage, match="msgpack of ClosedBar"):
        decode("bar.1m.um.BTCUSDT", msgpack.packb({"close": 1}))
    with pytest.raises(BadMessage):
        ZmqSubscriber("ipc:///nowhere", ["nonsense."])


def test_answers_are_beside_the_publisher() -> None:
    assert snapshot_address("tcp://127.0.0.1:5600") == "tcp://127.0.0.1:5601"
    assert snapshot_address("ipc:///run/um") == "ipc:///run/um.snapshot"


@pytest.fixture
def pub(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/um"


def publisher(pub: str, now: float = NOW, **words: int) -> ZmqPublisher:
    return ZmqPublisher(pub, ExchangeClock(now, speed=1e-6), **words)


def subscriber(pub: str) -> ZmqSubscriber:
    return ZmqSubscriber(pub, ["bar.1m.um.BTCUSDT"], idle=0.2, patience=1.0)


async def take(messages: AsyncIterator[Message], count: int) -> list[Message]:
    return [await asyncio.wait_for(anext(messages), 30) for _ in range(count)]


def opens(messages: list[Message]) -> list[int]:
    found = []
    for message in messages:
        assert isinstance(message.event, ClosedBar)
        found.append(message.event.open_time_us // MINUTE)
    return found


def test_a_message_is_three_frames(pub: str) -> None:
    """As another language would read them: zmq and msgpack alone."""

    async def run() -> list[list[bytes]]:
        async with publisher(pub) as told:
            socket = zmq.Socket(told._context, zmq.SUB)
            socket.subscribe(b"bar.")
            socket.connect(pub)
            socket.RCVTIMEO = 20
            frames = []
            while len(frames) < 2:
                told.publish(bar(len(frames)))
                try:
                    frames.append(socket.recv_multipart())
                except zmq.Again:
                    continue
            socket.close()
            return frames

    first, second = asyncio.run(run())
    assert first[0] == b"bar.1m.um.BTCUSDT"
    (one,), (two,) = struct.unpack(">Q", first[1]), struct.unpack(">Q", second[1])
    assert two == one + 1
    told = msgpack.unpackb(second[2])
    assert told["symbol"] == "BTCUSDT"
    assert told["close"] == 1 / 3
    assert told["trade_num"] == 7


def test_a_snapshot_is_had_with_zmq_and_msgpack_alone(pub: str) -> None:
    async def run() -> tuple[dict[str, object], dict[str, object]]:
        async with publisher(pub) as told:
            for number in range(5):
                told.publish(bar(number))
            socket = told._context.socket(zmq.REQ)
            socket.connect(f"{pub}.snapshot")
            first = (int(NOW * 1000) << 20) + 4
            request = {"what": "snapshot", "topic": "bar.1m.um.BTCUSDT", "first": first}
            await socket.send(msgpack.packb(request))
            answer = msgpack.unpackb(await socket.recv())
            await socket.send(b"nonsense")
            refusal = msgpack.unpackb(await socket.recv())
            socket.close()
            return answer, refusal

    answer, refusal = asyncio.run(run())
    messages = answer["messages"]
    assert isinstance(messages, list)
    assert [msgpack.unpackb(payload)["open_time_us"] for _, payload in messages] == [
        3 * MINUTE, 4 * MINUTE,
    ]  # fmt: skip
    assert "not understood" in str(refusal["error"])


def test_a_subscriber_that_loses_messages_fills(pub: str) -> None:
    """Queues of ten messages and a subscriber that does not read: most are dropped by ZeroMQ."""

    async def run() -> tuple[list[Message], ZmqSubscriber]:
        async with (
            publisher(pub, queue=10) as told,
            ZmqSubscriber(pub, ["bar.1m.um."], idle=0.2, queue=10) as heard,
        ):
            for number in range(100):
                for symbol in range(100):
                    told.publish(bar(number, f"S{symbol}USDT"))
            return await take(heard.__aiter__(), 100 * 100), heard

    found, heard = asyncio.run(run())
    by_topic: dict[str, list[Message]] = {}
    for message in found:
        by_topic.setdefault(message.topic, []).append(message)
    assert heard.stats.filled > 1000
    assert heard.stats.lost == 0
    assert len(by_topic) == 100
    assert all(opens(messages) == list(range(100)) for messages in by_topic.values())


def test_the_last_message_is_not_lost_either(pub: str) -> None:
    """Nothing follows that would show the gap: the subscriber asks after a while."""

    async def run() -> list[Message]:
        async with publisher(pub) as told, subscriber(pub) as heard:
            assert [m async for m in heard.replay("bar.1m.um.BTCUSDT", 0)] == []
            heard._socket.disconnect(pub)
            for number in range(3):
                told.publish(bar(number))
            return await take(heard.__aiter__(), 3)

    assert opens(asyncio.run(run())) == [0, 1, 2]


def test_what_is_gone_for_good_is_told(pub: str) -> None:
    """More was missed than is kept; the strategy must go back to its files."""

    async def run() -> tuple[list[Message], int]:
        async with publisher(pub) as told, subscriber(pub) as heard:
            assert [m async for m in heard.replay("bar.1m.um.BTCUSDT", 0)] == []
            heard._socket.disconnect(pub)
            for number in range(300):
                told.publish(bar(number))
            return await take(heard.__aiter__(), 256), heard.stats.lost

    found, lost = asyncio.run(run())
    assert opens(found) == list(range(44, 300))
    assert [message.lost for message in found] == [True] + 255 * [False]
    assert lost == 1


def test_a_publisher_that_starts_anew_is_noticed(pub: str) -> None:
    async def run() -> list[Message]:
        async with subscriber(pub) as heard:
            messages = heard.__aiter__()
            async with publisher(pub) as told:
                assert [m async for m in heard.replay("bar.1m.um.BTCUSDT", 0)] == []
                told.publish(bar(0))
                found = await take(messages, 1)
            async with publisher(pub, NOW + 60) as told:
                told.publish(bar(7))
                return found + await take(messages, 1)

    first, second = asyncio.run(run())
    assert second.sequence > first.sequence + 1
    assert opens([first, second]) == [0, 7]
    assert (first.lost, second.lost) == (False, True)


def test_a_symbol_that_begins_like_another_is_not_heard(pub: str) -> None:
    async def run() -> list[Message]:
        async with publisher(pub) as told, subscriber(pub) as heard:
            assert [m async for m in heard.replay("bar.1m.um.BTCUSDT", 0)] == []
            for number in range(2):
                told.publish(bar(number, "BTCUSDT_260626"))
                told.publish(bar(number))
            return await take(heard.__aiter__(), 2)

    assert [message.topic for message in asyncio.run(run())] == 2 * ["bar.1m.um.BTCUSDT"]


@pytest.mark.parametrize(
    ("after", "numbers", "lost"), [(40, [40, 41], False), (42, [], False), (-9, None, True)]
)
def test_a_replay_begins_where_the_file_ends(
    pub: str, after: int, numbers: list[int] | None, lost: bool
) -> None:
    async def run() -> list[Message]:
        async with publisher(pub) as told:
            for number in range(42):
                told.publish(bar(number))
            async with subscriber(pub) as heard:
                return [m async for m in heard.replay("bar.1m.um.BTCUSDT", after * MINUTE)]

    found = asyncio.run(run())
    assert opens(found) == (list(range(42)) if numbers is None else numbers)
    assert [message.lost for message in found[:1]] == [lost][: len(found)]


def test_a_bus_is_followed_until_that_is_ended(pub: str) -> None:
    async def run() -> list[Message]:
        bus = LocalBus(lambda _, error: pytest.fail(str(error)))
        async with publisher(pub) as told:
            end = told.follow(bus)
            for number in range(4):
                bus.publish(bar(number))
                if number == 2:
                    end()
            async with subscriber(pub) as heard:
                return [m async for m in heard.replay("bar.1m.um.BTCUSDT", 0)]

    assert opens(asyncio.run(run())) == [0, 1, 2]


def test_a_publisher_that_is_not_there_is_told(pub: str) -> None:
    async def run() -> None:
        async with subscriber(pub) as heard:
            await anext(heard.replay("bar.1m.um.BTCUSDT", 0))

    with pytest.raises(NoAnswer, match=r"um\.snapshot; expected an answer"):
        asyncio.run(run())


def test_an_address_that_cannot_be_bound_is_one_line(tmp_path: Path) -> None:
    async def run() -> None:
        async with publisher(f"ipc://{tmp_path}/no/such/folder/um"):
            pass

    with pytest.raises(UsageError, match=r"zmq address ipc:.*expected one that can be bound"):
        asyncio.run(run())
