"""Gap repair: what the streams did not bring is read over REST, in small pages, with priority."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from alphaqcm.data_collection.errors import BadSymbol, Banned, NoAnswer
from alphaqcm.data_collection.exchange.answers import KlinePage
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.exchange.fetcher import FINAL_AFTER_MS, final_end
from alphaqcm.data_collection.exchange.pages import Page
from alphaqcm.data_collection.live.bars.book import Candle
from alphaqcm.data_collection.live.bars.keeper import Keeper
from alphaqcm.data_collection.live.events import BarSource
from alphaqcm.data_collection.live.files.tables import VALUES

ROUNDS, ROUND_WAIT = 3, 10.0  # seconds
PAGE = 99  # candles: what a request of weight 1 may give
SETTLED_MS = 10_000
"""A candle read sooner after its close is read once more: the exchange may still change it."""

_SILENT_EVERY = 10  # checks of which one asks for a symbol that told nothing for long
_SILENT_AFTER = 5

Fetch = Callable[[str, Page], Awaitable[KlinePage]]


@dataclass(slots=True)
class Repairer:
    """Mends symbols in the order they were asked for, a few at once."""

    keeper: Keeper
    clock: ExchangeClock
    fetch: Fetch
    workers: int
    unknown: Callable[[str], None] = lambda _: None  # the exchange does not know the symbol
    _line: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    _asked: set[str] = field(default_factory=set)
    _silent: dict[str, int] = field(default_factory=dict)
    _again: set[asyncio.Task[None]] = field(default_factory=set)

    def request(self, symbol: str) -> None:
        """A candle of the symbol is missing."""
        if symbol not in self._asked:
            self._asked.add(symbol)
            self._line.put_nowait(symbol)

    def check(self, symbols: list[str]) -> list[str]:
        """Ask for symbols that are late at a boundary; those that were not late before."""
        for symbol in symbols:
            checks = self._silent.get(symbol, 0)
            if checks < _SILENT_AFTER or checks % _SILENT_EVERY == 0:
                self.request(symbol)
            if checks:
                self._silent[symbol] = checks + 1
        return [symbol for symbol in symbols if symbol not in self._silent]

    @property
    def open(self) -> int:
        """Symbols that are being mended or wait for it."""
        return len(self._asked)

    async def run(self) -> None:
        """Mend until cancelled."""
        for symbol in self._asked - set(self._line._queue):  # type: ignore[attr-defined]
            self._line.put_nowait(symbol)  # at work when a failure ended the part
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.workers):
                    group.create_task(self._work())
        finally:
            for task in self._again:
                task.cancel()

    async def _work(self) -> None:
        while True:
            symbol = await self._line.get()
            await self.mend(symbol)
            self._asked.discard(symbol)
            book = self.keeper.books.get(symbol)
            if book is not None and book.waiting and symbol not in self._silent:
                self.request(symbol)  # something came while it was at work

    async def mend(self, symbol: str, rounds: int = ROUNDS) -> bool:
        """Read what is missing up to now; whether the symbol is complete."""
        if symbol not in self.keeper.books:
            return False
        if self._silent.get(symbol) and not self.keeper.books[symbol].waiting:
            rounds = 1
        self.keeper.metrics.repairs += 1
        done = 0
        while symbol in self.keeper.books:
            await self._until_final(symbol)
            try:
                progress = await self._page(symbol)
            except BadSymbol:
                self.unknown(symbol)
                return False
            except Banned as ban:
                self.keeper.alert("banned", f"{ban}", "")
                await self.clock.sleep_until(ban.until)
                continue
            except NoAnswer as error:
                self.keeper.alert("rest", f"{error}", "")
                progress = False
            if self._complete(symbol):
                self._silent.pop(symbol, None)
                return True
            if progress:
                continue
            done += 1
            if done >= rounds:
                break
            await self.clock.sleep(ROUND_WAIT)
        self._silent[symbol] = self._silent.get(symbol, 0) + 1
        return False

    def _complete(self, symbol: str) -> bool:
        book = self.keeper.books.get(symbol)
        if book is None:
            return True
        end = final_end(self.clock.now_ms(), book.interval_ms)
        return book.expected_ms >= end and not book.waiting

    async def _until_final(self, symbol: str) -> None:
        """Wait out the moment after a close in which REST may not have the candle yet."""
        book = self.keeper.books[symbol]
        final_ms = book.expected_ms + book.interval_ms + FINAL_AFTER_MS
        if 0 < final_ms - self.clock.now_ms() <= FINAL_AFTER_MS:
            await self.clock.sleep_until(final_ms / 1000)

    async def _page(self, symbol: str) -> bool:
        """One page from the first missing candle on; whether it brought the symbol forward."""
        book = self.keeper.books[symbol]
        begin = book.expected_ms
        end = min(final_end(self.clock.now_ms(), book.interval_ms), begin + PAGE * book.interval_ms)
        if end <= begin:
            return False
        page = await self.fetch(symbol, Page(begin, end, book.interval_ms))
        if symbol not in self.keeper.books:
            return False
        read_ms = self.clock.now_ms()
        opens = self._offer(symbol, page)
        if opens:
            self.keeper.absent(symbol, opens[-1])
        self.settle(symbol, opens, read_ms)
        return book.expected_ms > begin

    def settle(self, symbol: str, opens: list[int], read_ms: int) -> None:
        """Read those candles once more that were read soon after their close."""
        early = [one for one in opens if read_ms - one - self.keeper.interval_ms < SETTLED_MS]
        if early:
            task = asyncio.create_task(self._read_again(symbol, early))
            self._again.add(task)
            task.add_done_callback(self._again.discard)

    def _offer(self, symbol: str, page: KlinePage) -> list[int]:
        opens = (page.candles["candle_begin_time"].dt.epoch("ms")).to_list()
        values = page.candles.select(VALUES).rows()
        for open_ms, row in zip(opens, values, strict=True):
            candle = Candle(open_ms, tuple(float(one) for one in row), BarSource.REST)
            offer = self.keeper.offer(symbol, candle)
            self.keeper.metrics.repaired_bars += bool(offer.taken)
        return [int(one) for one in opens]

    async def _read_again(self, symbol: str, opens: list[int]) -> None:
        interval_ms = self.keeper.interval_ms
        await self.clock.sleep_until((opens[-1] + interval_ms + SETTLED_MS + 500) / 1000)
        try:
            page = await self.fetch(symbol, Page(opens[0], opens[-1] + interval_ms, interval_ms))
        except (BadSymbol, Banned, NoAnswer) as error:
            self.keeper.alert("rest", f"{symbol} could not be read once more: {error}", "")
            return
        if symbol in self.keeper.books:
            self._offer(symbol, page)
