"""The streams that config.json asks for beside the candles, on connections of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alphaqcm.data_collection.live.config import ExtraStream
from alphaqcm.data_collection.live.events import Control, ControlKind, Event, Liquidation, MarkPrice
from alphaqcm.data_collection.live.extra.trades import Trades
from alphaqcm.data_collection.live.sockets.frames import FORCE_ORDER, MARK, Topic
from alphaqcm.data_collection.live.sockets.receiver import Receiver, ReceiverSettings
from alphaqcm.data_collection.live.sockets.routes import (
    FORCE_ORDERS,
    ST,
    mark_stream,
    trade_stream,
)
from alphaqcm.pipeline.domain.registry import Market

if TYPE_CHECKING:
    from alphaqcm.data_collection.live.service import LiveClient


class ExtraStreams:
    """Follows the client's symbols; publishes trades, mark prices and liquidations."""

    def __init__(self, client: LiveClient) -> None:
        config = client.config
        self._client = client
        self._marked: dict[str, int] = {}
        self._wanted = {
            one
            for one in config.streams
            if one is ExtraStream.AGG_TRADE or client.market is not Market.SPOT
        }
        self.trades = Trades(client.market, client.bus, client.client, client.alerts.tell)
        self.receiver = Receiver(
            ReceiverSettings(
                client.market, config.addresses.socket(client.market), config.interval,
                config.num_socket_listeners,
            ),
            client.socket_session, client.clock, self._hear, self._restored, client.alerts.tell,
        )  # fmt: skip

    def start(self) -> None:
        """Subscribe what is followed now, and add the parts that do the work."""
        client = self._client
        if not self._wanted:
            return
        symbols = list(client.keeper.books)
        self.receiver.prepare(len(symbols) * len(self._wanted - {ExtraStream.FORCE_ORDER}))
        if ExtraStream.FORCE_ORDER in self._wanted:
            self.receiver.groups[0].wanted[FORCE_ORDERS] = None
        for symbol in symbols:
            self._add(symbol)
        client.bus.subscribe(self._on_event)
        client.supervisor.add("trades", self.trades.run)
        for group in self.receiver.groups:
            client.supervisor.add(f"stream {group.number}", group.run)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Control):
            if event.kind is ControlKind.LISTED:
                self._add(event.symbol)
            elif event.kind is ControlKind.DELISTED:
                self.receiver.remove(event.symbol)
                self.trades.remove(event.symbol)
        elif ExtraStream.AGG_TRADE in self._wanted:
            self.trades.on_event(event)

    def _add(self, symbol: str) -> None:
        names = []
        if ExtraStream.AGG_TRADE in self._wanted:
            names.append(trade_stream(symbol))
            recorder = self._client.recorder
            last = recorder.last_trade_id(symbol) if recorder is not None else None
            self.trades.add(symbol, last)
        if ExtraStream.MARK_PRICE in self._wanted:
            names.append(mark_stream(symbol))
        if names:
            self.receiver.add(symbol, names)

    def _hear(self, topic: Topic, raw: bytes, received_ns: int) -> None:
        market, bus = self._client.market, self._client.bus
        self._client.metrics.events[topic.name.lower()] += 1
        if topic is Topic.TRADE:
            self.trades.hear(raw, received_ns)
        elif topic is Topic.MARK and ExtraStream.MARK_PRICE in self._wanted:
            mark = MARK.decode(raw)
            if self._marked.get(mark.s, 0) >= mark.E:
                return  # the pulse of another connection
            self._marked[mark.s] = mark.E
            rate = float(mark.r) if mark.r else None
            bus.publish(
                MarkPrice(
                    market, mark.s, mark.E * 1000, mark.p, mark.i, rate, mark.T * 1000, received_ns
                )
            )
        elif topic is Topic.FORCE_ORDER:
            event = FORCE_ORDER.decode(raw)
            order = event.o
            if event.st in (0, ST[market]) and order.s in self._client.keeper.books:
                bus.publish(
                    Liquidation(
                        market, order.s, order.T * 1000, order.S, order.p, order.ap,
                        order.z or order.q, received_ns,
                    )
                )  # fmt: skip

    def _restored(self, symbols: Sequence[str]) -> None:
        """The next trade, or the next candle's count, shows what was missed."""
