"""Reads what the candle commands' options ask for."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from alphaqcm.data_collection.archive.archive import Archive
from alphaqcm.data_collection.build.candles.request import (
    CandleRequest,
    parse_kline_interval,
    parse_markets,
)
from alphaqcm.data_collection.commands.universe import named_symbols
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.endpoints import Bases
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import BadName
from alphaqcm.pipeline.storage.layout import Layout


def read_symbols_of(arguments: argparse.Namespace, markets: tuple[Market, ...]) -> tuple[str, ...]:
    """The names that the options give, as the exchange writes them; empty for all."""
    if arguments.symbols is not None and arguments.symbols_file is not None:
        raise UsageError("--symbols and --symbols-file", expected="one of the two")
    names: dict[str, None] = {}
    refused: BadName | None = None
    for market in markets:
        try:
            names |= dict.fromkeys(one.exchange for one in named_symbols(arguments, market))
        except BadName as error:
            refused = error
    if not names and refused is not None:
        raise refused
    return tuple(names)


def read_request(arguments: argparse.Namespace, interval: str) -> CandleRequest:
    """What a fetch is about; raises `UsageError`, `BadName`."""
    if arguments.days is not None and arguments.start is not None:
        raise UsageError("--days and --start", expected="one of the two")
    markets = parse_markets(arguments.markets)
    return CandleRequest(
        markets=markets,
        quote=arguments.quote.upper(),
        interval=parse_kline_interval(interval),
        days=arguments.days,
        start=arguments.start,
        end=arguments.end,
        symbols=read_symbols_of(arguments, markets),
    )


def read_bases(arguments: argparse.Namespace) -> Bases:
    """The hosts to ask; raises `UsageError`."""
    return Bases.at(arguments.exchange) if arguments.exchange else Bases.default()


def archive_opener(arguments: argparse.Namespace) -> Callable[[], Archive]:
    """How to open the archive that `--source` names."""
    layout = Layout(arguments.data_root)
    return lambda: Archive.open(arguments.source, cache=layout.cache)
