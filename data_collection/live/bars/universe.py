"""Which symbols a live directory follows, as the exchange's own list changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from alphaqcm.data_collection.exchange.answers import SymbolInfo
from alphaqcm.data_collection.exchange.endpoints import PERPETUAL, TradeType
from alphaqcm.data_collection.live.config import LiveConfig

TRADING = "TRADING"
TRADIFI = "TRADIFI_PERPETUAL"
_ENDED = frozenset({"SETTLING", "PRE_SETTLE", "CLOSE", "DELIVERING", "DELIVERED"})
_BREAK = "BREAK"  # spot: an interruption, or the end
_BREAK_LASTS_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Change:
    """What is new since the last look."""

    listed: tuple[SymbolInfo, ...] = ()
    delisted: tuple[str, ...] = ()
    statuses: tuple[tuple[str, str], ...] = ()  # symbol and new status


def belongs(info: SymbolInfo, kind: TradeType, *, tradifi: bool) -> bool:
    """Whether a symbol is of a trade type; stock perpetuals only where they are asked for."""
    contracts = kind.contracts
    if tradifi and PERPETUAL in contracts:
        contracts = (*contracts, TRADIFI)
    return (kind.quote is None or info.quoteAsset == kind.quote) and (
        not contracts or info.contractType in contracts
    )


@dataclass(slots=True)
class Universe:
    """The followed symbols and their statuses."""

    config: LiveConfig
    infos: dict[str, SymbolInfo] = field(default_factory=dict)  # of what is followed
    _broken_since: dict[str, int] = field(default_factory=dict)

    def update(self, symbols: Iterable[SymbolInfo], now_ms: int) -> Change:
        """Take over what `exchangeInfo` tells now (ms)."""
        config = self.config
        told = {
            one.symbol: one
            for one in symbols
            if belongs(one, config.trade_type, tradifi=config.tradifi)
            and (config.keep_symbols is None or one.symbol in config.keep_symbols)
        }
        listed, statuses = [], []
        for symbol, info in told.items():
            known = self.infos.get(symbol)
            if known is None:
                if info.state == TRADING:
                    listed.append(info)
            elif known.state != info.state:
                statuses.append((symbol, info.state))
        gone = [name for name in self.infos if self._has_ended(name, told.get(name), now_ms)]
        for name in gone:
            del self.infos[name]
        self.infos |= {name: told[name] for name in self.infos if name in told}
        self.infos |= {info.symbol: info for info in listed}
        kept = tuple(one for one in statuses if one[0] in self.infos)
        return Change(tuple(listed), tuple(gone), kept)

    def drop(self, symbol: str) -> None:
        """The exchange does not know the symbol any more."""
        self.infos.pop(symbol, None)

    def _has_ended(self, symbol: str, info: SymbolInfo | None, now_ms: int) -> bool:
        if info is None or info.state in _ENDED:
            return True
        if info.state != _BREAK:
            self._broken_since.pop(symbol, None)
            return False
        return now_ms - self._broken_since.setdefault(symbol, now_ms) > _BREAK_LASTS_MS
