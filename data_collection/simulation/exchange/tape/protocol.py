"""What a tape must tell: trades, and what the exchange publishes beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing
from alphaqcm.data_collection.simulation.exchange.tape.trades import Bars, Ints, Trades

SCALE = 10**8
"""Reference prices, rates and ratios are whole numbers of 1e-8."""


class Reference(StrEnum):
    """The prices that are not of trades."""

    INDEX = "index"
    MARK = "mark"
    PREMIUM = "premium"


@dataclass(frozen=True, slots=True)
class Settlement:
    """One payment of funding."""

    time_ms: int
    rate: int  # 1e-8
    mark: int  # 1e-8
    kind: str = "Regular"


@dataclass(frozen=True, slots=True)
class Metrics:
    """The five metrics at the end of one period; ratios are long over short, in 1e-8."""

    time_ms: int
    interest: int  # smallest units of quantity
    interest_value: int  # 1e-8 quote
    top_accounts: int
    top_positions: int
    accounts: int
    taker_ratio: int
    buy_volume: int  # smallest units of quantity
    sell_volume: int


@dataclass(frozen=True, slots=True)
class Liquidation:
    """The last forced order of a symbol in a second; amounts in smallest units."""

    listing: Listing
    time_ms: int
    sells: bool  # a long is liquidated
    price: int
    quantity: int


class Tape(Protocol):
    """Where the simulated exchange's trades come from."""

    def trades(self, listing: Listing, start_ms: int, end_ms: int) -> Trades:
        """The trades of [start, end)."""
        ...

    def by_id(self, listing: Listing, first_id: int, count: int) -> Trades:
        """Up to `count` trades from an id on."""
        ...

    def minutes(self, listing: Listing, start_ms: int, end_ms: int) -> Bars | None:
        """Minutes of [start, end) of a tape that has no trades of the symbol; else None."""
        ...

    def absent(self, listing: Listing) -> Iterable[tuple[int, int]]:
        """Times [start, end) of which the exchange has no candles."""
        ...

    def reference(self, listing: Listing, kind: Reference, moments: Ints) -> Ints:
        """A reference price at moments (ms), in 1e-8; -1 where it is not known (premium: 0)."""
        ...

    def marks(self, listings: Sequence[Listing], moment_ms: int) -> tuple[Ints, Ints]:
        """Mark and index price of many listings at one moment, in 1e-8."""
        ...

    def liquidations(
        self, listings: Sequence[Listing], start_ms: int, end_ms: int
    ) -> list[Liquidation]:
        """Forced orders in [start, end), by time."""
        ...

    def settlements(self, listing: Listing, start_ms: int, end_ms: int) -> list[Settlement]:
        """Funding paid in [start, end)."""
        ...

    def metrics(
        self, listing: Listing, period_ms: int, start_ms: int, end_ms: int
    ) -> list[Metrics]:
        """Metrics of the periods that end in [start, end)."""
        ...
