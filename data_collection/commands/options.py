"""Options that several commands share: which market, symbols, days, source and data root."""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime
from pathlib import Path

from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.data_collection.build.settings import RunSettings, types_of
from alphaqcm.data_collection.commands.universe import add_symbol_options, chosen_symbols
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import Market, Partition, parse_market
from alphaqcm.pipeline.errors import BadName

DEFAULT_ROOT = Path("AlphaQCM_data")


def add_root_option(parser: argparse.ArgumentParser) -> None:
    """`--data-root`."""
    parser.add_argument(
        "--data-root",
        type=Path,
        default=DEFAULT_ROOT,
        metavar="D",
        help="where everything is kept (default: %(default)s)",
    )


def add_market_option(parser: argparse.ArgumentParser) -> None:
    """`--market`."""
    parser.add_argument(
        "--market",
        default=Market.UM.value,
        choices=[market.value for market in Market],
        help="spot, um: USDT-margined, cm: coin-margined futures (default: %(default)s)",
    )


def add_source_options(parser: argparse.ArgumentParser, *, of_root: bool = False) -> None:
    """`--source` and `--listing`; `of_root`: by default those that the data root was made from.

    Their default is then None, and `fetch_options.open_source` reads what it stands for.
    """
    default = "the source of the data root's last run or fetch, else " if of_root else ""
    parser.add_argument(
        "--source",
        default=None if of_root else OFFICIAL_SOURCE,
        metavar="URL|DIR",
        help=f"the archive, a mirror of it, or a directory (default: {default}{OFFICIAL_SOURCE})",
    )
    parser.add_argument(
        "--listing",
        metavar="URL",
        help="where the source is listed (default: the official bucket, or the source itself)",
    )


def add_span_options(parser: argparse.ArgumentParser) -> None:
    """`--start` and `--end`."""
    parser.add_argument("--start", required=True, metavar="D", help="first day, YYYY-MM-DD (UTC)")
    parser.add_argument("--end", required=True, metavar="D", help="last day, included")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Everything that makes up the settings of a run."""
    add_symbol_options(parser)
    add_span_options(parser)
    add_market_option(parser)
    add_source_options(parser)
    add_root_option(parser)


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """How many processes, and which tables beside the full one."""
    parser.add_argument(
        "--workers", type=positive, default=2, metavar="N", help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--complete",
        choices=["metrics"],
        help="also the table of only those symbols that have metrics on the last day",
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="name of that table: final_dataset_NAME (default: complete_metrics)",
    )


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def parse_span(start: str, end: str) -> DateRange:
    """The days of a run; raises `UsageError` for a start after the end or an end to come."""
    first, last = _day(start, "--start"), _day(end, "--end")
    if first > last:
        raise UsageError(
            f"--start {first} --end {last}",
            expected="a start that is not after the end",
            next_step="swap them",
        )
    today = datetime.now(UTC).date()
    if last > today:
        raise UsageError(
            f"--end {last}",
            expected=f"a day that has begun (today is {today}, UTC)",
            next_step="the archive has a day's files on the day after it",
        )
    return DateRange(first, last)


def source_word(text: str) -> str:
    """A `--source` as settings keep it: a directory by its whole path."""
    return text if "://" in text else str(Path(text).resolve())


def run_settings(arguments: argparse.Namespace) -> RunSettings:
    """The settings that the options of `add_run_options` make up; raises `UsageError`."""
    market = parse_market(arguments.market)
    return RunSettings(
        market=market,
        symbols=tuple(symbol.exchange for symbol in chosen_symbols(arguments, market)),
        span=parse_span(arguments.start, arguments.end),
        root=arguments.data_root.resolve(),
        source=source_word(arguments.source),
        listing=arguments.listing,
        types=types_of(market),
    )


def _day(text: str, option: str) -> date:
    try:
        period = Period.parse(text)
    except BadName:
        period = None
    if period is None or period.partition is not Partition.DAILY:
        raise UsageError(
            f"{option} {text}", expected="a day as YYYY-MM-DD", next_step="write it so: 2024-02-29"
        )
    return period.start
