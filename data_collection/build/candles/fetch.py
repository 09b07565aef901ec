"""Fetch candles of whole markets into the store: all pages planned, all asked at once.

Only what the store lacks is asked for. What was answered is kept however the fetch ends: each
symbol is written when it is complete, and the pages of unfinished ones when the fetch stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from alphaqcm.data_collection.build.candles.spans import Stretch, subtract, text
from alphaqcm.data_collection.build.candles.store import CandleStore, Covered
from alphaqcm.data_collection.errors import BadSymbol
from alphaqcm.data_collection.exchange.answers import KlinePage, Rejected
from alphaqcm.data_collection.exchange.fetcher import BinanceFetcher
from alphaqcm.data_collection.exchange.governor import IN_FLIGHT
from alphaqcm.data_collection.exchange.pages import Page, plan_pages, weight_of

SETTLE_MS = 10_000
"""The exchange may still correct a candle this long after its close: it is asked for after that."""

_AHEAD = 2 * IN_FLIGHT  # pages that wait for weight; more would only take memory


@dataclass(frozen=True, slots=True)
class SymbolPlan:
    """What is to be asked for of a symbol."""

    symbol: str
    pages: tuple[Page, ...]
    span: Stretch

    def weight(self, fetcher: BinanceFetcher) -> int:
        """What the pages cost."""
        return sum(weight_of(fetcher.market, page) for page in self.pages)


@dataclass(slots=True)
class SymbolResult:
    """What came of a symbol."""

    symbol: str
    pages: int = 0
    weight: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    delisted: bool = False
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FetchJob:
    """One market's fetch."""

    fetcher: BinanceFetcher
    store: CandleStore
    plans: tuple[SymbolPlan, ...]
    newest_end_ms: int  # end of the newest final candle when the job was planned

    @property
    def pages(self) -> int:
        """Pages to ask for."""
        return sum(len(plan.pages) for plan in self.plans)

    @property
    def weight(self) -> int:
        """What they cost together."""
        return sum(plan.weight(self.fetcher) for plan in self.plans)


def plan_symbols(
    fetcher: BinanceFetcher, store: CandleStore, spans: Sequence[tuple[str, Stretch]]
) -> tuple[SymbolPlan, ...]:
    """The pages that the store lacks of each symbol's span."""

    def pages(symbol: str, span: Stretch) -> Iterator[Page]:
        for begin, end in subtract(span, (part.stretch for part in store.covered(symbol))):
            yield from plan_pages(fetcher.market, store.interval_ms, begin, end)

    return tuple(SymbolPlan(symbol, tuple(pages(symbol, span)), span) for symbol, span in spans)


async def fetch_jobs(
    jobs: Sequence[FetchJob], progress: Callable[[FetchJob], object]
) -> dict[str, list[SymbolResult]]:
    """Work all markets off at once; results by trade type.

    `progress` is told of every answered page. The first error stops everything; what was answered
    until then is written first.
    """
    results: dict[str, list[SymbolResult]] = {job.store.trade_type: [] for job in jobs}
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                waiting = iter([plan for plan in job.plans if plan.pages])
                found = results[job.store.trade_type]
                longest = max((len(plan.pages) for plan in job.plans), default=1) or 1
                for _ in range(max(8, -(-_AHEAD // longest))):
                    group.create_task(_work(job, waiting, found, progress))
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
    return results


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single error in a group of them."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _work(
    job: FetchJob,
    waiting: Iterator[SymbolPlan],
    found: list[SymbolResult],
    progress: Callable[[FetchJob], object],
) -> None:
    for plan in waiting:
        found.append(await _Symbol(job, plan, progress).fetch())  # noqa: PERF401 - told one by one


class _Symbol:
    """The pages of one symbol on their way into its file."""

    def __init__(
        self, job: FetchJob, plan: SymbolPlan, progress: Callable[[FetchJob], object]
    ) -> None:
        self._job = job
        self._plan = plan
        self._progress = progress
        self._answered: list[tuple[Page, KlinePage]] = []
        self._result = SymbolResult(plan.symbol)

    async def fetch(self) -> SymbolResult:
        try:
            async with asyncio.TaskGroup() as group:
                for page in self._plan.pages:
                    group.create_task(self._page(page))
        except BaseException as error:
            refused = isinstance(error, BaseExceptionGroup) and error.split(BadSymbol)[1] is None
            if not refused or not await self._is_delisted():
                self._save()  # in this thread: the loop is about to end
                raise
            self._result.delisted = True
        await asyncio.to_thread(self._save)
        return self._result

    async def _page(self, page: Page) -> None:
        clock = self._job.fetcher.client.clock
        if page.end_ms == self._job.newest_end_ms:
            await clock.sleep_until((page.end_ms + SETTLE_MS) / 1000)
        found = await self._job.fetcher.page(self._plan.symbol, self._job.store.interval, page)
        self._answered.append((page, found))
        self._progress(self._job)

    async def _is_delisted(self) -> bool:
        """Whether the exchange has stopped to trade the symbol."""
        known = {one.symbol: one.state for one in await self._job.fetcher.symbols()}
        return known.get(self._plan.symbol) != "TRADING"

    def _save(self) -> None:
        """Write what was answered."""
        result, market = self._result, self._job.fetcher.market
        answered, self._answered = self._answered, []
        result.pages = len(answered)
        result.weight = sum(weight_of(market, page) for page, _ in answered)
        if not answered:
            return
        now = text(self._job.fetcher.client.clock.now_ms())
        covered = [
            Covered(page.begin_ms, page.end_ms, "rest", now, 1, weight_of(market, page))
            for page, _ in answered
        ]
        result.rejected = [one for _, found in answered for one in found.rejected]
        if result.rejected:
            self._job.store.quarantine(self._plan.symbol, result.rejected, now)
        frames = [found.candles for _, found in answered]
        result.report = self._job.store.add(self._plan.symbol, frames, covered)
