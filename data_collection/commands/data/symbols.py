"""List the symbols a market ever had at the archive, with their first and last date.

Delisted contracts stay in the archive, so this is the survivorship-safe universe. Without
--include-delisted or --alive-on, only symbols whose files reach the archive's newest days. The
dates tell when files begin and end: some contracts have empty minutes long after their delisting.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import orjson

from alphaqcm.data_collection.archive.archive import Archive
from alphaqcm.data_collection.build.settings import parse_typed
from alphaqcm.data_collection.commands.fetch_options import add_refresh_option, open_to_look
from alphaqcm.data_collection.commands.options import (
    add_market_option,
    add_root_option,
    add_source_options,
)
from alphaqcm.data_collection.commands.summary import counted
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import DataType, Market, Partition, parse_market, spec_of
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.atomic_write import write_bytes

_LATE = {Partition.DAILY: timedelta(days=3), Partition.MONTHLY: timedelta(days=45)}
"""How late the files of a living symbol may be, after the newest file of all symbols."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_market_option(parser)
    parser.add_argument(
        "--type",
        default="klines:1m",
        metavar="T",
        help="the data type whose files count (default: %(default)s)",
    )
    parser.add_argument("--quote", metavar="Q", help="only symbols quoted in Q, such as USDT")
    parser.add_argument("--alive-on", metavar="D", help="only symbols with files around that day")
    parser.add_argument(
        "--include-delisted", action="store_true", help="also those that ended long ago"
    )
    parser.add_argument("--write", type=Path, metavar="F", help="write a symbols file")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_source_options(parser, of_root=True)
    add_root_option(parser)
    add_refresh_option(parser)


@dataclass(frozen=True, slots=True)
class Life:
    """When a symbol's files begin and end."""

    symbol: Symbol
    first: date
    last: date


def run(arguments: argparse.Namespace) -> int:
    """Print or write the symbols."""
    market = parse_market(arguments.market)
    data_type, interval = parse_typed(arguments.type)
    day = _day(arguments.alive_on)
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
    elif arguments.json:
        sys.stdout.buffer.write(_json(lives))
    else:
        for life in lives:
            print(f"{life.symbol.exchange:<24}{life.first}  {life.last}")
        print(counted(len(lives), "symbol"))
    return 0


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


def _json(lives: list[Life]) -> bytes:
    return orjson.dumps(
        [
            {"symbol": life.symbol.exchange, "first": life.first, "last": life.last}
            for life in lives
        ],
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"--alive-on {text}", expected="a day as YYYY-MM-DD") from None
