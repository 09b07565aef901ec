"""The trades of many listings as time passes: what the WebSocket side plays."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.process import TradeProcess
from alphaqcm.data_collection.simulation.exchange.tape.protocol import Tape
from alphaqcm.data_collection.simulation.exchange.tape.trades import Trades


@dataclass(frozen=True, slots=True)
class Batch:
    """Trades of some listings, listing by listing: rows [first, stop) are of one."""

    parts: list[tuple[Listing, int, int]]
    trades: Trades

    @classmethod
    def none(cls) -> Batch:
        """Nothing happened."""
        return cls([], Trades.none())

    def of(self, names: Container[tuple[Market, str]]) -> Batch:
        """What concerns these markets and symbols."""
        mine = [part for part in self.parts if (part[0].market, part[0].symbol) in names]
        if len(mine) == len(self.parts):
            return self
        if not mine:
            return Batch.none()
        parts, at = [], 0
        for listing, first, stop in mine:
            parts.append((listing, at, at + stop - first))
            at += stop - first
        rows = np.concatenate([np.arange(first, stop) for _, first, stop in mine])
        return Batch(parts, self.trades.take(rows))


class Flow(Protocol):
    """Trades of a fixed set of listings."""

    def between(self, start_ms: int, end_ms: int) -> Batch:
        """The trades of [start, end), later than all asked for before."""
        ...

    def prepare(self, now_ms: int) -> None:
        """Make what the next minutes need; may run beside `between`, on another thread."""
        ...


class PlainFlow:
    """Asks the tape listing by listing."""

    def __init__(self, tape: Tape, listings: Sequence[Listing]) -> None:
        self._tape, self._listings = tape, listings

    def between(self, start_ms: int, end_ms: int) -> Batch:
        """The trades of [start, end)."""
        parts, found, at = [], [], 0
        for listing in self._listings:
            trades = self._tape.trades(listing, start_ms, end_ms)
            if len(trades):
                parts.append((listing, at, at + len(trades)))
                found.append(trades)
                at += len(trades)
        return Batch(parts, Trades.joined(found))

    def prepare(self, now_ms: int) -> None:
        """Nothing to make."""


class GeneratedFlow:
    """Keeps the running block of every listing as one table, and makes the next one ahead."""

    def __init__(self, tape: TradeProcess, listings: Sequence[Listing]) -> None:
        self._tape, self._listings = tape, list(listings)
        self._blocks: dict[int, Trades] = {}
        self._start = np.array([one.onboard_ms for one in listings], dtype=np.int64)[:, None]
        self._end = np.array([one.end_ms for one in listings], dtype=np.int64)[:, None]

    def between(self, start_ms: int, end_ms: int) -> Batch:
        """The trades of [start, end)."""
        if not self._listings or end_ms <= start_ms:
            return Batch.none()
        width = self._tape.block_ms
        numbers = range(start_ms // width, (end_ms - 1) // width + 1)
        for old in [number for number in self._blocks if number < numbers[0]]:
            del self._blocks[old]
        batches = [self._of_block(number, start_ms, end_ms) for number in numbers]
        if len(batches) == 1:
            return batches[0]
        parts, at = [], 0
        for batch in batches:
            parts += [(one, first + at, stop + at) for one, first, stop in batch.parts]
            at += len(batch.trades)
        return Batch(parts, Trades.joined([batch.trades for batch in batches]))

    def prepare(self, now_ms: int) -> None:
        """Make the next block."""
        self._block(now_ms // self._tape.block_ms + 1)

    def _block(self, number: int) -> Trades:
        found = self._blocks.get(number)
        if found is None:
            size = len(self._listings)
            flat = self._tape.rows(self._listings, np.full(size, number, dtype=np.int64))
            found = Trades(*(getattr(flat, f.name).reshape(size, -1) for f in fields(Trades)))
            self._blocks[number] = found
        return found

    def _of_block(self, number: int, start_ms: int, end_ms: int) -> Batch:
        block = self._block(number)
        alive = (block.time >= self._start) & (block.time < self._end)
        row, column = np.nonzero((block.time >= start_ms) & (block.time < end_ms) & alive)
        if not len(row):
            return Batch.none()
        trades = Trades(*(getattr(block, f.name)[row, column] for f in fields(Trades)))
        cuts = np.flatnonzero(np.diff(row)) + 1
        firsts, stops = [0, *cuts.tolist()], [*cuts.tolist(), len(row)]
        parts = [
            (self._listings[int(row[first])], first, stop)
            for first, stop in zip(firsts, stops, strict=True)
        ]
        return Batch(parts, trades)


def flow_of(tape: Tape, listings: Sequence[Listing]) -> Flow:
    """The flow of a tape."""
    if isinstance(tape, TradeProcess):
        return GeneratedFlow(tape, listings)
    return PlainFlow(tape, listings)
