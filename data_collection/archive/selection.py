"""The archive files that symbols, types and days stand for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from alphaqcm.data_collection.archive.archive import Archive
from alphaqcm.data_collection.archive.ledger import FileRecord
from alphaqcm.data_collection.archive.plan import wanted_files
from alphaqcm.data_collection.build.settings import (
    RunSettings,
    parse_typed,
    series_of,
)
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import Market

_FEW = 5  # unknown symbols that are named one by one


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series, over which days."""

    market: Market
    symbols: tuple[str, ...]  # exchange names
    types: tuple[str, ...]  # with their interval: klines:1h
    span: DateRange

    @classmethod
    def of(cls, settings: RunSettings) -> Selection:
        """Everything that a run is about."""
        return cls(settings.market, settings.symbols, settings.types, settings.span)

    @property
    def series(self) -> tuple[Series, ...]:
        """Every series, symbol by symbol."""
        return tuple(
            dict.fromkeys(
                series_of(self.market, name, symbol)
                for symbol in self.symbols
                for name in self.types
            )
        )


def find_files(archive: Archive, wish: Selection) -> list[ArchiveFile]:
    """Every file that covers the wish, in order; raises `UsageError` for symbols of no file."""
    listing = archive.list_many(wish.series)
    _check_known(archive, wish, {series.symbol for series, found in listing.items() if found})
    files: list[ArchiveFile] = []
    for series, periods in listing.items():
        records: dict[str, FileRecord] = {
            record.key: record for record in archive.ledger.of_series(series)
        }
        files += wanted_files(series, (wish.span.start, wish.span.end), periods, records)
    return files


def _check_known(archive: Archive, wish: Selection, known: set[str]) -> None:
    unknown = [
        symbol
        for symbol in wish.symbols
        if not known & {series_of(wish.market, name, symbol).symbol for name in wish.types}
    ]
    if not unknown:
        return
    near = _similar(archive, wish, unknown) if len(unknown) <= _FEW else []
    more = "" if len(unknown) <= _FEW else f" and {len(unknown) - _FEW} more"
    raise UsageError(
        "symbols " + ", ".join(unknown[:_FEW]) + more,
        expected=f"symbols that the source lists for {wish.market} and {', '.join(wish.types)}",
        found="no file under these names" + (f"; near: {', '.join(near)}" if near else ""),
        next_step=f"alphaqcm symbols --market {wish.market}, with the same --source",
    )


def _similar(archive: Archive, wish: Selection, unknown: Sequence[str]) -> list[str]:
    data_type, _ = parse_typed(wish.types[0])
    there = archive.symbols(wish.market, data_type)
    found = (name for symbol in unknown for name in difflib.get_close_matches(symbol, there, 3))
    return list(dict.fromkeys(found))
