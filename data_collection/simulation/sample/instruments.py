"""The simulated contracts: price levels, tick and lot sizes, how busy and how restless they are.

Prices and quantities are whole numbers everywhere in this package: a price counts units of
`10**-price_decimals`, a quantity units of `10**-quantity_decimals`, an amount of quote currency
units of the product of both. So sums are exact, as the exchange's own are.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

from alphaqcm.pipeline.domain.registry import Market


@dataclass(frozen=True, slots=True)
class Instrument:
    """One simulated contract."""

    symbol: str
    price: float  # level at the start of the sample, quote per base
    price_decimals: int  # as printed in kline files
    tick: int  # smallest step of the price, in units of 10**-price_decimals
    quantity_decimals: int
    activity: float = 1.0  # share of the spec's trades per day
    volatility: float = 0.03  # standard deviation of a day's log return
    beta: float = 0.8  # share of the volatility that all symbols have in common
    funding_hours: int = 8
    contract_size: int = 0  # quote currency a contract, coin-margined only

    @property
    def tick_decimals(self) -> int:
        """Decimals that a price needs: printed in aggTrades files."""
        decimals, tick = self.price_decimals, self.tick
        while decimals > 1 and tick % 10 == 0:
            decimals, tick = decimals - 1, tick // 10
        return decimals


_UM = (
    Instrument("BTCUSDT", 61_000.0, 2, 10, 3, 1.0, 0.025, 0.9),
    Instrument("ETHUSDT", 3_400.0, 2, 1, 3, 0.9, 0.03, 0.85),
    Instrument("SOLUSDT", 111.0, 4, 10, 0, 0.7, 0.045, 0.75, funding_hours=4),
    Instrument("BNBUSDT", 403.0, 3, 10, 2, 0.5, 0.025, 0.7),
    Instrument("XRPUSDT", 0.58, 4, 1, 1, 0.6, 0.03, 0.7),
    Instrument("DOGEUSDT", 0.121, 6, 10, 0, 0.6, 0.05, 0.7),
    Instrument("ADAUSDT", 0.62, 5, 10, 0, 0.4, 0.035, 0.7),
    Instrument("AVAXUSDT", 38.4, 4, 10, 0, 0.4, 0.04, 0.7, funding_hours=4),
    Instrument("LINKUSDT", 19.1, 3, 1, 2, 0.4, 0.04, 0.65),
    Instrument("LTCUSDT", 74.3, 2, 1, 3, 0.3, 0.03, 0.65),
    Instrument("FILUSDT", 7.9, 3, 1, 1, 0.3, 0.045, 0.6),
    Instrument("NEARUSDT", 3.83, 4, 10, 0, 0.3, 0.045, 0.6),
)
_SPOT_LOTS = {"BTCUSDT": 5, "ETHUSDT": 4, "SOLUSDT": 3, "BNBUSDT": 3}
_CM_BASES = {"BTC": (61_000.0, 1, 1, 100), "ETH": (3_400.0, 2, 1, 10), "SOL": (111.0, 3, 10, 10)}


def universe(count: int, market: Market = Market.UM) -> tuple[str, ...]:
    """The names of the first `count` simulated symbols of a market."""
    if market is Market.CM:
        named = [f"{base}USD_PERP" for base in _CM_BASES]
        more = [f"COIN{number:03d}USD_PERP" for number in range(len(named) + 1, count + 1)]
    else:
        named = [row.symbol for row in _UM]
        more = [f"COIN{number:03d}USDT" for number in range(len(named) + 1, count + 1)]
    return tuple((named + more)[:count])


def instrument(symbol: str, market: Market) -> Instrument:
    """The contract called `symbol`; a name that is not known gets a level of its own from it."""
    if market is Market.CM:
        base = symbol.split("_")[0].removesuffix("USD")
        price, decimals, tick, size = _CM_BASES.get(base, (_price_of(symbol), 4, 1, 10))
        return Instrument(symbol, price, decimals, tick, 0, 0.5, contract_size=size)
    for row in _UM:
        if row.symbol == symbol:
            break
    else:
        price = _price_of(symbol)
        decimals = 3 if price > 10 else 5
        row = Instrument(symbol, price, decimals, 1, 1 if price > 10 else 0, 0.25, 0.045, 0.6)
    if market is Market.UM:
        return row
    return Instrument(
        symbol,
        row.price,
        row.price_decimals,
        row.tick,
        _SPOT_LOTS.get(symbol, row.quantity_decimals),
        row.activity,
        row.volatility,
        row.beta,
    )


def _price_of(symbol: str) -> float:
    """A price between 0.1 and 100 that depends on the name alone."""
    return round(math.pow(10.0, (zlib.crc32(symbol.encode()) % 3001) / 1000 - 1), 4)
