"""Writes the files of symbols whose candles have changed, a few at a time, the newest rows each."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.bars.book import Book
from alphaqcm.data_collection.live.files.ready_files import ReadyFiles
from alphaqcm.data_collection.live.files.tables import CandleRows
from alphaqcm.data_collection.live.watch.metrics import Metrics

_WRITERS = 2
_AGAIN_AFTER = 5.0  # seconds, where the disk is full


@dataclass(slots=True)
class Publisher:
    """`mark` a symbol, `run` writes it; a symbol marked again while it waits is written once."""

    files: ReadyFiles
    books: dict[str, Book]
    clock: ExchangeClock
    metrics: Metrics
    alert: Callable[[str, str], None]
    priority: Collection[str] = ()
    _marked: dict[str, float] = field(default_factory=dict)
    _first: dict[str, float] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _written: set[str] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def mark(self, symbol: str) -> None:
        """The symbol's candles have changed."""
        line = self._first if symbol in self.priority else self._marked
        line.setdefault(symbol, time.monotonic())
        self._changed.set()

    @property
    def waiting(self) -> int:
        """Symbols that are still to be written."""
        return len(self._first) + len(self._marked) + len(self._busy)

    async def run(self) -> None:
        """Write what is marked until cancelled."""
        self._busy.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(_WRITERS):
                group.create_task(self._write_all())

    async def drain(self) -> None:
        """Wait until nothing is marked."""
        while self.waiting:
            await asyncio.sleep(0.01)

    def write_rest(self) -> None:
        """Write what is still marked, without a loop; what cannot be written is left."""
        for symbol in (*self._first, *self._marked):
            book = self.books.get(symbol)
            if book is not None and len(book.series):
                with contextlib.suppress(OSError):
                    self.files.write(symbol, _rows(book), book.interval_ms)

    async def _write_all(self) -> None:
        while True:
            symbol, since = self._next()
            if symbol is None:
                self._changed.clear()
                await self._changed.wait()
                continue
            self._busy.add(symbol)
            try:
                await self._write(symbol, since)
            finally:
                self._busy.discard(symbol)

    def _next(self) -> tuple[str | None, float]:
        """The next symbol that no other writer is at."""
        for line in (self._first, self._marked):
            for symbol in line:
                if symbol not in self._busy:
                    return symbol, line.pop(symbol)
        return None, 0.0

    async def _write(self, symbol: str, since: float) -> None:
        book = self.books.get(symbol)
        if book is None or not len(book.series):
            return
        try:
            await asyncio.to_thread(self.files.write, symbol, _rows(book), book.interval_ms)
        except OSError as error:
            self.metrics.file_errors += 1
            self.alert("files", f"{symbol} cannot be written: {error.strerror or error}")
            await self.clock.sleep(_AGAIN_AFTER)
            self.mark(symbol)
            return
        self.metrics.files += 1
        if symbol in self._written:  # the first time comes with all others at the start
            self.metrics.to_file.add(time.monotonic() - since)
        self._written.add(symbol)


def _rows(book: Book) -> CandleRows:
    series = book.series
    return CandleRows(series.times(), series.rows(), book.complete_to_ms * 1000)
