"""A whole fetch: ask what is traded, seed from the archive, plan, fetch, and tell how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import orjson

from alphaqcm.data_collection.archive.archive import Archive
from alphaqcm.data_collection.build.candles.fetch import (
    FetchJob,
    SymbolResult,
    fetch_jobs,
    plan_symbols,
)
from alphaqcm.data_collection.build.candles.request import (
    CandleRequest,
    choose_symbols,
    clip_to_listing,
    resolve_range,
)
from alphaqcm.data_collection.build.candles.seed import Seeded, seed_store
from alphaqcm.data_collection.build.candles.spans import Stretch, text
from alphaqcm.data_collection.build.candles.store import FOLDER, CandleStore
from alphaqcm.data_collection.errors import Banned, UsageError
from alphaqcm.data_collection.exchange.client import RestClient
from alphaqcm.data_collection.exchange.endpoints import POOL_OF_MARKET, TRADE_TYPE_OF_MARKET
from alphaqcm.data_collection.exchange.fetcher import BinanceFetcher
from alphaqcm.data_collection.exchange.pages import shortest_seconds
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.storage.atomic_write import write_bytes

OpenArchive = Callable[[], Archive]


class Watcher(Protocol):
    """Who is told how a fetch goes."""

    def say(self, line: str) -> None:
        """A line for the reader."""

    def planned(self, jobs: Sequence[FetchJob]) -> None:
        """The fetch is about to begin."""

    def page(self, job: FetchJob) -> None:
        """A page was answered."""


@dataclass(slots=True)
class MarketPlan:
    """One market: its fetcher, store, symbols and the time wanted of each."""

    fetcher: BinanceFetcher
    store: CandleStore
    spans: list[tuple[str, Stretch]]
    later: list[str]  # listed after the range
    damaged: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is known before a page is asked for."""

    markets: list[MarketPlan]
    span: Stretch
    newest_end_ms: int

    def jobs(self) -> list[FetchJob]:
        """The pages that the stores lack."""
        return [
            FetchJob(
                one.fetcher,
                one.store,
                plan_symbols(one.fetcher, one.store, one.spans),
                self.newest_end_ms,
            )
            for one in self.markets
        ]


async def prepare(client: RestClient, request: CandleRequest, root: Path) -> Prepared:
    """Ask time, symbols and limits, choose symbols and ranges; raises `UsageError`."""
    fetchers = {
        market: BinanceFetcher(TRADE_TYPE_OF_MARKET[market], client=client)
        for market in request.markets
    }
    infos = dict(
        zip(fetchers, await asyncio.gather(*(f.symbols() for f in fetchers.values())), strict=True)
    )
    chosen = choose_symbols(infos, request)
    stores = {
        market: CandleStore(root, TRADE_TYPE_OF_MARKET[market], request.interval)
        for market in fetchers
    }
    interval_ms = next(iter(stores.values())).interval_ms
    span = resolve_range(request, client.clock.now_ms(), interval_ms)
    plans = []
    for market, fetcher in fetchers.items():
        spans, later = clip_to_listing(chosen[market], span, interval_ms)
        plans.append(MarketPlan(fetcher, stores[market], spans, later))
    if not any(plan.spans for plan in plans):
        names = [name for plan in plans for name in plan.later]
        raise UsageError(
            f"--start {text(span[0])} --end {text(span[1])}",
            expected="a range after a symbol was listed",
            found="it ends before any was: " + (", ".join(names[:5]) or "no symbol is traded"),
        )
    return Prepared(plans, span, span[1])


async def fetch_markets(
    client: RestClient,
    request: CandleRequest,
    root: Path,
    watcher: Watcher,
    open_archive: OpenArchive | None = None,
) -> dict[str, list[SymbolResult]]:
    """Fetch everything that is missing; results by trade type."""
    prepared = await prepare(client, request, root)
    for plan in prepared.markets:
        for symbol, _ in plan.spans:
            moved = plan.store.set_aside(symbol)
            if moved is not None:
                watcher.say(f"{plan.store.path(symbol)} is damaged: kept as {moved.name}")
        if plan.later:
            watcher.say(
                f"{plan.store.trade_type}: listed after the range, left out: "
                + ", ".join(plan.later[:5])
                + (f" and {len(plan.later) - 5} more" if len(plan.later) > 5 else "")
            )
    if open_archive is not None:
        await asyncio.to_thread(seed_markets, prepared, {}, open_archive, watcher)
    jobs = prepared.jobs()
    watcher.planned(jobs)
    return await fetch_jobs(jobs, watcher.page)


def seed_markets(
    prepared: Prepared,
    more: Mapping[Market, Sequence[tuple[str, Stretch]]],
    open_archive: OpenArchive,
    watcher: Watcher,
) -> None:
    """Fill the stores from the archive; `more` are symbols that the exchange does not trade."""
    with open_archive() as archive:
        for plan in prepared.markets:
            done: list[Seeded] = []
            market = plan.fetcher.market
            now = text(plan.fetcher.client.clock.now_ms())
            spans = [*plan.spans, *more.get(market, ())]
            seed_store(archive, plan.store, market, spans, now, done.append)
            for one in done:
                for problem in one.problems:
                    watcher.say(f"not used: {problem}")
            watcher.say(
                f"{plan.store.trade_type}: {sum(one.candles for one in done):,} candles of "
                f"{sum(one.candles > 0 for one in done):,} symbols from the archive"
            )


def describe(jobs: Sequence[FetchJob]) -> list[str]:
    """The plan in lines: symbols, pages, weight, and the least time that the limit allows."""
    lines = []
    for job in jobs:
        client, pool = job.fetcher.client, POOL_OF_MARKET[job.fetcher.market]
        used, cap = client.governor.used(pool), client.governor.cap(pool)
        least = shortest_seconds(job.weight, used, cap, client.clock.now())
        open_symbols = sum(bool(plan.pages) for plan in job.plans)
        lines.append(
            f"{job.store.trade_type}: {len(job.plans):,} symbols, {open_symbols:,} with missing "
            f"candles; {job.pages:,} pages of weight {job.weight:,} "
            f"({used:,} of {client.governor.limit(pool):,} used), at least {least:.0f} s"
        )
    return lines


_LAST = 32_503_680_000.0  # the year 3000: no moment of a ban that was written whole


@dataclass(frozen=True, slots=True)
class BanRecord:
    """Bans that were told, kept beside the store: a rerun does not ask before their end."""

    path: Path

    @classmethod
    def below(cls, root: Path) -> BanRecord:
        """Of a data root."""
        return cls(root / FOLDER / "_tmp" / "bans.json")

    def check(self, client: RestClient, markets: Sequence[Market]) -> None:
        """Raise `Banned` while a ban of one of the hosts lasts; nothing is asked."""
        known = self._read()
        for market in markets:
            host = client.bases.of(market)
            until = known.get(host, 0.0)
            if client.clock.now() < until:
                raise Banned(host, until, text(round(until * 1000)))

    def add(self, client: RestClient, markets: Sequence[Market], ban: Banned) -> None:
        """Keep a ban of the hosts that were asked."""
        hosts = dict.fromkeys((client.bases.of(market) for market in markets), ban.until)
        write_bytes(self.path, orjson.dumps(self._read() | hosts))

    def _read(self) -> dict[str, float]:
        try:
            told = orjson.loads(self.path.read_bytes())
            return {str(host): min(float(until), _LAST) for host, until in told.items()}
        except (OSError, ValueError, AttributeError):
            return {}  # none yet, or torn: the exchange tells again
