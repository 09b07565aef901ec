"""The generated tape: its trades, and the reference prices, funding and metrics beside them."""

from __future__ import annotations

import numpy as np

from alphaqcm.data_collection.simulation.exchange.tape.intervals import HOUR_MS, MINUTE_MS
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing
from alphaqcm.data_collection.simulation.exchange.tape.process import TradeProcess
from alphaqcm.data_collection.simulation.exchange.tape.protocol import (
    SCALE,
    Metrics,
    Reference,
    Settlement,
)
from alphaqcm.data_collection.simulation.exchange.tape.trades import Bars, Ints

_LATEST_MS = 13  # after its hour, at most, a settlement comes
_SPECIAL_EVERY = 37  # one settlement in so many of a stock perpetual is a special one


class GeneratedTape(TradeProcess):
    """Everything that the exchange publishes of a listing, at any time; nothing is kept."""

    def minutes(self, listing: Listing, start_ms: int, end_ms: int) -> Bars | None:
        """None: candles come of the trades."""
        return None

    def absent(self, listing: Listing) -> tuple[tuple[int, int], ...]:
        """Nothing is absent of itself."""
        return ()

    def reference(self, listing: Listing, kind: Reference, moments: Ints) -> Ints:
        """A reference price at moments (ms), in 1e-8."""
        premium = self.premium(listing, moments)
        if kind is Reference.PREMIUM:
            return np.rint(premium * SCALE).astype(np.int64)
        price = listing.price * np.exp(self.wave(listing, moments))
        if kind is Reference.MARK:
            price = price * (1 + premium / 2)
        return np.rint(price * SCALE).astype(np.int64)

    def settlements(self, listing: Listing, start_ms: int, end_ms: int) -> list[Settlement]:
        """Funding paid in [start, end): up to 13 ms after the hour, as the exchange does."""
        if not listing.has_funding:
            return []
        step = listing.funding_hours * HOUR_MS
        start_ms, end_ms = max(start_ms, listing.onboard_ms), min(end_ms, listing.end_ms)
        first = -(-(start_ms - _LATEST_MS) // step)
        numbers = np.arange(first, max(first, -(-end_ms // step)), dtype=np.int64)
        if not len(numbers):
            return []
        late = np.abs(self.unit(listing, numbers, 41) * (_LATEST_MS + 1)).astype(np.int64)
        rates = np.rint((1e-4 + 3e-4 * self.unit(listing, numbers, 42)) * SCALE).astype(np.int64)
        marks = self.reference(listing, Reference.MARK, numbers * step)
        rows = [
            Settlement(int(number * step + wait), int(rate), int(mark))
            for number, wait, rate, mark in zip(numbers, late, rates, marks, strict=True)
        ]
        if listing.contract_type == "TRADIFI_PERPETUAL":
            rows += [
                Settlement(row.time_ms, row.rate // 10, row.mark, "Special")
                for row, number in zip(rows, numbers, strict=True)
                if number % _SPECIAL_EVERY == 0
            ]
            rows.sort(key=lambda row: (row.time_ms, row.kind))
        return [row for row in rows if start_ms <= row.time_ms < end_ms]

    def metrics(
        self, listing: Listing, period_ms: int, start_ms: int, end_ms: int
    ) -> list[Metrics]:
        """Metrics of the periods that end in [start, end)."""
        start_ms, end_ms = max(start_ms, listing.onboard_ms), min(end_ms, listing.end_ms)
        moments = np.arange(
            -(-start_ms // period_ms) * period_ms, end_ms, period_ms, dtype=np.int64
        )
        if not len(moments):
            return []
        level = 5e7 / (listing.contract_size or listing.price)
        scale = 10**listing.quantity_decimals
        noise = [self.unit(listing, moments // MINUTE_MS, 50 + k) for k in range(6)]
        interest = np.rint(level * scale * (1 + 0.05 * noise[0])).astype(np.int64)
        marks = self.reference(listing, Reference.MARK, moments)
        ratios = [np.rint((1.2 + 0.3 * noise[k]) * SCALE).astype(np.int64) for k in (1, 2, 3)]
        buys, sells = (np.rint(level * scale * 0.01 * (1.5 + noise[k])) for k in (4, 5))
        taker = np.rint(buys / np.maximum(1, sells) * SCALE).astype(np.int64)
        rows = []
        for k, moment in enumerate(moments.tolist()):
            held = int(interest[k])
            worth = (
                held * listing.contract_size * SCALE * SCALE // int(marks[k])
                if listing.contract_size
                else held * int(marks[k]) // scale
            )
            rows.append(
                Metrics(
                    moment,
                    held,
                    worth,
                    int(ratios[0][k]),
                    int(ratios[1][k]),
                    int(ratios[2][k]),
                    int(taker[k]),
                    int(buys[k]),
                    int(sells[k]),
                )
            )
        return rows
