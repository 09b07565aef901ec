"""A tape read from an archive tree: its aggTrades, or its minutes where it has no trades."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alphaqcm.data_collection.simulation.exchange.tape.archive import (
    DECIMALS,
    FUNDING_COLUMNS,
    KLINE_COLUMNS,
    METRICS_COLUMNS,
    TRADE_COLUMNS,
    Part,
    Tree,
)
from alphaqcm.data_collection.simulation.exchange.tape.archive_symbols import listings_of
from alphaqcm.data_collection.simulation.exchange.tape.intervals import HOUR_MS, MINUTE_MS
from alphaqcm.data_collection.simulation.exchange.tape.listing import (
    FOREVER_MS,
    Listing,
    Market,
)
from alphaqcm.data_collection.simulation.exchange.tape.protocol import (
    Liquidation,
    Metrics,
    Reference,
    Settlement,
)
from alphaqcm.data_collection.simulation.exchange.tape.trades import Bars, Ints, Trades

_REFERENCE_FILES = {
    Reference.MARK: "markPriceKlines",
    Reference.INDEX: "indexPriceKlines",
    Reference.PREMIUM: "premiumIndexKlines",
}
_SAMPLES = ("open", "high", "low", "close")
"""What stands for the four samples of a minute of a reference price: they make its bar again."""


class RecordedTape:
    """Trades and what belongs to them as an archive tree holds them; after its end, nothing.

    A tree with minutes only gives candles over REST and no streams.
    """

    def __init__(self, root: Path) -> None:
        self.tree = Tree(root)
        self.start_ms, self.end_ms = self.tree.span()
        self._absent: dict[tuple[Market, str], tuple[tuple[int, int], ...]] = {}
        self._ids: dict[Path, tuple[int, int]] = {}

    def listings(self) -> tuple[Listing, ...]:
        """Every symbol of the tree; decimals and life are those of its rows."""
        return listings_of(self.tree, self.end_ms)

    def trades(self, listing: Listing, start_ms: int, end_ms: int) -> Trades:
        """The trades of [start, end)."""
        parts = [
            self._load(listing, part).between(start_ms, end_ms)
            for part in self.tree.parts(listing.market, "aggTrades", listing.symbol)
            if part.start_ms < end_ms and start_ms < part.end_ms
        ]
        return Trades.joined(parts)

    def by_id(self, listing: Listing, first_id: int, count: int) -> Trades:
        """Up to `count` trades from an id on."""
        found, size = [], 0
        for part in self.tree.parts(listing.market, "aggTrades", listing.symbol):
            if self._last_id(listing, part) < first_id:
                continue
            trades = self._load(listing, part)
            trades = trades.take(trades.id >= first_id).take(slice(0, count - size))
            found.append(trades)
            size += len(trades)
            if size >= count:
                break
        return Trades.joined(found)

    def _last_id(self, listing: Listing, part: Part) -> int:
        if part.path not in self._ids:
            ids = self._load(listing, part).id
            self._ids[part.path] = (int(ids[0]), int(ids[-1])) if len(ids) else (-1, -1)
        return self._ids[part.path][1]

    def _load(self, listing: Listing, part: Part) -> Trades:
        columns = self.tree.files.columns(part, TRADE_COLUMNS)
        price = columns["price"] // 10 ** (DECIMALS - listing.price_decimals)
        quantity = columns["quantity"] // 10 ** (DECIMALS - listing.quantity_decimals)
        amount = price * quantity
        if listing.contract_size:
            in_base = quantity * listing.contract_size * 10.0 ** (8 + listing.price_decimals)
            amount = np.rint(in_base / price).astype(np.int64)
        trades = Trades(
            columns["time"],
            columns["id"],
            price,
            quantity,
            amount,
            columns["first_id"],
            columns["last_id"],
            columns["maker"],
        )
        _, kept = np.unique(trades.id, return_index=True)
        return trades.take(kept) if len(kept) < len(trades.id) or _falls(trades.id) else trades

    def minutes(self, listing: Listing, start_ms: int, end_ms: int) -> Bars | None:
        """Minutes of [start, end) where the tree has no trades of the symbol."""
        if self.tree.parts(listing.market, "aggTrades", listing.symbol):
            return None
        found = []
        for part in self.tree.parts(listing.market, "klines", listing.symbol):
            if part.start_ms < end_ms and start_ms < part.end_ms:
                bars = self._bars(listing, part)
                found.append(bars.take((bars.start >= start_ms) & (bars.start < end_ms)))
        return Bars.joined(found)

    def _bars(self, listing: Listing, part: Part) -> Bars:
        columns = self.tree.files.columns(part, KLINE_COLUMNS)

        def whole(name: str, decimals: int) -> Ints:
            values: Ints = columns[name] // 10 ** (DECIMALS - decimals)
            return values

        price, quantity = listing.price_decimals, listing.quantity_decimals
        amount = listing.quote_decimals
        none = np.full(len(columns["start"]), -1, dtype=np.int64)
        bars = Bars(
            columns["start"],
            columns["start"] + MINUTE_MS,
            whole("open", price),
            whole("high", price),
            whole("low", price),
            whole("close", price),
            whole("volume", quantity),
            whole("amount", amount),
            columns["count"],
            whole("buy_volume", quantity),
            whole("buy_amount", amount),
            none,
            none,
        )
        _, kept = np.unique(bars.start, return_index=True)
        return bars.take(kept)

    def absent(self, listing: Listing) -> tuple[tuple[int, int], ...]:
        """Minutes that the tree's own klines leave out, and everything after its end."""
        key = (listing.market, listing.symbol)
        if key not in self._absent:
            held = [
                columns["start"]
                for _, columns in self.tree.rows(key[0], "klines", key[1], KLINE_COLUMNS)
            ]
            rows = [(self.end_ms, FOREVER_MS)]
            if held:
                starts = np.unique(np.concatenate(held))
                edges = np.concatenate([[self.start_ms - MINUTE_MS], starts, [self.end_ms]])
                rows += [
                    (int(edges[at]) + MINUTE_MS, int(edges[at + 1]))
                    for at in np.flatnonzero(np.diff(edges) > MINUTE_MS)
                ]
            self._absent[key] = tuple(rows)
        return self._absent[key]

    def reference(self, listing: Listing, kind: Reference, moments: Ints) -> Ints:
        """A reference price at moments (ms), in 1e-8; -1 (premium: 0) where no file has it."""
        values = np.full(len(moments), 0 if kind is Reference.PREMIUM else -1, dtype=np.int64)
        cm_index = listing.market is Market.CM and kind is Reference.INDEX
        name = listing.pair if cm_index else listing.symbol
        for part in self.tree.parts(listing.market, _REFERENCE_FILES[kind], name):
            inside = np.flatnonzero((moments >= part.start_ms) & (moments < part.end_ms))
            if not len(inside):
                continue
            columns = self.tree.files.columns(part, KLINE_COLUMNS)
            minute = moments[inside] - moments[inside] % MINUTE_MS
            at = np.clip(np.searchsorted(columns["start"], minute), 0, len(columns["start"]) - 1)
            there = columns["start"][at] == minute
            samples = np.stack([columns[one] for one in _SAMPLES])
            sample = moments[inside] % MINUTE_MS // (MINUTE_MS // 4)
            values[inside[there]] = samples[sample[there], at[there]]
        return values

    def marks(self, listings: Sequence[Listing], moment_ms: int) -> tuple[Ints, Ints]:
        """Mark and index price of many listings at one moment; the level where no file has it."""
        moment = np.array([moment_ms], dtype=np.int64)
        rows = []
        for kind in (Reference.MARK, Reference.INDEX):
            known = [int(self.reference(one, kind, moment)[0]) for one in listings]
            rows.append(
                [
                    value if value >= 0 else round(one.price * 10**DECIMALS)
                    for value, one in zip(known, listings, strict=True)
                ]
            )
        return np.array(rows[0], dtype=np.int64), np.array(rows[1], dtype=np.int64)

    def liquidations(
        self, listings: Sequence[Listing], start_ms: int, end_ms: int
    ) -> list[Liquidation]:
        """None: the archive has no forced orders of today's contracts."""
        return []

    def settlements(self, listing: Listing, start_ms: int, end_ms: int) -> list[Settlement]:
        """Funding paid in [start, end)."""
        rows = []
        for _, columns in self.tree.rows(
            listing.market, "fundingRate", listing.symbol, FUNDING_COLUMNS
        ):
            inside = (columns["time"] >= start_ms) & (columns["time"] < end_ms)
            times, rates = columns["time"][inside], columns["rate"][inside]
            marks = self.reference(listing, Reference.MARK, times)
            rows += [
                Settlement(time, rate, mark)
                for time, rate, mark in zip(
                    times.tolist(), rates.tolist(), marks.tolist(), strict=True
                )
            ]
        return rows

    def metrics(
        self, listing: Listing, period_ms: int, start_ms: int, end_ms: int
    ) -> list[Metrics]:
        """Metrics of the periods that end in [start, end); the tree has those of five minutes."""
        scale = 10 ** (DECIMALS - listing.quantity_decimals)
        rows = []
        for part in self.tree.parts(listing.market, "metrics", listing.symbol):
            if part.start_ms > end_ms or part.end_ms + HOUR_MS < start_ms:
                continue
            columns = self.tree.files.columns(part, METRICS_COLUMNS)
            time = columns["time"]
            step = max(period_ms, 5 * MINUTE_MS)
            for at in np.flatnonzero((time >= start_ms) & (time < end_ms) & (time % step == 0)):
                ratio = int(columns["taker_ratio"][at])
                # the archive has the ratio only: volumes that make it
                rows.append(
                    Metrics(
                        int(time[at]),
                        int(columns["interest"][at]) // scale,
                        int(columns["interest_value"][at]),
                        int(columns["top_accounts"][at]),
                        int(columns["top_positions"][at]),
                        int(columns["accounts"][at]),
                        ratio,
                        ratio // 10**4,
                        10**4,
                    )
                )
        return rows


def _falls(values: Ints) -> bool:
    return bool(len(values) > 1 and (np.diff(values) <= 0).any())
