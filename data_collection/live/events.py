"""What the parts of the live client tell each other, and the bus that carries it in one process.

    receiver -> bar builder -> bus -> recorder, factors, whoever subscribes

Events are immutable. Times are microseconds since the epoch (UTC), values doubles made once from
the exchange's decimal texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol

from alphaqcm.pipeline.domain.registry import Market


class BarSource(IntEnum):
    """Where a bar came from; of two the larger number counts."""

    FLAT = 0  # nothing traded, filled where the configuration asks for it
    TRADES = 1  # own sum of the aggTrades that were received
    SOCKET = 2
    REST = 3
    ARCHIVE_DAILY = 4
    ARCHIVE_MONTHLY = 5


@dataclass(frozen=True, slots=True)
class ClosedBar:
    """One closed candle, told once a symbol, interval and open time, in order of its open times.

    A later telling of the same key is a revision: its values differ from those told before.
    """

    market: Market
    symbol: str
    interval: str
    open_time_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trade_num: int
    taker_buy_base_asset_volume: float
    taker_buy_quote_asset_volume: float
    source: BarSource
    received_ns: int = 0  # monotonic clock when its frame or answer came; 0: from a file

    @property
    def values(self) -> tuple[float, ...]:
        """The nine numbers in the order of the candle files' columns."""
        return (
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.quote_volume,
            float(self.trade_num),
            self.taker_buy_base_asset_volume,
            self.taker_buy_quote_asset_volume,
        )


@dataclass(frozen=True, slots=True)
class LiveTrade:
    """One aggregated trade; of a symbol in order of its ids, none left out, none twice."""

    market: Market
    symbol: str
    agg_id: int
    first_id: int
    last_id: int
    time_us: int
    price: float
    quantity: float
    buyer_is_maker: bool
    price_text: str = ""  # as the exchange wrote them: what is summed exactly needs the digits
    quantity_text: str = ""
    received_ns: int = 0


@dataclass(frozen=True, slots=True)
class MarkPrice:
    """A mark price update; `funding_rate` is None where the contract pays none."""

    market: Market
    symbol: str
    time_us: int
    mark_price: float
    index_price: float
    funding_rate: float | None
    next_funding_time_us: int
    received_ns: int = 0


@dataclass(frozen=True, slots=True)
class Liquidation:
    """A forced order. The exchange tells only the latest one of a symbol in a second."""

    market: Market
    symbol: str
    time_us: int
    side: str  # SELL: a long is liquidated
    price: float
    average_price: float
    quantity: float
    received_ns: int = 0


class ControlKind(StrEnum):
    """What `Control` events tell."""

    STARTED = "started"  # warm: every symbol's history is in place
    STOPPED = "stopped"
    LISTED = "listed"
    DELISTED = "delisted"
    STATUS = "status"  # the symbol's trading status changed; `detail` has status
    GAP = "gap"  # the exchange has no bar at `time_us`
    REVISION = "revision"  # a bar's values changed after it was told; `detail` has old and new
    TRADED = "traded"  # every trade before `time_us` was told; `detail` has exact
    EXPIRED = "expired"  # run time `time_us` is over; `detail` has late


@dataclass(frozen=True, slots=True)
class Control:
    """Something that those who follow the data must know."""

    kind: ControlKind
    market: Market
    symbol: str = ""  # empty: of all
    time_us: int = 0
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FactorRow:
    """Factors of one symbol for one window, such as the wide table's live columns of an hour."""

    market: Market
    symbol: str
    interval: str
    start_us: int  # of the window
    values: Mapping[str, float | int | bool | str | None]


@dataclass(frozen=True, slots=True)
class FactorHour:
    """All rows of a window were told; `late` symbols are not among them."""

    market: Market
    interval: str
    start_us: int
    symbols: int
    late: tuple[str, ...]


Event = ClosedBar | LiveTrade | MarkPrice | Liquidation | Control | FactorRow | FactorHour
Subscriber = Callable[[Event], None]


class Bus(Protocol):
    """Carries events from those who publish to those who subscribe."""

    def publish(self, event: Event) -> None:
        """Give the event to every subscriber; a subscriber that fails stops no other."""
        ...

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call `callback` with every event from now on; what is returned ends that."""
        ...


class LocalBus:
    """A bus within one event loop: subscribers are called at once, in the order they came.

    What a subscriber raises goes to `failed` with the subscriber, never to the publisher.
    """

    def __init__(self, failed: Callable[[Subscriber, Exception], None]) -> None:
        self._failed = failed
        self._subscribers: dict[int, Subscriber] = {}
        self._next = 0

    def publish(self, event: Event) -> None:
        """Give the event to every subscriber."""
        for subscriber in list(self._subscribers.values()):
            try:
                subscriber(event)
            except Exception as error:  # noqa: BLE001 (one part's failure is not another's)
                self._failed(subscriber, error)

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call `callback` with every event from now on; what is returned ends that."""
        number, self._next = self._next, self._next + 1
        self._subscribers[number] = callback

        def end() -> None:
            self._subscribers.pop(number, None)

        return end
