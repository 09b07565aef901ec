"""The options that select archive files: data types beside symbols, days and market."""

from __future__ import annotations

import argparse

from alphaqcm.data_collection.archive.selection import Selection
from alphaqcm.data_collection.commands.options import parse_span
from alphaqcm.data_collection.commands.universe import chosen_symbols
from alphaqcm.pipeline.domain.registry import parse_market
from alphaqcm.pipeline.domain.series_type import parse_typed, typed, types_of


def add_types_option(parser: argparse.ArgumentParser, name: str = "--types") -> None:
    """`--types`."""
    parser.add_argument(
        name,
        dest="types",
        metavar="T,T",
        help="data types such as klines:1m,metrics; bars without an interval are 1h "
        "(default: every type a run of the market takes)",
    )


def read_selection(arguments: argparse.Namespace) -> Selection:
    """What symbol, type, span and market options ask for; raises `UsageError`, `BadName`."""
    market = parse_market(arguments.market)
    names = arguments.types.split(",") if arguments.types else types_of(market)
    return Selection(
        market=market,
        symbols=tuple(symbol.exchange for symbol in chosen_symbols(arguments, market)),
        types=tuple(typed(*parse_typed(name)) for name in names),
        span=parse_span(arguments.start, arguments.end),
    )
