"""The live client put together: streams, bars, files and the watch over them, in one process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from alphaqcm.data_collection.exchange.answers import KlinePage, SymbolInfo
from alphaqcm.data_collection.exchange.client import RestClient, create_aiohttp_session
from alphaqcm.data_collection.exchange.clock import ExchangeClock, default_clock
from alphaqcm.data_collection.exchange.fetcher import BinanceFetcher
from alphaqcm.data_collection.exchange.governor import Priority
from alphaqcm.data_collection.exchange.pages import Page
from alphaqcm.data_collection.live.bars.archive_files import ArchiveFiles
from alphaqcm.data_collection.live.bars.boundaries import Boundaries
from alphaqcm.data_collection.live.bars.history import History, ReadArchive
from alphaqcm.data_collection.live.bars.keeper import Keeper
from alphaqcm.data_collection.live.bars.repair import Fetch, Repairer
from alphaqcm.data_collection.live.bars.universe import Universe
from alphaqcm.data_collection.live.bus.publisher import ZmqPublisher
from alphaqcm.data_collection.live.config import ExtraStream, LiveConfig
from alphaqcm.data_collection.live.events import Bus, Control, ControlKind, LocalBus, Subscriber
from alphaqcm.data_collection.live.extra.streams import ExtraStreams
from alphaqcm.data_collection.live.factor_part import factors_of
from alphaqcm.data_collection.live.files.info_files import InfoFiles
from alphaqcm.data_collection.live.files.layout import LiveLayout
from alphaqcm.data_collection.live.files.notes import Notes
from alphaqcm.data_collection.live.files.publisher import Publisher
from alphaqcm.data_collection.live.files.ready_files import ReadyFiles
from alphaqcm.data_collection.live.record.recorder import Recorder
from alphaqcm.data_collection.live.sockets.connection import End
from alphaqcm.data_collection.live.sockets.frames import CONTRACT, Topic
from alphaqcm.data_collection.live.sockets.receiver import Receiver, ReceiverSettings
from alphaqcm.data_collection.live.sockets.routes import CONTRACT_INFO, LIFE, ST, kline_stream
from alphaqcm.data_collection.live.supervise import Supervisor
from alphaqcm.data_collection.live.watch.alerts import Alerts
from alphaqcm.data_collection.live.watch.clock_watch import ClockWatch
from alphaqcm.data_collection.live.watch.metrics import Metrics
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.pipeline.candles.window_grid import interval_us
from alphaqcm.pipeline.domain.registry import Market

if TYPE_CHECKING:
    from alphaqcm.data_collection.live.factor_engine import FactorEngine


@dataclass(frozen=True, slots=True)
class LiveParts:
    """What a test or a program may want to set."""

    clock: ExchangeClock | None = None
    bus: Bus | None = None
    data_root: Path | None = None  # where to record
    life: float = LIFE  # seconds after which a connection is replaced


class LiveClient:
    """One live directory at work: `async with` it, then `run`.

    `keeper`, `receiver`, `alerts` and `metrics` may be looked at by those who watch.
    """

    def __init__(self, base: Path, config: LiveConfig, parts: LiveParts | None = None) -> None:
        parts = parts or LiveParts()
        self.base, self.config = base, config
        self.log = Log("bmac")
        self.clock = parts.clock or default_clock()
        self.market: Market = config.trade_type.market
        self.layout = LiveLayout(base, config.trade_type.name, config.interval)
        self.metrics = Metrics()
        name = f"{config.trade_type.name} {config.interval}"
        self.alerts = Alerts(config.alerts, self.clock, name, self.log)
        self.bus = parts.bus or LocalBus(self._subscriber_failed)
        self.supervisor = Supervisor(self.clock, self.alerts.tell)
        self.started = asyncio.Event()
        self.recorder: Recorder | None = None
        self.factors: FactorEngine | None = None
        self._data_root, self._life = parts.data_root, parts.life

    async def __aenter__(self) -> LiveClient:
        """Ask what there is, clean up what a killed process left. Raises `ExchangeError`."""
        config = self.config
        self._make_folders()
        self.session = create_aiohttp_session(config.http_timeout_sec)
        self.socket_session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0),
            trust_env=True,
        )
        try:
            self.client = RestClient(
                self.session, config.addresses.rest, self.clock, lambda text: self._throttled(text)
            )
            self.fetcher = BinanceFetcher(config.trade_type.name, client=self.client)
            await self.client.server_time(self.market)
            info = await self.client.exchange_info(self.market)
            self._assemble()
            self._follow(info.symbols)
            self.recorder = self._record()
            self.factors = await factors_of(self, self._data_root)
            self.extra = ExtraStreams(self)
            self.extra.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def run(self) -> None:
        """Work until cancelled; raises what ends the whole."""
        if self._is_warm():
            self.started.set()
            self.bus.publish(Control(ControlKind.STARTED, self.market))
        try:
            await self.supervisor.run()
        finally:
            self.bus.publish(Control(ControlKind.STOPPED, self.market))

    def finish(self) -> None:
        """Write what is in memory and not yet in files; the loop of `run` has ended."""
        self.publisher.write_rest()

    async def _close(self) -> None:
        await self.session.close()
        await self.socket_session.close()

    def _make_folders(self) -> None:
        config, layout = self.config, self.layout
        self.files = ReadyFiles(layout.candles, config.save_type, config.fsync)
        self.files.recover()
        self.infos = InfoFiles(layout.exginfo, config.save_type, fsync=config.fsync)
        self.infos.recover()
        self.notes = Notes(layout.work)
        self.notes.load(layout.candles.name)
        if config.alias:  # strategies look under the name that config.json has
            link = self.base / f"{config.alias}_{config.interval}"
            if not link.exists():
                link.symlink_to(layout.candles.name)

    def _assemble(self) -> None:
        config = self.config
        step = interval_us(config.interval) // 1000
        self.keeper = Keeper(
            self.market, config.interval, step, config.num_candles, self.clock, self.bus,
            self.notes, self.metrics, self.alerts.tell, series_name=self.layout.candles.name,
            fill_flat=config.fill_flat,
        )  # fmt: skip
        self.publisher = Publisher(
            self.files, self.keeper.books, self.clock, self.metrics, self.alerts.tell,
            frozenset(config.priority_symbols),
        )  # fmt: skip
        self.repairer = Repairer(
            self.keeper, self.clock, self._fetch(Priority.REPAIR), config.num_rest_fetchers,
            self._unknown,
        )  # fmt: skip
        self.keeper.missing = self.repairer.request
        self.keeper.changed = self.publisher.mark
        self.history = History(
            self.keeper, self.files, self.layout.delisted, self.clock,
            self._fetch(Priority.BACKFILL), config.num_rest_fetchers, self.repairer.settle,
            self._unknown, self._history_done, self._archive(step),
        )  # fmt: skip
        self.universe = Universe(config)
        self.receiver = Receiver(
            ReceiverSettings(
                self.market, config.addresses.socket(self.market), config.interval,
                config.num_socket_listeners, self._life,
            ),
            self.socket_session, self.clock, self._hear, self._restored, self.alerts.tell,
            self.keeper.trades_a_second,
        )  # fmt: skip
        self.boundaries = Boundaries(self)
        self.clock_watch = ClockWatch(self.client, self.market, self.alerts.tell, self._woke)
        for name, part in (
            ("repair", self.repairer.run),
            ("files", self.publisher.run),
            ("history", self.history.run),
            ("boundaries", self.boundaries.run),
            ("alerts", self.alerts.run),
            ("clock", self.clock_watch.run),
        ):
            self.supervisor.add(name, part)
        if config.zmq_pub is not None:
            self.supervisor.add("zmq", self._tell_others)

    async def _tell_others(self) -> None:
        """Tell the bus to other processes until cancelled."""
        async with ZmqPublisher(self.config.zmq_pub or "", self.clock) as publisher:
            end = publisher.follow(self.bus)
            try:
                await asyncio.Event().wait()
            finally:
                end()

    def _archive(self, step: int) -> ReadArchive | None:
        config = self.config
        if config.archive_dir is None:
            return None
        return ArchiveFiles(
            config.archive_dir, self.market, config.interval, step, self.alerts.tell
        ).read

    def _record(self) -> Recorder | None:
        """The recorder, where a data root is given."""
        if self._data_root is None:
            return None
        recorder = Recorder(
            self._data_root, self.market, self.clock, self.alerts.tell,
            lambda: self.keeper.trading, ExtraStream.FORCE_ORDER in self.config.streams,
        )  # fmt: skip
        self.bus.subscribe(recorder.on_event)
        self.supervisor.add("recorder", recorder.run)
        return recorder

    def _follow(self, symbols: Sequence[SymbolInfo]) -> None:
        """Begin with the symbols that trade now."""
        change = self.universe.update(symbols, self.clock.now_ms())
        self.receiver.prepare(len(change.listed))
        if self.market is not Market.SPOT:
            self.receiver.groups[0].wanted[CONTRACT_INFO] = None
        first = {name: at for at, name in enumerate(self.config.priority_symbols)}
        for info in sorted(change.listed, key=lambda one: first.get(one.symbol, len(first))):
            self.list_symbol(info)
        missing = set(self.config.keep_symbols or ()) - set(self.universe.infos)
        if missing:
            named = ", ".join(sorted(missing)[:10])
            self.alerts.tell("config", f"keep_symbols that do not trade: {named}")
        for group in self.receiver.groups:
            self.supervisor.add(f"connection {group.number}", group.run)

    def list_symbol(self, info: SymbolInfo) -> None:
        """Follow a symbol from now on."""
        begin = self.history.begin_ms(info.onboardDate)
        self.keeper.open(info.symbol, begin)
        self.keeper.trading.add(info.symbol)
        self.receiver.add(info.symbol, (kline_stream(info.symbol, self.config.interval),))
        self.history.request(info.symbol, info.onboardDate)

    def end_symbol(self, symbol: str) -> None:
        """Follow a symbol no more; its files move aside."""
        self.receiver.remove(symbol)
        self.keeper.close(symbol)
        self.files.move(symbol, self.layout.delisted)

    def _fetch(self, priority: Priority) -> Fetch:
        interval = self.config.interval

        async def fetch(symbol: str, page: Page) -> KlinePage:
            return await self.fetcher.page(symbol, interval, page, priority)

        return fetch

    def _hear(self, topic: Topic, raw: bytes, received_ns: int) -> None:
        if topic is Topic.KLINE:
            self.keeper.hear(raw, received_ns)
        elif topic is Topic.CONTRACT:
            event = CONTRACT.decode(raw)
            if event.st in (0, ST.get(self.market)):
                self.boundaries.look_now()

    def _restored(self, symbols: Sequence[str]) -> None:
        """A connection is back: what closed meanwhile is read over REST."""
        now_ms, step = self.clock.now_ms(), self.keeper.interval_ms
        for symbol in symbols:
            book = self.keeper.books.get(symbol)
            if (
                book is not None
                and symbol in self.keeper.trading
                and symbol not in self.keeper.starting
                and book.expected_ms + step <= now_ms
            ):
                self.repairer.request(symbol)

    def _woke(self) -> None:
        for group in self.receiver.groups:
            if group.connection is not None:
                _background(group.restart(End.LOST))

    def _unknown(self, symbol: str) -> None:
        """The exchange's REST does not know a symbol that was followed."""
        self.keeper.trading.discard(symbol)
        self.keeper.starting.discard(symbol)
        self.alerts.tell("unknown", f"{symbol} is not known to the exchange any more", symbol)
        self.boundaries.look_now()

    def _history_done(self, symbol: str) -> None:
        if self.recorder is not None and symbol in self.keeper.books:
            self.recorder.fill(symbol, self.keeper.bars(symbol))
        if self.factors is not None and symbol in self.keeper.books:
            self.factors.fill(symbol, self.keeper.bars(symbol))
        if self._is_warm() and not self.started.is_set():
            self.started.set()
            self.bus.publish(Control(ControlKind.STARTED, self.market))
            self.log.event(
                "warm", symbols=len(self.keeper.books), bars_from_files=self.history.from_files
            )
            if self.history.holes:
                text = f"{self.history.holes} candles of history do not exist at the exchange"
                self.alerts.tell("history", text)

    def _is_warm(self) -> bool:
        return not self.keeper.starting

    def _throttled(self, text: str) -> None:
        self.alerts.tell("limits", text)

    def _subscriber_failed(self, subscriber: Subscriber, error: Exception) -> None:
        name = getattr(subscriber, "__qualname__", type(subscriber).__name__)
        self.alerts.tell("bus", f"{name} failed: {type(error).__name__}: {error}", name)


_tasks: set[asyncio.Task[None]] = set()


def _background(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def writable(base: Path) -> bool:
    """Whether the directory can be written."""
    return base.is_dir() and os.access(base, os.W_OK | os.X_OK)
