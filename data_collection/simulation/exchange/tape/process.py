"""Trades without end or memory: those of any block of minutes follow from seed and symbol.

A block has a fixed number of trades, shuffled over its minutes by a hash, so that ids, which count
from the epoch, need no history. The price is a sum of waves of hashed values (periods from three
minutes to a month), so that it is known at any moment alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alphaqcm.data_collection.simulation.exchange.tape.intervals import MINUTE_MS
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing
from alphaqcm.data_collection.simulation.exchange.tape.noise import (
    Hash,
    hashed,
    unit,
    wave,
    wave_of_blocks,
)
from alphaqcm.data_collection.simulation.exchange.tape.protocol import Liquidation
from alphaqcm.data_collection.simulation.exchange.tape.trades import Ints, Trades

_CHUNK = 20_000  # minutes made at once: bounds the memory of a long range
_PREMIUM_MS = 15 * MINUTE_MS  # between the values that the premium passes through
_FILLS = (1, 1, 2, 1, 3, 1, 1, 4)  # trades behind one aggregated trade
_NOTIONAL = 2_000.0  # of an ordinary trade, in quote currency


def _premium(keys: Hash, moments: Ints) -> NDArray[np.float64]:
    number, within = moments // _PREMIUM_MS, moments % _PREMIUM_MS
    left, right = unit(keys, number, 40), unit(keys, number + 1, 40)
    share: NDArray[np.float64] = 1e-4 + 4e-4 * (left + (right - left) * (within / _PREMIUM_MS))
    return share


class TradeProcess:
    """Trades of any listing at any time, `per_minute` on average; the same seed, the same trades.

    The cost of a question grows with the minutes asked for; nothing is kept.
    """

    def __init__(self, seed: int, per_minute: int) -> None:
        self.seed = seed
        self._minutes = 60 if per_minute <= 10 else 1
        self._share = self._shares(per_minute)
        self._size = int(self._share.sum())
        self._fills = np.resize(np.array(_FILLS, dtype=np.int64), self._size)
        self._fill_total = int(self._fills.sum())
        self._keys: dict[tuple[str, str], int] = {}

    def _shares(self, per_minute: int) -> Ints:
        """Trades of each minute of a block, before the shuffle: between 1 and twice the mean."""
        if self._minutes == 1:
            return np.array([per_minute], dtype=np.int64)
        spread = np.linspace(1, max(1, 2 * per_minute - 1), self._minutes)
        return np.rint(spread).astype(np.int64)

    def key(self, listing: Listing) -> int:
        """The listing's own seed."""
        name = (listing.market.value, listing.symbol)
        if name not in self._keys:
            text = f"{self.seed}:{name[0]}:{name[1]}".encode()
            self._keys[name] = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
        return self._keys[name]

    @property
    def block_ms(self) -> int:
        """Length of a block."""
        return self._minutes * MINUTE_MS

    def trades(self, listing: Listing, start_ms: int, end_ms: int) -> Trades:
        """The trades of [start, end) within the listing's life."""
        start_ms, end_ms = max(start_ms, listing.onboard_ms), min(end_ms, listing.end_ms)
        if end_ms <= start_ms:
            return Trades.none()
        first, stop = start_ms // self.block_ms, -(-end_ms // self.block_ms)
        step = max(1, _CHUNK // self._minutes)
        parts = []
        for at in range(first, stop, step):
            numbers = np.arange(at, min(at + step, stop), dtype=np.int64)
            parts.append(self._flat(listing, numbers).between(start_ms, end_ms))
        return Trades.joined(parts)

    def by_id(self, listing: Listing, first_id: int, count: int) -> Trades:
        """Up to `count` trades from an id on, within the listing's life."""
        if listing.end_ms <= listing.onboard_ms:
            return Trades.none()
        start = max(listing.onboard_ms, first_id // self._size * self.block_ms)
        blocks = count // self._size + 2
        trades = self.trades(listing, start, start + blocks * self.block_ms)
        return trades.take(trades.id >= first_id).take(slice(0, count))

    def wave(self, listing: Listing, moments: Ints) -> NDArray[np.float64]:
        """The logarithm of the price over its level at moments (ms)."""
        seeds = np.full(len(moments), self.key(listing), dtype=np.uint64)
        return wave(seeds, moments / MINUTE_MS) * listing.volatility

    def marks(self, listings: Sequence[Listing], moment_ms: int) -> tuple[Ints, Ints]:
        """Mark and index price of many listings at one moment, in 1e-8."""
        keys = np.array([self.key(one) for one in listings], dtype=np.uint64)
        swing = np.array([one.volatility for one in listings])
        level = np.array([one.price for one in listings])
        moments = np.full(len(listings), moment_ms, dtype=np.int64)
        index = level * np.exp(wave(keys, moments / MINUTE_MS) * swing)
        mark = index * (1 + _premium(keys, moments) / 2)
        return np.rint(mark * 1e8).astype(np.int64), np.rint(index * 1e8).astype(np.int64)

    def premium(self, listing: Listing, moments: Ints) -> NDArray[np.float64]:
        """The premium of the last price over the index at moments (ms), as a share."""
        return _premium(np.full(len(moments), self.key(listing), dtype=np.uint64), moments)

    def liquidations(
        self, listings: Sequence[Listing], start_ms: int, end_ms: int
    ) -> list[Liquidation]:
        """Forced orders in [start, end), by time; about one in twenty minutes of a listing."""
        keys = np.array([self.key(one) for one in listings], dtype=np.uint64)[:, None]
        seconds = np.arange(start_ms // 1000, -(-end_ms // 1000), dtype=np.int64)[None, :]
        draw = hashed(keys, seconds, 60)
        rows = []
        for row, column in np.argwhere(draw % np.uint64(1200) == 0).tolist():
            listing, bits = listings[row], int(draw[row, column]) >> 16
            time = int(seconds[0, column]) * 1000 + bits % 1000
            if not max(start_ms, listing.onboard_ms) <= time < min(end_ms, listing.end_ms):
                continue
            moment = np.array([time], dtype=np.int64)
            price = listing.price * float(np.exp(self.wave(listing, moment)[0]))
            ticks = round(price * 10**listing.price_decimals / listing.tick)
            lots = 1 + bits // 1000 % 5000
            rows.append(Liquidation(listing, time, bits >> 40 & 1 == 1, ticks * listing.tick, lots))
        return sorted(rows, key=lambda one: (one.time_ms, one.listing.symbol))

    def unit(self, listing: Listing, numbers: Ints, purpose: int) -> NDArray[np.float64]:
        """Hashed values in [-1, 1), for whatever else a listing needs."""
        seeds = np.full(len(numbers), self.key(listing), dtype=np.uint64)
        return unit(seeds, numbers, purpose)

    def _flat(self, listing: Listing, numbers: Ints) -> Trades:
        return self.rows([listing] * len(numbers), numbers).take(slice(None))

    def rows(self, listings: Sequence[Listing], numbers: Ints) -> Trades:
        """Whole blocks one after the other: block `numbers[k]` of `listings[k]`."""
        rows, size = len(numbers), self._size
        keys = np.array([self.key(one) for one in listings], dtype=np.uint64)[:, None]
        number = numbers[:, None]
        slots = number * self._minutes + np.arange(self._minutes)
        order = np.argsort(hashed(keys, slots, 1), axis=1, kind="stable")
        minute = np.repeat(slots.ravel(), self._share[order].ravel()).reshape(rows, size)
        ids = number * size + np.arange(size)
        draw = hashed(keys, ids, 2)  # all of a trade comes from its bits
        offset = ((draw & np.uint64(0xFFFFFF)) % np.uint64(MINUTE_MS)).astype(np.int64)
        time = np.sort(minute * MINUTE_MS + offset, axis=1)
        order = np.argsort(draw, axis=1, kind="stable")
        fills = self._fills[order]
        last_id = number * self._fill_total + np.cumsum(fills, axis=1) - 1
        price = self._prices(listings, keys, minute, time, draw)
        quantity = self._quantities(listings, draw)
        size_of = np.array([one.contract_size for one in listings], dtype=np.int64)[:, None]
        amount = price * quantity
        if size_of.any():
            scale = 10.0 ** np.array([one.price_decimals for one in listings])[:, None]
            in_base = np.rint(quantity * size_of * 1e8 * scale / price).astype(np.int64)
            amount = np.where(size_of > 0, in_base, amount)
        maker = (draw >> np.uint64(24) & np.uint64(1)).astype(np.int64)
        columns = (time, ids, price, quantity, amount, last_id - fills + 1, last_id, maker)
        return Trades(*(column.ravel() for column in columns))

    def _prices(
        self, listings: Sequence[Listing], keys: Hash, minute: Ints, time: Ints, draw: Hash
    ) -> Ints:
        first = minute[:, :1] - minute[:, :1] % self._minutes
        at_edges = wave_of_blocks(keys, first, self._minutes)
        row = np.arange(len(minute))[:, None]
        left = at_edges[row, minute - first]
        right = at_edges[row, minute - first + 1]
        share = (time - minute * MINUTE_MS) / MINUTE_MS
        swing = np.array([one.volatility for one in listings])[:, None]
        level = np.array([one.price * 10**one.price_decimals / one.tick for one in listings])
        ticks = np.rint(level[:, None] * np.exp(swing * (left + (right - left) * share)))
        jitter = ((draw >> np.uint64(25) & np.uint64(0xFFFF)) % np.uint64(5)).astype(np.int64) - 2
        tick = np.array([one.tick for one in listings], dtype=np.int64)[:, None]
        prices: Ints = np.maximum(1, ticks.astype(np.int64) + jitter) * tick
        return prices

    @staticmethod
    def _quantities(listings: Sequence[Listing], draw: Hash) -> Ints:
        ordinary = [
            _NOTIONAL / one.contract_size
            if one.contract_size
            else _NOTIONAL / one.price * 10**one.quantity_decimals
            for one in listings
        ]
        most = np.array([max(2, int(2 * lots)) for lots in ordinary], dtype=np.uint64)[:, None]
        lots = ((draw >> np.uint64(20)) % most).astype(np.int64) + 1
        big = (draw >> np.uint64(59)) == 0
        return np.where(big, lots * 20, lots)
