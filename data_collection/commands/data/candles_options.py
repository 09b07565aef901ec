"""Options that the candle commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from alphaqcm.data_collection.archive.archive import Archive
from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.data_collection.build.candles.request import (
    CandleRequest,
    parse_kline_interval,
    parse_markets,
)
from alphaqcm.data_collection.commands.options import add_root_option, positive
from alphaqcm.data_collection.commands.universe import chosen_symbols
from alphaqcm.data_collection.exchange.endpoints import Bases
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import BadName
from alphaqcm.pipeline.storage.layout import Layout

DEFAULT_MARKETS = "um,spot"


def add_market_options(parser: argparse.ArgumentParser) -> None:
    """`--market` and `--data-root`."""
    parser.add_argument(
        "--market",
        default=DEFAULT_MARKETS,
        metavar="M,M",
        help="spot, um, cm, comma separated (default: %(default)s)",
    )
    add_root_option(parser)


def add_exchange_option(parser: argparse.ArgumentParser) -> None:
    """`--exchange`."""
    parser.add_argument(
        "--exchange",
        metavar="URL",
        help="one host for every market, such as the stand-in (default: ALPHAQCM_EXCHANGE, else "
        "the real hosts)",
    )


def add_range_options(parser: argparse.ArgumentParser, days: int | None = 15) -> None:
    """`--days`, or `--start` and `--end`."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--days",
        type=positive,
        metavar="N",
        help="so many days up to the end" + (f" (default: {days})" if days else ""),
    )
    group.add_argument("--start", metavar="T", help="a date or an ISO instant (UTC)")
    parser.add_argument(
        "--end", metavar="T", help="not included (default: now, by the exchange's clock)"
    )


def add_symbol_names(parser: argparse.ArgumentParser) -> None:
    """`--symbols` and `--symbols-file`; neither: every traded symbol."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--symbols", metavar="A,B", help="comma separated (default: all)")
    group.add_argument("--symbols-file", metavar="F", help="one symbol a line, `#` for comments")


def add_archive_options(parser: argparse.ArgumentParser) -> None:
    """`--source`."""
    parser.add_argument(
        "--source",
        default=OFFICIAL_SOURCE,
        metavar="URL|DIR",
        help="the archive, a mirror of it, or a directory (default: %(default)s)",
    )


def named_symbols(arguments: argparse.Namespace, markets: tuple[Market, ...]) -> tuple[str, ...]:
    """The names that the options give, as the exchange writes them; empty for all."""
    if arguments.symbols is None and arguments.symbols_file is None:
        return ()
    names: dict[str, None] = {}
    refused: BadName | None = None
    for market in markets:
        try:
            names |= dict.fromkeys(one.exchange for one in chosen_symbols(arguments, market))
        except BadName as error:
            refused = error
    if not names and refused is not None:
        raise refused
    return tuple(names)


def read_request(arguments: argparse.Namespace) -> CandleRequest:
    """What a fetch is about; raises `UsageError`, `BadName`."""
    markets = parse_markets(arguments.market)
    return CandleRequest(
        markets=markets,
        quote=arguments.quote.upper(),
        interval=parse_kline_interval(arguments.interval),
        days=arguments.days,
        start=arguments.start,
        end=arguments.end,
        symbols=named_symbols(arguments, markets),
    )


def read_bases(arguments: argparse.Namespace) -> Bases:
    """The hosts to ask; raises `UsageError`."""
    return Bases.at(arguments.exchange) if arguments.exchange else Bases.default()


def archive_opener(arguments: argparse.Namespace) -> Callable[[], Archive]:
    """How to open the archive that `--source` names."""
    layout = Layout(arguments.data_root)
    return lambda: Archive.open(arguments.source, cache=layout.cache)
