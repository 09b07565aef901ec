"""The generated exchange's symbols: ordinary ones, and one of every kind that needs care."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from alphaqcm.data_collection.simulation.exchange.tape.intervals import DAY_MS, HOUR_MS
from alphaqcm.data_collection.simulation.exchange.tape.listing import (
    ContractType,
    Listing,
    Market,
)

_LEVELS = {
    "BTC": 61_000.0, "ETH": 3_400.0, "BNB": 580.0, "SOL": 145.0, "XRP": 0.58, "DOGE": 0.121,
    "ADA": 0.45, "AVAX": 28.4, "LINK": 14.1, "LTC": 74.3, "TRX": 0.13, "DOT": 6.1, "BCH": 390.0,
    "NEAR": 5.2, "FIL": 4.4, "ETC": 23.1, "ATOM": 6.9, "XLM": 0.1, "UNI": 9.3, "AAVE": 96.0,
    "SUI": 0.92, "APT": 7.1, "ARB": 0.81, "OP": 1.7, "INJ": 24.0, "PEPE": 0.0000118,
    "SHIB": 0.0000172, "WIF": 2.1, "ORDI": 38.0, "TIA": 7.4, "SEI": 0.36, "RUNE": 4.2,
}  # fmt: skip
QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
"""Quote assets that a symbol's name can end in."""

NON_ASCII = "币安人生"
"""A base asset whose name is not ASCII; the real exchange lists it."""


@dataclass(frozen=True, slots=True)
class UniverseSize:
    """How many ordinary USDT symbols (coin-margined: perpetuals) each market has, trading."""

    spot: int = 24
    um: int = 18
    cm: int = 4


def generated_universe(size: UniverseSize, start_ms: int) -> tuple[Listing, ...]:
    """The listings of an exchange whose clock starts at `start_ms`.

    Beside the ordinary symbols each market has, whatever its size: a name that is not ASCII, one
    listed three days ago, one delisted a week ago, one that does not trade now, other quote assets,
    leveraged tokens, stock perpetuals and delivery contracts.
    """
    day = start_ms - start_ms % DAY_MS
    return (*_spot(size.spot, day), *_um(size.um, day), *_cm(size.cm, day))


def new_listing(market: Market, symbol: str, onboard_ms: int) -> Listing:
    """A symbol that trades from a moment on; its quote asset is read from its name."""
    quote = next((q for q in QUOTES if symbol.endswith(q)), "USDT")
    row = _listing(market, symbol.removesuffix(quote) or symbol, quote, onboard_ms)
    return replace(row, symbol=symbol)


def bases(count: int) -> list[str]:
    """The first `count` base assets: real names, then COIN001 and so on."""
    names = list(_LEVELS)
    return (names + [f"COIN{number:03d}" for number in range(1, count + 1)])[:count]


def level_of(base: str) -> float:
    """An asset's price level in dollars; an unknown one has a level made from its name."""
    if base in _LEVELS:
        return _LEVELS[base]
    return float(round(10.0 ** ((zlib.crc32(base.encode()) % 3001) / 1000 - 1), 4))


def _decimals(price: float) -> tuple[int, int]:
    """Decimals of price and quantity that suit a level."""
    for least, price_decimals, quantity_decimals in (
        (10_000, 2, 5), (500, 2, 4), (20, 2, 3), (1, 4, 2), (0.05, 5, 1), (0.001, 6, 0),
    ):  # fmt: skip
        if price >= least:
            return price_decimals, quantity_decimals
    return 8, 0


def _listing(market: Market, base: str, quote: str, onboard_ms: int) -> Listing:
    price = level_of(base)
    if quote == "BTC":
        price /= _LEVELS["BTC"]
    price_decimals, quantity_decimals = _decimals(price)
    if market is Market.UM:
        quantity_decimals = min(quantity_decimals, 3)
    perpetual = ContractType.NONE if market is Market.SPOT else ContractType.PERPETUAL
    return Listing(
        market=market,
        symbol=base + quote,
        base=base,
        quote=quote,
        price=price,
        price_decimals=price_decimals,
        tick=10 if market is Market.UM and price >= 10_000 else 1,
        quantity_decimals=quantity_decimals,
        onboard_ms=onboard_ms,
        contract_type=perpetual,
        volatility=0.02 + zlib.crc32(base.encode()) % 30 / 1000,
        funding_hours=4 if base in ("SOL", "AVAX") else 8,
    )


def _age(number: int, day: int) -> int:
    """When an ordinary symbol was listed: between one and five years ago."""
    return day - (400 + number * 137 % 1400) * DAY_MS + 8 * HOUR_MS


def _spot(count: int, day: int) -> list[Listing]:
    def make(base: str, quote: str = "USDT", days: float = 600) -> Listing:
        return _listing(Market.SPOT, base, quote, int(day - days * DAY_MS))

    rows = [
        replace(make(base), onboard_ms=_age(number, day))
        for number, base in enumerate(bases(count))
    ]
    return [
        *rows,
        make(NON_ASCII, days=40),
        make("NEW", days=3),
        replace(make("OLD"), end_ms=day - 7 * DAY_MS, status="BREAK"),
        replace(make("PAUSED"), end_ms=day - DAY_MS, status="HALT"),
        make("BTC", "USDC"),
        make("ETH", "USDC"),
        make("BTC", "FDUSD"),
        make("ETH", "BTC"),
        make("LTC", "BTC"),
        replace(make("USDC"), price=1.0, price_decimals=4, quantity_decimals=2, volatility=0.0002),
        make("BTCUP"),
        make("BTCDOWN"),
    ]


def _um(count: int, day: int) -> list[Listing]:
    def make(base: str, quote: str = "USDT", days: float = 600) -> Listing:
        return _listing(Market.UM, base, quote, int(day - days * DAY_MS))

    tradifi = ContractType.TRADIFI
    rows = [
        replace(make(base), onboard_ms=_age(number, day))
        for number, base in enumerate(bases(count))
    ]
    return [
        *rows,
        make(NON_ASCII, days=40),
        make("NEW", days=3),
        replace(make("OLD"), end_ms=day - 7 * DAY_MS, status="SETTLING"),
        replace(make("SOON"), onboard_ms=day + 2 * DAY_MS, status="PENDING_TRADING"),
        make("BTC", "USDC"),
        make("ETH", "USDC"),
        make("ETH", "BTC"),
        replace(make("TSLA", days=90), price=342.0, contract_type=tradifi),
        replace(make("XAU", days=120), price=4100.0, contract_type=tradifi),
        *_quarters(make("BTC"), day),
    ]


def _cm(count: int, day: int) -> list[Listing]:
    rows = []
    for number, base in enumerate(bases(count)):
        plain = _listing(Market.CM, base, "USD", _age(number, day))
        size = 100 if base == "BTC" else 10
        plain = replace(plain, quantity_decimals=0, contract_size=size)
        rows.append(replace(plain, symbol=f"{base}USD_PERP"))
        if number == 0:
            rows += _quarters(plain, day)
    return rows


def _quarters(like: Listing, day: int) -> list[Listing]:
    """The two delivery contracts of an underlying that run at `day`."""
    rows = []
    now = datetime.fromtimestamp(day / 1000, UTC)
    months = [
        (now.year + (now.month - 1 + k) // 12, (now.month - 1 + k) % 12 + 1) for k in range(9)
    ]
    ends = [_last_friday(year, month) for year, month in months if month % 3 == 0]
    kinds = (ContractType.CURRENT_QUARTER, ContractType.NEXT_QUARTER)
    for kind, end in zip(kinds, [end for end in ends if end > now], strict=False):
        delivery = int(end.timestamp() * 1000)
        rows.append(
            replace(
                like,
                symbol=f"{like.symbol}_{end:%y%m%d}",
                contract_type=kind,
                onboard_ms=delivery - 180 * DAY_MS,
                delivery_ms=delivery,
                end_ms=delivery,
            )
        )
    return rows


def _last_friday(year: int, month: int) -> datetime:
    """08:00 UTC of a month's last Friday: when quarterly contracts are delivered."""
    after = datetime(year + month // 12, month % 12 + 1, 1, 8, tzinfo=UTC) - timedelta(days=1)
    return after - timedelta(days=(after.weekday() - 4) % 7)
