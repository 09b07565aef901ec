"""A traded symbol of the simulated exchange: its names, life, decimals and price level."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Market(StrEnum):
    """The three markets; the word is also the base of their WebSocket (`/um-ws`)."""

    SPOT = "spot"
    UM = "um"
    CM = "cm"


class ContractType(StrEnum):
    """Kinds of contracts as `exchangeInfo` names them; spot symbols have none."""

    NONE = ""
    PERPETUAL = "PERPETUAL"
    TRADIFI = "TRADIFI_PERPETUAL"
    CURRENT_QUARTER = "CURRENT_QUARTER"
    NEXT_QUARTER = "NEXT_QUARTER"


TRADING = "TRADING"
FOREVER_MS = 4_133_404_800_000
"""Delivery date of a perpetual, as the exchange writes it (2100-12-25)."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol of one market; prices count units of `10**-price_decimals`, quantities likewise.

    It trades in [onboard_ms, end_ms), with `status` as long as no fault changes it.
    """

    market: Market
    symbol: str
    base: str
    quote: str
    price: float  # level, quote for one base
    price_decimals: int
    tick: int  # smallest step of the price, in units of 10**-price_decimals
    quantity_decimals: int
    onboard_ms: int
    end_ms: int = FOREVER_MS
    status: str = TRADING
    contract_type: ContractType = ContractType.NONE
    delivery_ms: int = FOREVER_MS
    contract_size: int = 0  # quote a contract; coin-margined only
    volatility: float = 0.03  # of a day's log return
    funding_hours: int = 8

    @property
    def pair(self) -> str:
        """The underlying's name: `BTCUSD` of `BTCUSD_PERP`."""
        return self.symbol.split("_")[0]

    @property
    def margin(self) -> str:
        """The asset in which the contract is settled."""
        return self.base if self.market is Market.CM else self.quote

    @property
    def quote_decimals(self) -> int:
        """Decimals of an amount in quote currency (of base currency for coin-margined)."""
        return 8 if self.contract_size else self.price_decimals + self.quantity_decimals

    @property
    def has_funding(self) -> bool:
        """Whether it pays funding: perpetuals do."""
        return self.contract_type in (ContractType.PERPETUAL, ContractType.TRADIFI)
