"""Trades and bars as whole numbers, and the exact aggregation of the one into the other.

Everything is int64 in the symbol's smallest units, so that every sum is exact. This is the oracle
that other code is held against: it shares nothing with the code that reads or folds candles.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trades:
    """Aggregated trades in the order of their ids; `time` in ms, amounts in smallest units."""

    time: Ints
    id: Ints
    price: Ints
    quantity: Ints
    amount: Ints  # price x quantity in quote units (base units for coin-margined)
    first_id: Ints
    last_id: Ints
    maker: Ints  # 1 where the buyer was the maker

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: slice | Ints | NDArray[np.bool_]) -> Self:
        """The rows that an index picks."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def between(self, start_ms: int, end_ms: int) -> Self:
        """Trades in [start, end)."""
        first, last = np.searchsorted(self.time, [start_ms, end_ms])
        return self.take(slice(int(first), int(last)))

    @classmethod
    def none(cls) -> Self:
        """No trades."""
        return cls(*(np.empty(0, dtype=np.int64) for _ in fields(cls)))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Parts one after the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.none()
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


@dataclass(frozen=True, slots=True)
class Bars:
    """Candles in order; a row's window is [start, end), times in ms, the rest in smallest units."""

    start: Ints
    end: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    amount: Ints
    count: Ints
    buy_volume: Ints
    buy_amount: Ints
    first_id: Ints  # -1 where there was no trade
    last_id: Ints

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: slice | Ints | NDArray[np.bool_]) -> Self:
        """The rows that an index picks."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def none(cls) -> Self:
        """No bars."""
        return cls(*(np.empty(0, dtype=np.int64) for _ in fields(cls)))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Parts one after the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.none()
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def bars_of_trades(trades: Trades, starts: Ints, ends: Ints, before: int | None) -> Bars:
    """One bar for each window [starts, ends) (sorted, apart), from trades sorted by time.

    A window without trades is flat at the close before it; `before` is the close before the first
    window (None: there was none, and flat windows at the beginning are left out).
    """
    if not len(starts):
        return Bars.none()
    first = np.searchsorted(trades.time, starts)
    last = np.searchsorted(trades.time, ends)
    busy = np.flatnonzero(last > first)
    size = len(starts)
    close = np.full(size, -1 if before is None else before, dtype=np.int64)
    known = np.zeros(size, dtype=np.bool_) if before is None else np.ones(size, dtype=np.bool_)
    totals = {name: np.zeros(size, dtype=np.int64) for name in ("v", "q", "n", "V", "Q")}
    ids = np.full((2, size), -1, dtype=np.int64)
    if len(busy):
        begins, stops = first[busy], last[busy]
        cuts = np.column_stack([begins, stops]).ravel()

        def each(values: Ints, reduce: np.ufunc) -> Ints:
            # reduceat's last cut runs to the end; a zero appended makes every cut a real index
            padded = np.append(values, values[-1:] if reduce is not np.add else 0)
            return np.asarray(reduce.reduceat(padded, cuts)[::2], dtype=np.int64)

        latest = np.zeros(size, dtype=np.int64)
        latest[busy] = busy
        latest = np.maximum.accumulate(latest)
        from_busy = np.arange(size) >= busy[0]
        closes = np.zeros(size, dtype=np.int64)
        closes[busy] = trades.price[stops - 1]
        close = np.where(from_busy, closes[latest], close)
        known |= from_busy
        taker = trades.maker == 0
        totals["v"][busy] = each(trades.quantity, np.add)
        totals["q"][busy] = each(trades.amount, np.add)
        totals["n"][busy] = each(trades.last_id - trades.first_id + 1, np.add)
        totals["V"][busy] = each(trades.quantity * taker, np.add)
        totals["Q"][busy] = each(trades.amount * taker, np.add)
        ids[0, busy] = trades.first_id[begins]
        ids[1, busy] = trades.last_id[stops - 1]
    flat = close.copy()
    opens, highs, lows = flat.copy(), flat.copy(), flat.copy()
    # a flat window stands at the close before it, which is its own `close` already
    if len(busy):
        opens[busy] = trades.price[first[busy]]
        highs[busy] = each(trades.price, np.maximum)
        lows[busy] = each(trades.price, np.minimum)
    bars = Bars(
        starts,
        ends,
        opens,
        highs,
        lows,
        close,
        totals["v"],
        totals["q"],
        totals["n"],
        totals["V"],
        totals["Q"],
        ids[0],
        ids[1],
    )
    return bars if known.all() else bars.take(known)


def fold(bars: Bars, starts: Ints, ends: Ints) -> Bars:
    """Bars of wider windows [starts, ends) from the narrower ones that are there.

    A window without any bar is left out.
    """
    first = np.searchsorted(bars.start, starts)
    last = np.searchsorted(bars.start, ends)
    there = last > first
    starts, ends, first, last = starts[there], ends[there], first[there], last[there]
    if not len(starts):
        return Bars.none()
    cuts = np.column_stack([first, last]).ravel()

    def each(values: Ints, reduce: np.ufunc) -> Ints:
        padded = np.append(values, values[-1:] if reduce is not np.add else 0)
        return np.asarray(reduce.reduceat(padded, cuts)[::2], dtype=np.int64)

    no_id = np.iinfo(np.int64).max
    first_ids = each(np.where(bars.first_id < 0, no_id, bars.first_id), np.minimum)
    return Bars(
        starts,
        ends,
        bars.open[first],
        each(bars.high, np.maximum),
        each(bars.low, np.minimum),
        bars.close[last - 1],
        each(bars.volume, np.add),
        each(bars.amount, np.add),
        each(bars.count, np.add),
        each(bars.buy_volume, np.add),
        each(bars.buy_amount, np.add),
        np.where(first_ids == no_id, -1, first_ids),
        each(bars.last_id, np.maximum),
    )
