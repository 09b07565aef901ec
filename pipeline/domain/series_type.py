"""Data types with their interval, such as `klines:1m`: what a run takes of every symbol."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import DataType, HourRule, Market, parse_type, spec_of
from alphaqcm.pipeline.domain.symbol import Symbol


@dataclass(frozen=True, slots=True, order=True)
class SeriesType:
    """A data type, with its interval where it has one: a series without its symbol."""

    type: DataType
    interval: str = ""

    def __str__(self) -> str:
        return typed(self.type, self.interval)

    @classmethod
    def parse(cls, text: str) -> SeriesType:
        """Read `klines:1h` or `metrics`; bars without an interval are 1h. Raises `BadName`."""
        return cls(*parse_typed(text))

    def series(self, market: Market, symbol: str) -> Series:
        """The archive's series of a symbol; coin-margined index files go by the pair."""
        if market is Market.CM and self.type is DataType.INDEX:
            symbol = Symbol(market, symbol).pair
        return Series(market, self.type, symbol, self.interval)


def typed(data_type: DataType, interval: str = "") -> str:
    """A data type with its interval as commands and tasks name it: `klines:1m`."""
    return f"{data_type}:{interval}" if interval else f"{data_type}"


@functools.cache
def parse_typed(text: str) -> tuple[DataType, str]:
    """Read `klines:1h` or `metrics`; a type with bars and no interval is 1h. Raises `BadName`."""
    name, _, interval = text.strip().partition(":")
    data_type = parse_type(name)
    return data_type, interval or ("1h" if spec_of(data_type).has_interval else "")


def series_of(market: Market, type_name: str, symbol: str) -> Series:
    """The archive's series behind a symbol's data type, given as `klines:1m`."""
    return SeriesType.parse(type_name).series(market, symbol)


def types_of(market: Market) -> tuple[str, ...]:
    """Every data type a run of `market` takes, with its interval."""
    names = []
    for data_type in DataType:
        spec = spec_of(data_type)
        if market not in spec.markets or spec.hour_rule is HourRule.NONE:
            continue
        if data_type is DataType.KLINES:
            names.append(typed(data_type, "1m"))
        names.append(typed(data_type, "1h" if spec.has_interval else ""))
    return tuple(names)
