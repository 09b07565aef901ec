"""What a run is about, as one value that worker processes can read back from JSON."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.data_collection.queue.task import Task, TaskKind
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import months_between
from alphaqcm.pipeline.domain.registry import (
    DataType,
    HourRule,
    Market,
    parse_market,
    parse_type,
    spec_of,
)
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.layout import Layout


def typed(data_type: DataType, interval: str = "") -> str:
    """A data type with its interval as commands and tasks name it: `klines:1m`."""
    return f"{data_type}:{interval}" if interval else f"{data_type}"


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


@functools.cache
def parse_typed(text: str) -> tuple[DataType, str]:
    """Read `klines:1h` or `metrics`; a type with bars and no interval is 1h. Raises `BadName`."""
    name, _, interval = text.strip().partition(":")
    data_type = parse_type(name)
    return data_type, interval or ("1h" if spec_of(data_type).has_interval else "")


def series_of(market: Market, type_name: str, symbol: str) -> Series:
    """The archive's series behind a symbol's data type; coin-margined index files go by pair."""
    data_type, interval = parse_typed(type_name)
    if market is Market.CM and data_type is DataType.INDEX:
        symbol = Symbol(market, symbol).pair
    return Series(market, data_type, symbol, interval)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The range, universe, source and places of a run."""

    market: Market
    symbols: tuple[str, ...]  # exchange names
    span: DateRange
    root: Path
    source: str = OFFICIAL_SOURCE
    listing: str | None = None
    types: tuple[str, ...] = ()
    fetch: Mapping[str, Any] = field(default_factory=dict)  # FetchOptions by name
    shared_by: int = 1  # processes that fetch at the same time, within these limits together
    directories: Mapping[str, Path] = field(default_factory=dict)  # Layout.overrides

    @property
    def layout(self) -> Layout:
        """Where everything lies."""
        return Layout(self.root, self.market, self.directories)

    def tasks(self, symbol: str) -> Iterator[Task]:
        """Every task of one symbol, in the order of the road."""
        hourly = []
        for name in self.types:
            for month in months_between(self.span.start, self.span.end):
                yield Task(TaskKind.MONTH, name, symbol, month.stamp)
            if name != typed(DataType.KLINES, "1m"):
                hourly.append(Task(TaskKind.HOURLY, name, symbol))
        yield from hourly
        if self.market is Market.UM and set(self.types) == set(types_of(self.market)):
            yield Task(TaskKind.FACTORS, "", symbol)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "market": self.market.value,
            "symbols": list(self.symbols),
            "start": self.span.start.isoformat(),
            "end": self.span.end.isoformat(),
            "root": str(self.root),
            "source": self.source,
            "listing": self.listing,
            "types": list(self.types),
            "fetch": dict(self.fetch),
            "shared_by": self.shared_by,
            "directories": {name: str(path) for name, path in self.directories.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunSettings:
        """Read the JSON form."""
        return cls(
            market=parse_market(data["market"]),
            symbols=tuple(data["symbols"]),
            span=DateRange(date.fromisoformat(data["start"]), date.fromisoformat(data["end"])),
            root=Path(data["root"]),
            source=data["source"],
            listing=data["listing"],
            types=tuple(data["types"]),
            fetch=dict(data["fetch"]),
            shared_by=int(data.get("shared_by", 1)),
            directories={name: Path(path) for name, path in data["directories"].items()},
        )
