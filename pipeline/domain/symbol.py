"""A contract or pair, in the exchange's name and in every other notation."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import BadName

QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "BTC", "ETH", "BNB", "EUR", "TRY")


_EXPIRY = re.compile(r"^(?P<pair>.+)_(?P<expiry>\d{6}|PERP)$")


_NOTATION = re.compile(
    r"^(?P<base>[^/_:\s]+)[/_](?P<quote>[^/_:\s]+?)(:(?P<settle>[^/_:\s-]+)(-(?P<expiry>\d{6}))?)?$"
)


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """One contract or pair of a market, under the exchange's name."""

    market: Market
    exchange: str

    @classmethod
    def parse(cls, text: str, market: Market) -> Symbol:
        """Read any notation: `BTCUSDT`, `BTC/USDT:USDT`, `BTC_USDT:USDT`; raises `BadName`."""
        name = text.strip().upper()
        if market is Market.CM and re.fullmatch(r"[^/:\s]+_(PERP|\d{6})", name):
            return cls(market, name)
        notation = _NOTATION.match(name)
        if notation and (":" in name or "/" in name or notation["quote"] in QUOTES):
            return cls(market, _exchange_name(text, market, notation))
        if not name or not re.fullmatch(r"\w+", name):
            raise _bad_symbol(text, market)
        if market is Market.CM and name.endswith("USD"):
            return cls(market, f"{name}_PERP")
        return cls(market, name)

    @property
    def parts(self) -> tuple[str, str, str] | None:
        """(base, quote, expiry or empty), or None where the name does not tell."""
        pair, expiry = self.exchange, ""
        dated = _EXPIRY.match(self.exchange) if self.market is not Market.SPOT else None
        if dated:
            pair, expiry = dated["pair"], dated["expiry"]
        for currency in ("USD",) if self.market is Market.CM else QUOTES:
            if pair.endswith(currency) and len(pair) > len(currency):
                return pair.removesuffix(currency), currency, "" if expiry == "PERP" else expiry
        return None

    @property
    def ccxt(self) -> str:
        """CCXT's notation (`BTC/USDT:USDT`); the exchange's name where it has none."""
        if self.parts is None:
            return self.exchange
        base, currency, expiry = self.parts
        if self.market is Market.SPOT:
            return f"{base}/{currency}"
        settle = base if self.market is Market.CM else currency
        return f"{base}/{currency}:{settle}" + (f"-{expiry}" if expiry else "")

    @property
    def table(self) -> str:
        """The final table's notation (`BTC_USDT:USDT`), also used in file names."""
        return self.ccxt.replace("/", "_")

    @property
    def pair(self) -> str:
        """The pair under which coin-margined index files are kept (`BTCUSD`)."""
        dated = _EXPIRY.match(self.exchange)
        return dated["pair"] if dated else self.exchange


def _exchange_name(text: str, market: Market, notation: re.Match[str]) -> str:
    base, currency = notation["base"], notation["quote"]
    settle, expiry = notation["settle"], notation["expiry"]
    settles_in = {Market.SPOT: None, Market.UM: currency, Market.CM: base}[market]
    if settle is not None and settle != settles_in:
        raise _bad_symbol(text, market)
    if market is Market.CM:
        return f"{base}{currency}_{expiry or 'PERP'}"
    return f"{base}{currency}" + (f"_{expiry}" if expiry else "")


def _bad_symbol(text: str, market: Market) -> BadName:
    example = {
        Market.SPOT: "BTCUSDT or BTC/USDT",
        Market.UM: "BTCUSDT, BTC/USDT:USDT or BTC_USDT:USDT",
        Market.CM: "BTCUSD_PERP or BTC/USD:BTC",
    }[market]
    return BadName(
        f"symbol {text!r}",
        expected=f"a {market} symbol such as {example}",
        next_step="correct the name, or pass the --market it belongs to",
    )
