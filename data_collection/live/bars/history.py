"""History at the start: the local file if it is good, the archive if it is given, then REST."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alphaqcm.data_collection.errors import BadSymbol, Banned, NoAnswer
from alphaqcm.data_collection.exchange.answers import KlinePage
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.exchange.fetcher import final_end
from alphaqcm.data_collection.exchange.pages import Page, plan_pages
from alphaqcm.data_collection.live.bars.keeper import Keeper
from alphaqcm.data_collection.live.bars.series import Sources
from alphaqcm.data_collection.live.events import BarSource
from alphaqcm.data_collection.live.files.ready_files import ReadyFiles
from alphaqcm.data_collection.live.files.tables import VALUES, Numbers, Times

_TRY_AGAIN = 5.0  # seconds
Fetch = Callable[[str, Page], Awaitable[KlinePage]]
Part = tuple[Times, Numbers, BarSource]
ReadArchive = Callable[[str, int, int], Iterable[Part]]
"""Candles of a symbol of [begin, end) ms from the archive's files, the better ones first."""


@dataclass(slots=True)
class History:
    """Loads symbols in the order in which they were asked for, a few at once."""

    keeper: Keeper
    files: ReadyFiles
    delisted: Path
    clock: ExchangeClock
    fetch: Fetch
    workers: int
    settle: Callable[[str, list[int], int], None]
    unknown: Callable[[str], None]
    done: Callable[[str], None] = lambda _: None
    archive: ReadArchive | None = None
    holes: int = 0
    from_files: int = 0
    _line: asyncio.Queue[tuple[str, int]] = field(default_factory=asyncio.Queue)
    _pending: dict[str, int] = field(default_factory=dict)

    def request(self, symbol: str, listed_ms: int) -> None:
        """Load a symbol that is open in the keeper; `listed_ms` 0 means long ago."""
        self._pending[symbol] = listed_ms
        self._line.put_nowait((symbol, listed_ms))

    def begin_ms(self, listed_ms: int) -> int:
        """Open time of the oldest candle that is kept of a symbol."""
        step = self.keeper.interval_ms
        oldest = final_end(self.clock.now_ms(), step) - self.keeper.keep * step
        return max(oldest, listed_ms // step * step)

    async def run(self) -> None:
        """Load until cancelled."""
        while not self._line.empty():
            self._line.get_nowait()
        for asked in self._pending.items():  # those that a failure cut short are among them
            self._line.put_nowait(asked)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            symbol, listed_ms = await self._line.get()
            while symbol in self.keeper.starting:
                try:
                    await self._load(symbol, listed_ms)
                    break
                except BadSymbol:
                    self.unknown(symbol)
                    break
                except Banned as ban:
                    self.keeper.alert("banned", f"{ban}", "")
                    await self.clock.sleep_until(ban.until)
                except NoAnswer as error:
                    self.keeper.alert("rest", f"{error}", "")
                    await self.clock.sleep(_TRY_AGAIN)
            self._pending.pop(symbol, None)
            self.done(symbol)

    async def _load(self, symbol: str, listed_ms: int) -> None:
        keeper, step = self.keeper, self.keeper.interval_ms
        begin, end = self.begin_ms(listed_ms), final_end(self.clock.now_ms(), step)
        parts = await asyncio.to_thread(self._local, symbol, begin, end)
        known = np.array(sorted(keeper.notes.gaps(symbol)), dtype=np.int64)
        there = np.unique(np.concatenate([known, *(part[0] for part in parts)]))
        pages = [
            page
            for span in missing_spans(there, begin, end, step)
            for page in plan_pages(keeper.market, step, *span)
        ]
        found = await asyncio.gather(*(self.fetch(symbol, page) for page in pages))
        read_ms = self.clock.now_ms()
        parts += [_part_of(page) for page in found]
        times, values, sources = _merge(parts)
        fresh = [int(one) for one in np.concatenate([p[0] for p in parts if p[2] is BarSource.REST]
                                                    or [np.empty(0, np.int64)])]  # fmt: skip
        if symbol not in keeper.books:
            return
        self._note_holes(symbol, times, step)
        if keeper.fill_flat:
            times, values, sources = _merge([*parts, *_flat_parts(times, values, step)])
        expected = int(times[-1]) + step if len(times) else begin
        taken = keeper.books[symbol].begin(times, values, sources, expected)
        keeper.started(symbol, taken)
        self.settle(symbol, fresh, read_ms)

    def _local(self, symbol: str, begin: int, end: int) -> list[Part]:
        """What files have of [begin, end)."""
        path = self.files.path(symbol)
        kept = self.delisted / path.name
        if not path.exists() and kept.exists():  # listed again
            kept.replace(path)
        parts: list[Part] = []
        rows = self.files.read(symbol, self.keeper.interval_ms)
        if rows is not None:
            inside = (rows.open_ms >= begin) & (rows.open_ms < end)
            parts.append((rows.open_ms[inside], rows.values[inside], BarSource.SOCKET))
            self.from_files += int(inside.sum())
        if self.archive is not None:
            parts += self.archive(symbol, begin, end)
        return parts

    def _note_holes(self, symbol: str, times: Times, step: int) -> None:
        if not len(times):
            return
        every = np.arange(times[0], times[-1] + step, step)
        known = self.keeper.notes.gaps(symbol)
        holes = [int(one) for one in np.setdiff1d(every, times) if int(one) not in known]
        if holes:
            self.holes += len(holes)
            now_ms = self.clock.now_ms()
            self.keeper.notes.add_gaps(self.keeper.series_name, symbol, holes, now_ms, "history")


def missing_spans(there: Times, begin: int, end: int, step: int) -> list[tuple[int, int]]:
    """The parts [from, to) of [begin, end) of whose steps none is there; ms."""
    missing = np.setdiff1d(np.arange(-(-begin // step) * step, end, step), there)
    if not len(missing):
        return []
    cuts = np.flatnonzero(np.diff(missing) != step)
    starts = missing[np.concatenate(([0], cuts + 1))]
    stops = missing[np.concatenate((cuts, [len(missing) - 1]))] + step
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _part_of(page: KlinePage) -> Part:
    times = page.candles["candle_begin_time"].dt.epoch("ms").to_numpy()
    values = np.column_stack([page.candles[name].to_numpy().astype(np.float64) for name in VALUES])
    return times, values, BarSource.REST


def _flat_parts(times: Times, values: Numbers, step: int) -> list[Part]:
    """Candles without volume for the holes between others."""
    if not len(times):
        return []
    holes = np.setdiff1d(np.arange(times[0], times[-1], step), times)
    rows = np.zeros((len(holes), len(VALUES)))
    before = np.searchsorted(times, holes) - 1
    rows[:, :4] = values[before, 3][:, None]
    return [(holes, rows, BarSource.FLAT)]


def _merge(parts: list[Part]) -> tuple[Times, Numbers, Sources]:
    """Rows of all parts in order of time, of two the one of the better source."""
    if not parts:
        return np.empty(0, np.int64), np.empty((0, len(VALUES))), np.empty(0, np.uint8)
    times = np.concatenate([part[0] for part in parts])
    values = np.concatenate([part[1] for part in parts])
    sources = np.concatenate([np.full(len(part[0]), part[2], np.uint8) for part in parts])
    order = np.lexsort((-sources.astype(np.int16), times))
    times, values, sources = times[order], values[order], sources[order]
    first = np.ones(len(times), dtype=np.bool_)
    first[1:] = times[1:] != times[:-1]
    return times[first], values[first], sources[first]
