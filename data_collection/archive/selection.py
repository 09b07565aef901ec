"""Which archive files symbols, data types and days stand for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from alphaqcm.data_collection.archive.archive import Archive
from alphaqcm.data_collection.archive.plan import wanted_files
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import months_between
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.series_type import parse_typed, series_of

_FEW = 5  # unknown symbols that are named one by one


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series, over which days."""

    market: Market
    symbols: tuple[str, ...]  # exchange names
    types: tuple[str, ...]  # with their interval: klines:1h
    span: DateRange

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


def find_files(archive: Archive, selection: Selection) -> list[ArchiveFile]:
    """Every file of the selection, in order; raises `UsageError` for symbols without any."""
    listing = archive.list_many(selection.series)
    _check_known(archive, selection, {series.symbol for series, found in listing.items() if found})
    months = list(months_between(selection.span.start, selection.span.end))
    return [
        file
        for series in listing
        for file in wanted_files(
            series, months, archive.available(series), archive.known_gaps(series), selection.span
        )
    ]


def _check_known(archive: Archive, selection: Selection, known: set[str]) -> None:
    unknown = [
        symbol
        for symbol in selection.symbols
        if not known
        & {series_of(selection.market, name, symbol).symbol for name in selection.types}
    ]
    if not unknown:
        return
    near, elsewhere = ([], []) if len(unknown) > _FEW else _similar(archive, selection, unknown)
    more = "" if len(unknown) <= _FEW else f" and {len(unknown) - _FEW} more"
    raise UsageError(
        "symbols " + ", ".join(unknown[:_FEW]) + more,
        expected=f"symbols that the source lists for {selection.market} and "
        + ", ".join(selection.types),
        found="no file of these types"
        + (f"; {', '.join(elsewhere)} only of other intervals" if elsewhere else "")
        + (f"; near: {', '.join(near)}" if near else ""),
        next_step=f"alphaqcm symbols --market {selection.market}, with the same --source",
    )


def _similar(
    archive: Archive, selection: Selection, unknown: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Names like the unknown ones, and those of them that have files of another interval."""
    data_type, _ = parse_typed(selection.types[0])
    there = archive.symbols(selection.market, data_type)
    elsewhere = [name for name in unknown if name in there]
    others = [name for name in there if name not in unknown]
    lost = [name for name in unknown if name not in there]
    found = (name for symbol in lost for name in difflib.get_close_matches(symbol, others, 3))
    return list(dict.fromkeys(found)), elsewhere
