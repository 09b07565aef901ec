"""Lists the symbols a market ever had at the archive, with their first and last date."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from alphaqcm.data_collection.archive.archive import Archive
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer, wants_text
from alphaqcm.data_collection.commands.request import open_to_look
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.reporting.text import counted
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import DataType, Market, Partition, parse_market, spec_of
from alphaqcm.pipeline.domain.series_type import parse_typed
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.atomic_write import write_bytes

_LATE = {Partition.DAILY: timedelta(days=3), Partition.MONTHLY: timedelta(days=45)}
"""How late the files of a living symbol may be, after the newest file of all symbols."""


@dataclass(frozen=True, slots=True)
class Life:
    """When a symbol's files begin and end."""

    symbol: Symbol
    first: date
    last: date


def run(arguments: argparse.Namespace) -> Answer:
    """Print or write the symbols."""
    market = parse_market(arguments.market)
    data_type, interval = parse_typed(arguments.type)
    day: date | None = arguments.alive_on
    with open_to_look(arguments) as archive:
        lives = sorted(_lives(archive, market, data_type, interval), key=lambda life: life.symbol)
        if not lives:
            raise UsageError(
                f"{arguments.type} of {market}",
                expected="symbols in the listing",
                found="none",
                next_step="check --market, --type and --source",
            )
    if arguments.quote:
        lives = [life for life in lives if _quote(life.symbol) == arguments.quote.upper()]
    newest = max((life.last for life in lives), default=date.min)
    late = _LATE[
        Partition.DAILY if Partition.DAILY in spec_of(data_type).partitions else Partition.MONTHLY
    ]
    if day is not None:
        lives = [life for life in lives if life.first <= day <= life.last]
    elif not arguments.include_delisted:
        lives = [life for life in lives if life.last >= newest - late]
    if arguments.write:
        _write(arguments.write, lives, arguments)
    elif wants_text(arguments):
        for life in lives:
            print(f"{life.symbol.exchange:<24}{life.first}  {life.last}")
        print(counted(len(lives), "symbol"))
    return Answer(ExitCode.DONE, _document(lives))


def _lives(archive: Archive, market: Market, data_type: DataType, interval: str) -> Iterable[Life]:
    names = archive.symbols(market, data_type)
    listing = archive.list_many(Series(market, data_type, name, interval) for name in names)
    for series, periods in listing.items():
        if periods:
            first = min(period.start for period in periods)
            last = max(period.end for period in periods) - timedelta(days=1)
            yield Life(Symbol(market, series.symbol), first, last)


def _quote(symbol: Symbol) -> str:
    return symbol.parts[1] if symbol.parts else ""


def _write(path: Path, lives: list[Life], arguments: argparse.Namespace) -> None:
    words = [f"--market {arguments.market}", f"--type {arguments.type}"]
    words += [f"--quote {arguments.quote}"] if arguments.quote else []
    words += [f"--alive-on {arguments.alive_on}"] if arguments.alive_on else []
    words += ["--include-delisted"] if arguments.include_delisted else []
    lines = [f"# {counted(len(lives), 'symbol')}: alphaqcm symbols {' '.join(words)}"]
    lines += [life.symbol.exchange for life in lives]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
    print(f"{path}: {counted(len(lives), 'symbol')}")


def _document(lives: list[Life]) -> list[dict[str, Any]]:
    return [
        {"symbol": life.symbol.exchange, "first": life.first, "last": life.last} for life in lives
    ]
