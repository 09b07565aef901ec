"""Brings history in: the archive's months first, then what the archive lacks over REST.

Nothing is kept of where a backfill stands but the files themselves: a month file says which archive
files it is made of, a file of the candle store which time was asked for. Whatever ends a backfill,
the next one goes on with what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import polars as pl

from alphaqcm.data_collection.build.candles.fetch import (
    FetchJob,
    SymbolPlan,
    fetch_jobs,
    first_error,
)
from alphaqcm.data_collection.build.candles.spans import Stretch, subtract
from alphaqcm.data_collection.build.candles.store import CandleStore
from alphaqcm.data_collection.build.run.task_graph import symbol_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import no_gate
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner, open_task_runner
from alphaqcm.data_collection.exchange.endpoints import TRADE_TYPE_OF_MARKET
from alphaqcm.data_collection.exchange.fetcher import BinanceFetcher, final_end
from alphaqcm.data_collection.exchange.pages import plan_pages
from alphaqcm.data_collection.marketstore.config import FeederConfig
from alphaqcm.data_collection.marketstore.feeder.recent import Values
from alphaqcm.data_collection.process.root_lock import RootPart, hold_root
from alphaqcm.pipeline.candles.schema import PRICES, QUANTITIES
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.errors import BadName
from alphaqcm.pipeline.storage.artifact import read_fingerprint
from alphaqcm.pipeline.storage.layout import Layout

MINUTE_MS: Final = 60_000
_TYPES: Final = ("klines:1m",)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Places:
    """Where data is kept and where it comes from."""

    root: Path
    source: str  # the archive, a mirror or a directory


class Backfill:
    """One feeder's history."""

    def __init__(
        self, config: FeederConfig, places: Places, fetcher: BinanceFetcher, say: Say
    ) -> None:
        self._config = config
        self._places = places
        self._fetcher = fetcher
        self._say = say
        self._layout = Layout(places.root, config.market)
        self._store = CandleStore(places.root, TRADE_TYPE_OF_MARKET[config.market], "1m")
        self._stopping = threading.Event()
        self._one_fetch = asyncio.Lock()

    async def run(self) -> None:
        """Everything of the configured range; raises `PipelineError`, and goes on when called."""
        await self._fetcher.client.server_time(self._config.market)
        span = self.span()
        try:
            await asyncio.to_thread(self._archive, span)
        except asyncio.CancelledError:
            self._stopping.set()
            raise
        await self.fetch_missing(self._config.symbols, span)

    def span(self) -> Stretch:
        """The configured range up to the exchange's last final minute, in milliseconds."""
        own = self._config.backfill
        newest = final_end(self._fetcher.client.clock.now_ms(), MINUTE_MS)
        end = newest if own.end_ms is None else min(newest, own.end_ms)
        return own.start_ms, max(own.start_ms, -(-end // MINUTE_MS) * MINUTE_MS)

    async def fetch_missing(self, symbols: Sequence[str], span: Stretch) -> None:
        """Ask REST for what neither the archive's months nor the store have of the range.

        A symbol is written after each `batch_size` candles. Raises `ExchangeError`, `RootBusy`.
        """
        async with self._one_fetch:
            await self._fetch_missing(symbols, span)

    async def _fetch_missing(self, symbols: Sequence[str], span: Stretch) -> None:
        listed = {one.symbol: one.onboardDate for one in await self._fetcher.symbols()}
        unknown = [symbol for symbol in symbols if symbol not in listed]
        if unknown:
            self._say("not traded at the exchange: " + ", ".join(unknown))
        plans = []
        for symbol in symbols:
            begin = -(-max(span[0], listed.get(symbol, span[1])) // MINUTE_MS) * MINUTE_MS
            missing = await asyncio.to_thread(self._missing, symbol, (begin, span[1]))
            if missing:
                plans.append((symbol, missing))
        if not plans:
            return
        minutes = sum(b - a for _, missing in plans for a, b in missing) // MINUTE_MS
        self._say(f"{minutes:,} minutes of {len(plans)} symbols to fetch over REST")
        held = hold_root(self._layout.temp, exclusive=True, part=RootPart.CANDLES)
        with contextlib.ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, held)  # it may wait for others
            waiting = iter(plans)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._config.backfill.parallelism):
                        group.create_task(self._work(waiting))
            except BaseExceptionGroup as errors:
                raise first_error(errors) from errors

    def stored(self, symbol: str, begin_us: int, end_us: int) -> dict[int, Values]:
        """The store's minutes that begin in [begin_us, end_us): values by begin."""
        held = self._store.read(symbol)
        if held is None:
            return {}
        begin = pl.col("candle_begin_time").dt.epoch("us")
        rows = held.candles.filter(begin >= begin_us, begin < end_us)
        values = rows.select(begin, *PRICES, *QUANTITIES).iter_rows()
        return {row[0]: row[1:] for row in values}

    async def _work(self, waiting: Iterable[tuple[str, list[Stretch]]]) -> None:
        step = self._config.backfill.batch_size * MINUTE_MS
        newest = final_end(self._fetcher.client.clock.now_ms(), MINUTE_MS)
        for symbol, missing in waiting:
            for begin, end in missing:
                for left in range(begin, end, step):
                    part = (left, min(left + step, end))
                    pages = tuple(plan_pages(self._fetcher.market, MINUTE_MS, *part))
                    plan = SymbolPlan(symbol, pages, part)
                    job = FetchJob(self._fetcher, self._store, (plan,), newest)
                    await fetch_jobs([job], lambda _: None)

    def _missing(self, symbol: str, span: Stretch) -> list[Stretch]:
        if span[0] >= span[1]:
            return []
        taken = [*self._archived(symbol), *(one.stretch for one in self._store.covered(symbol))]
        return subtract(span, taken)

    def _archived(self, symbol: str) -> list[Stretch]:
        """The time of the archive files that the symbol's months are made of."""
        found = []
        for path in (self._layout.months(DataType.KLINES, "1m") / symbol).glob("*.parquet"):
            fingerprint = read_fingerprint(path)
            for item in fingerprint.inputs if fingerprint else ():
                try:
                    period = ArchiveFile.parse(item.key).period
                except BadName:  # an input that is no file of the archive covers no time
                    continue
                found.append((period.start_us // 1000, period.end_us // 1000))
        return found

    def _archive(self, span: Stretch) -> None:
        """Make the month files of the range that are not current, one after another."""
        if span[0] >= span[1]:
            return
        settings = RunSettings(
            self._config.market,
            self._config.symbols,
            _whole_months(_day(span[0]), _day(span[1] - 1)),
            self._places.root,
            self._places.source,
            types=_TYPES,
            fetch={"connections": 8},
        )
        with (
            hold_root(settings.layout.temp, exclusive=False),
            open_task_runner(settings, say=self._say) as runner,
        ):
            for symbol in settings.symbols:
                if self._stopping.is_set():
                    return
                self._make_months(runner, symbol)

    def _make_months(self, runner: TaskRunner, symbol: str) -> None:
        made = 0
        for task in symbol_tasks(replace(runner.settings, symbols=(symbol,)), symbol):
            if self._stopping.is_set():
                return
            if runner.current(task) is None:
                made += runner.perform(task, no_gate).built
        if made:
            self._say(f"{symbol}: {made} months of the archive")


def _whole_months(first: date, last: date) -> DateRange:
    """The months of a range as a whole: a month file never gets narrower than it was."""
    return DateRange(Period.month(first).start, Period.month(last).last)


def _day(moment_ms: int) -> date:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).date()
