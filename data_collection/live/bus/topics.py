"""How events travel between processes: a topic, and the event as msgpack.

    bar.1m.um.BTCUSDT   trade.um.BTCUSDT   mark.um.BTCUSDT   liq.um.BTCUSDT
    factor.1h.um.BTCUSDT   factor.1h.um   ctl.um

msgpack holds an event as a map by the names of its fields; doubles keep their bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final

import msgspec

from alphaqcm.data_collection.errors import BadMessage
from alphaqcm.data_collection.live.events import (
    ClosedBar,
    Control,
    Event,
    FactorHour,
    FactorRow,
    Liquidation,
    LiveTrade,
    MarkPrice,
)


class TopicKind(StrEnum):
    """What a topic begins with."""

    BAR = "bar"
    TRADE = "trade"
    MARK = "mark"
    LIQUIDATION = "liq"
    FACTOR = "factor"
    CONTROL = "ctl"


_TYPES: Final[Mapping[TopicKind, type]] = {
    TopicKind.BAR: ClosedBar,
    TopicKind.TRADE: LiveTrade,
    TopicKind.MARK: MarkPrice,
    TopicKind.LIQUIDATION: Liquidation,
    TopicKind.CONTROL: Control,
}
_HOUR_PARTS: Final = 3  # factor.1h.um, without a symbol


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    return value.item()


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)


def topic_of(event: Event) -> str:
    """The topic under which an event is told."""
    match event:
        case ClosedBar():
            return f"{TopicKind.BAR}.{event.interval}.{event.market}.{event.symbol}"
        case LiveTrade():
            return f"{TopicKind.TRADE}.{event.market}.{event.symbol}"
        case MarkPrice():
            return f"{TopicKind.MARK}.{event.market}.{event.symbol}"
        case Liquidation():
            return f"{TopicKind.LIQUIDATION}.{event.market}.{event.symbol}"
        case FactorRow():
            return f"{TopicKind.FACTOR}.{event.interval}.{event.market}.{event.symbol}"
        case FactorHour():
            return f"{TopicKind.FACTOR}.{event.interval}.{event.market}"
        case Control():
            return f"{TopicKind.CONTROL}.{event.market}"


def kind_of(topic: str) -> TopicKind:
    """What a topic tells; raises `BadMessage`."""
    try:
        return TopicKind(topic.partition(".")[0])
    except ValueError:
        raise BadMessage(
            f"topic {topic!r}", expected="one that begins with " + ", ".join(TopicKind)
        ) from None


def encode(event: Event) -> bytes:
    """The event as msgpack."""
    return _encoder.encode(event)


def decode(topic: str, payload: bytes) -> Event:
    """The event of a message; raises `BadMessage`."""
    kind = kind_of(topic)
    if kind is TopicKind.FACTOR:
        wanted: type = FactorHour if len(topic.split(".", 3)) == _HOUR_PARTS else FactorRow
    else:
        wanted = _TYPES[kind]
    try:
        event: Event = _decoder(wanted).decode(payload)
    except msgspec.MsgspecError as error:
        raise BadMessage(
            f"a message of {topic}", expected=f"msgpack of {wanted.__name__}", found=str(error)
        ) from error
    return event


@cache
def _decoder(wanted: type) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(wanted)
