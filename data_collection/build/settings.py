"""What a run is about, as one value that worker processes can read back from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from alphaqcm.data_collection.archive.objects.object_store import open_store
from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import (
    Market,
    parse_market,
)
from alphaqcm.pipeline.storage.file_store import LOCAL
from alphaqcm.pipeline.storage.layout import TEMP_NAME, Layout


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
    directories: Mapping[str, Path] = field(default_factory=dict)  # Layout.overrides
    store: str = ""  # URL of a data root in an object store; `root` is then a passing folder
    keep_zips: bool = False  # put verified ZIPs into that store's cache

    @property
    def layout(self) -> Layout:
        """Where everything lies."""
        store = open_store(self.store, self.root) if self.store else LOCAL
        return Layout(self.root, self.market, self.directories, store)

    def shown(self, path: Path) -> str:
        """A path of the data root as its user knows it."""
        inside = bool(self.store) and path.is_relative_to(self.root)
        return f"{self.store}/{path.relative_to(self.root).as_posix()}" if inside else str(path)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        told = {
            "market": self.market.value,
            "symbols": list(self.symbols),
            "start": self.span.start.isoformat(),
            "end": self.span.end.isoformat(),
            "root": str(self.root),
            "source": self.source,
            "listing": self.listing,
            "types": list(self.types),
            "fetch": dict(self.fetch),
            "directories": {name: str(path) for name, path in self.directories.items()},
        }
        return told | ({"store": self.store, "keep_zips": self.keep_zips} if self.store else {})

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
            directories=_directories(data["directories"]),
            store=data.get("store", ""),
            keep_zips=bool(data.get("keep_zips", False)),
        )


def _directories(told: Mapping[str, str]) -> dict[str, Path]:
    """Places of their own; 0.1.0 kept all working files in a `temp`, of which the cache is left."""
    places = {name: Path(path) for name, path in told.items()}
    temp = places.pop("temp", None)
    if temp is not None and temp.name != TEMP_NAME:
        places["cache"] = temp
    return places
