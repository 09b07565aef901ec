"""One REST request: its parameters, read as the exchange reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from alphaqcm.data_collection.simulation.exchange.facts import (
    ApiError,
    Endpoint,
    bad_symbol,
    illegal,
    missing,
)
from alphaqcm.data_collection.simulation.exchange.state import ExchangeState
from alphaqcm.data_collection.simulation.exchange.tape.intervals import INTERVALS
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.venue import Venue

_NUMBER = re.compile(r"[0-9]{1,20}")
_SYMBOL = re.compile(r"[\w.-]{1,40}")
_SYMBOL_RANGE = "^[A-Z0-9-_.]{1,20}$"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to answer: endpoint, parameters, the exchange and the moment it came in (ms)."""

    path: str
    endpoint: Endpoint
    params: Mapping[str, str]
    state: ExchangeState
    now_ms: int
    microseconds: bool = False

    @property
    def venue(self) -> Venue:
        """The venue asked."""
        return self.state.venue

    @property
    def market(self) -> Market:
        """The market asked."""
        return self.endpoint.market

    @property
    def unit(self) -> int:
        """What a millisecond is multiplied with in the answer."""
        return 1000 if self.microseconds else 1

    def text(self, name: str) -> str:
        """A parameter that must be there."""
        value = self.params.get(name, "")
        if not value:
            raise missing(name)
        return value

    def number(self, name: str) -> int | None:
        """A whole number, or None where it was not sent."""
        value = self.params.get(name)
        if value is None or value == "":
            return None
        if not _NUMBER.fullmatch(value):
            raise illegal(name, "^[0-9]{1,20}$")
        return int(value)

    def moment(self, name: str) -> int | None:
        """A time in ms; microseconds are understood as well."""
        value = self.number(name)
        return value // 1000 if value is not None and value > 10**14 else value

    def limit(self) -> int:
        """How many rows are asked for; spot gives its most where more is asked."""
        value = self.number("limit")
        if value is None:
            return self.endpoint.default_limit
        if value > self.endpoint.max_limit and self.market is Market.SPOT:
            return self.endpoint.max_limit
        if not 1 <= value <= self.endpoint.max_limit:
            raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
        return value

    def interval(self) -> str:
        """The candle interval."""
        value = self.text("interval")
        if value not in INTERVALS or (value == "1s" and self.market is not Market.SPOT):
            raise ApiError(-1120, "Invalid interval.")
        return value

    def listing(self, name: str = "symbol") -> Listing:
        """The symbol asked for."""
        value = self.text(name)
        if not _SYMBOL.fullmatch(value):
            raise illegal(name, _SYMBOL_RANGE)
        found = self.venue.find(self.market, value)
        if found is None:
            raise bad_symbol()
        return self.traded(found)

    def traded(self, listing: Listing) -> Listing:
        """The listing, if it has begun to trade."""
        if self.now_ms < listing.onboard_ms:
            raise ApiError(-1122, "Invalid symbol status.")
        return listing

    def of_pair(self, pair: str, contract_type: str) -> Listing:
        """The contract of a pair; where the type is empty, its perpetual first."""
        rows = [one for one in self.venue.listings(self.market) if one.pair == pair]
        if contract_type:
            rows = [one for one in rows if one.contract_type == contract_type]
        if not rows:
            raise ApiError(-1121, "Invalid pair." if not contract_type else "Invalid symbol.")
        return min(rows, key=lambda one: not one.has_funding)
