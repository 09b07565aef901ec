"""Closed minutes that came over a WebSocket and that REST has not confirmed yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import polars as pl

from alphaqcm.data_collection.marketstore.buckets.minutes import MINUTE_TYPES, TIME
from alphaqcm.pipeline.domain.registry import Market

VALUES: Final = tuple(name for name in MINUTE_TYPES if name != TIME)
"""Order of a minute's values: open, high, low, close, volume, and the archive's others."""

_KEPT_US: Final = 4 * 3_600_000_000

Values = tuple[float | int, ...]


class Minute(msgspec.Struct, frozen=True):  # a dataclass takes a microsecond longer to make
    """One closed minute; `values` in the order of VALUES."""

    market: Market
    symbol: str
    begin_us: int  # microseconds since the epoch, UTC
    values: Values


class Recent:
    """The minutes by symbol. Written by the event loop, read by any thread."""

    def __init__(self) -> None:
        self._minutes: dict[tuple[Market, str], dict[int, Values]] = {}
        self._confirmed: dict[tuple[Market, str], int] = {}

    def add(self, minute: Minute) -> bool:
        """Take in a minute; whether it is new. Of one that comes twice the first stays."""
        own = self._minutes.setdefault((minute.market, minute.symbol), {})
        if minute.begin_us in own:
            return False
        own[minute.begin_us] = minute.values
        return True

    def symbols(self, market: Market) -> set[str]:
        """Symbols with minutes."""
        return {
            symbol for (own, symbol), held in list(self._minutes.items()) if own is market and held
        }

    def frame(self, market: Market, symbol: str) -> pl.DataFrame | None:
        """A symbol's minutes in order of time: TIME, then VALUES; None where there are none."""
        held = self._minutes.get((market, symbol))
        if not held:
            return None
        rows = sorted(held.copy().items())
        return pl.DataFrame(
            {
                TIME: pl.Series([begin for begin, _ in rows], dtype=pl.Int64).cast(
                    MINUTE_TYPES[TIME]
                ),
                **{
                    name: pl.Series([values[n] for _, values in rows], dtype=MINUTE_TYPES[name])
                    for n, name in enumerate(VALUES)
                },
            }
        )

    def unconfirmed_us(self, market: Market, symbol: str) -> int | None:
        """Begin of the first minute that REST has not told; None where there is none."""
        done = self._confirmed.get((market, symbol), 0)
        held = self._minutes.get((market, symbol), {})
        return min((begin for begin in list(held) if begin >= done), default=None)

    def confirm(
        self, market: Market, symbol: str, until_us: int, told: Mapping[int, Values]
    ) -> int:
        """REST has told the minutes before `until_us`: how many differ from those held.

        They are forgotten, but the last hours, of which longer candles are made.
        """
        held = self._minutes.get((market, symbol), {})
        done = self._confirmed.get((market, symbol), 0)
        known = [begin for begin in list(held) if begin < until_us]
        differ = sum(held[begin] != told.get(begin) for begin in known if begin >= done)
        for begin in known:
            if begin < until_us - _KEPT_US:
                del held[begin]
        self._confirmed[market, symbol] = until_us
        return differ
