"""All streams of one market: symbols spread over groups, each group kept alive by itself."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import aiohttp

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.sockets.connection import (
    Counters,
    End,
    Hear,
    Patience,
)
from alphaqcm.data_collection.live.sockets.group import Group, GroupParts, RouteProbe
from alphaqcm.data_collection.live.sockets.limiter import RateLimiter
from alphaqcm.data_collection.live.sockets.routes import (
    CONNECTS,
    CONNECTS_WINDOW,
    LIFE,
    STREAMS_A_CONNECTION,
)
from alphaqcm.pipeline.domain.registry import Market

_USUAL = 100  # streams a connection, so that new listings find room
_DEAF_TRIES = 2


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """Where to connect, and how patiently; times are seconds of the exchange's clock."""

    market: Market
    base: str  # without the route
    interval: str
    listeners: int = 8
    life: float = LIFE
    patience: Patience = field(default_factory=Patience)
    routes: tuple[str, ...] = ()  # other ones than those of candles and trades


class Receiver:
    """Subscribes streams of symbols, and tells when a group lost frames.

    `trades` tells how many trades a second symbols have whose candles are subscribed.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        session: aiohttp.ClientSession,
        clock: ExchangeClock,
        hear: Hear,
        restored: Callable[[Sequence[str]], None],
        alert: Callable[[str, str], None],
        trades: Callable[[Iterable[str]], float] = lambda _: 0.0,
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self.probe = RouteProbe(settings.market, routes=settings.routes)
        self.groups: list[Group] = []
        self._clock, self._restored, self._alert = clock, restored, alert
        self._streams_of: dict[str, tuple[Group, tuple[str, ...]]] = {}
        self._deaf: dict[int, int] = {}
        self._parts = GroupParts(
            session=session,
            clock=clock,
            base=settings.base,
            probe=self.probe,
            connects=RateLimiter(clock, CONNECTS, CONNECTS_WINDOW),
            counters=self.counters,
            kline_mark=f'"i":"{settings.interval}"'.encode(),
            hear=hear,
            lost=self._lost,
            restored=lambda group: self._restored(self.symbols_of(group)),
            life=settings.life,
            patience=settings.patience,
            trades=lambda group: trades(self.symbols_of(group)),
        )

    def prepare(self, expected_streams: int) -> None:
        """Make as many groups as the streams need, and at least as many as were asked for."""
        count = max(self.settings.listeners, math.ceil(expected_streams / _USUAL))
        self.groups = [Group(number, self._parts) for number in range(count)]

    def add(self, symbol: str, streams: Iterable[str]) -> None:
        """Subscribe the streams of a symbol; they share one connection."""
        names = tuple(streams)
        # Python's own hash differs from run to run
        group = self.groups[zlib.crc32(symbol.encode()) % len(self.groups)]
        if len(group.wanted) + len(names) > STREAMS_A_CONNECTION:
            group = min(self.groups, key=lambda one: len(one.wanted))
        self._streams_of[symbol] = (group, names)
        group.wanted |= dict.fromkeys(names)
        group.refresh()

    def remove(self, symbol: str) -> None:
        """Unsubscribe the streams of a symbol."""
        group, names = self._streams_of.pop(symbol, (None, ()))
        if group is not None:
            for name in names:
                group.wanted.pop(name, None)
            group.refresh()

    def symbols_of(self, group: Group) -> list[str]:
        """The symbols whose streams come over a group."""
        return [symbol for symbol, (own, _) in self._streams_of.items() if own is group]

    @property
    def live(self) -> int:
        """Groups whose frames come."""
        return sum(group.live for group in self.groups)

    async def check_deaf(self, closed_at: float, traded: frozenset[str]) -> None:
        """End connections that were live at a close (`elapsed` seconds) and told no candle since.

        `traded` are the symbols of which candles must come.
        """
        for group in self.groups:
            connection = group.connection
            if connection is None or not traded.intersection(self.symbols_of(group)):
                continue
            if connection.klines.last >= closed_at:
                self._deaf.pop(group.number, None)
            elif connection.live_since < closed_at:
                tries = self._deaf[group.number] = self._deaf.get(group.number, 0) + 1
                if tries <= _DEAF_TRIES:
                    await group.restart(End.DEAF)

    def _lost(self, group: Group, why: End) -> None:
        text = f"connection {group.number}: {why}"
        if why in (End.WRONG_ROUTE, End.NO_CANDLES):
            text += f"; the route is {self.probe.route} now"
        self._alert(f"socket {why}", text)
