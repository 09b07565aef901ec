"""What frames mean. Of candles only the closing frames are decoded; the rest is told by bytes."""

from __future__ import annotations

from enum import Enum

import msgspec

CLOSES = b'"x":true'


class Topic(Enum):
    """What a frame is about."""

    KLINE = 1
    TRADE = 2
    MARK = 3
    FORCE_ORDER = 4
    CONTRACT = 5
    SHUTDOWN = 6
    ANSWER = 7
    OTHER = 8


_TOPICS = {
    b"kline": Topic.KLINE,
    b"continuous_kline": Topic.KLINE,
    b"aggTrade": Topic.TRADE,
    b"markPriceUpdate": Topic.MARK,
    b"forceOrder": Topic.FORCE_ORDER,
    b"contractInfo": Topic.CONTRACT,
    b"serverShutdown": Topic.SHUTDOWN,
}


def topic_of(raw: bytes) -> Topic:
    """What a raw event is about."""
    at = raw.find(b'"e":"')
    if at < 0:
        return Topic.ANSWER if b'"id":' in raw else Topic.OTHER
    return _TOPICS.get(raw[at + 5 : raw.find(b'"', at + 5)], Topic.OTHER)


def rows_of(raw: bytes) -> list[bytes]:
    """The events of a frame that is an array; raises msgspec's error for a broken one."""
    return [bytes(row) for row in _ARRAY.decode(raw)]


class Kline(msgspec.Struct):
    """The candle of a kline event."""

    t: int
    s: str
    i: str
    o: float
    h: float
    l: float  # noqa: E741
    c: float
    v: float
    q: float
    n: int
    V: float
    Q: float
    x: bool

    @property
    def values(self) -> tuple[float, ...]:
        """The nine numbers in the order of the candle files' columns."""
        return (self.o, self.h, self.l, self.c, self.v, self.q, float(self.n), self.V, self.Q)


class KlineEvent(msgspec.Struct):
    """A kline event."""

    E: int
    k: Kline


class TradeEvent(msgspec.Struct):
    """An aggTrade event; `q` includes what was filled by retail orders, as the archive's does."""

    s: str
    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741
    T: int
    m: bool


class MarkEvent(msgspec.Struct):
    """A markPriceUpdate event."""

    E: int
    s: str
    p: float
    i: float = 0.0
    r: str = ""
    T: int = 0


class ForceOrder(msgspec.Struct):
    """The order of a forceOrder event."""

    s: str
    S: str
    q: float
    p: float
    ap: float
    T: int
    z: float = 0.0


class ForceOrderEvent(msgspec.Struct):
    """A forceOrder event; `st` tells the futures markets apart where both come in one stream."""

    E: int
    o: ForceOrder
    st: int = 0


class ContractEvent(msgspec.Struct):
    """A contractInfo event."""

    s: str
    cs: str = ""
    st: int = 0


class Answer(msgspec.Struct):
    """What the exchange answers to SUBSCRIBE and UNSUBSCRIBE."""

    id: int | None = None
    error: dict[str, object] | None = None


_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
KLINE = msgspec.json.Decoder(KlineEvent, strict=False)
TRADE = msgspec.json.Decoder(TradeEvent)
MARK = msgspec.json.Decoder(MarkEvent, strict=False)
FORCE_ORDER = msgspec.json.Decoder(ForceOrderEvent, strict=False)
CONTRACT = msgspec.json.Decoder(ContractEvent)
ANSWER = msgspec.json.Decoder(Answer)
