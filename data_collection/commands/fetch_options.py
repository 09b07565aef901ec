"""Options of every command that downloads: how many at once, how fast, how patient, with what."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import asdict
from typing import Any

from alphaqcm.data_collection.archive.archive import DOWNLOADERS, Archive, FetchOptions
from alphaqcm.data_collection.archive.ledger import FILE_NAME, Ledger
from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.data_collection.build.run.local_executor import last_source
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.storage.layout import Layout

_DEFAULT = FetchOptions()
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
KEPT_LISTING = 24 * 3600.0
"""Seconds that commands which only look at the listing take a kept one, unless --refresh."""


def add_fetch_options(parser: argparse.ArgumentParser) -> None:
    """`--downloader`, `--connections`, `--rate-limit`, `--max-disk`, `--recheck` and the like."""
    group = parser.add_argument_group("download")
    group.add_argument(
        "--downloader",
        default=_DEFAULT.downloader,
        choices=DOWNLOADERS,
        help="requests needs nothing installed, aria2 needs aria2c (default: %(default)s)",
    )
    group.add_argument(
        "--connections",
        type=int,
        default=_DEFAULT.connections,
        metavar="N",
        help="requests at once (default: %(default)s)",
    )
    group.add_argument(
        "--rate-limit", metavar="SIZE", help="bytes a second of all together, such as 20M"
    )
    group.add_argument(
        "--max-disk",
        metavar="SIZE",
        help="stop before the cache holds more, such as 500G (verified files count, not what other "
        "processes are just bringing)",
    )
    group.add_argument(
        "--recheck",
        type=float,
        default=_DEFAULT.recheck,
        metavar="HOURS",
        help="ask again for a listed file that was a 404 this long ago (default: %(default)s)",
    )
    group.add_argument(
        "--stall",
        type=float,
        default=_DEFAULT.stall,
        metavar="SECONDS",
        help="give an attempt up after this long without a byte (default: %(default)s)",
    )
    group.add_argument(
        "--retries",
        type=int,
        default=_DEFAULT.retries,
        metavar="N",
        help="fruitless attempts after the first, for each file (default: %(default)s)",
    )


def fetch_options(arguments: argparse.Namespace) -> FetchOptions:
    """What the options of `add_fetch_options` say; raises `UsageError`."""
    return FetchOptions(
        downloader=arguments.downloader,
        connections=arguments.connections,
        rate_limit=_size(arguments.rate_limit, "--rate-limit"),
        max_disk=_size(arguments.max_disk, "--max-disk"),
        recheck=arguments.recheck,
        stall=arguments.stall,
        retries=arguments.retries,
    )


def fetch_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the options say otherwise than by default."""
    told = asdict(fetch_options(arguments))
    return {name: value for name, value in told.items() if value != asdict(_DEFAULT)[name]}


def add_refresh_option(parser: argparse.ArgumentParser) -> None:
    """`--refresh`, of commands that look at the listing only."""
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="list the source anew, not from what was listed within the last day",
    )


def open_to_look(arguments: argparse.Namespace) -> Archive:
    """The archive of a command that only looks at its listing and ledger."""
    age = 0.0 if arguments.refresh else KEPT_LISTING
    return open_source(arguments, FetchOptions(listing_age=age))


def open_source(arguments: argparse.Namespace, options: FetchOptions) -> Archive:
    """The archive that `--source` names, else the one that the data root was made from.

    Says on stderr which it is where the command's words do not. Raises `UsageError`, `CacheError`.
    """
    layout = Layout(arguments.data_root)
    source, listing = arguments.source, arguments.listing
    if source is None:
        source, known_listing, why = _source_of(layout)
        listing = listing or known_listing
        print(f"source: {source} ({why}; --source names another)", file=sys.stderr)
    return Archive.open(source, cache=layout.cache, listing=listing, options=options)


def _source_of(layout: Layout) -> tuple[str, str | None, str]:
    """Source and listing of a data root, and why these: its last run, else its last fetch."""
    last = last_source(layout.temp)
    if last is not None:
        return *last, "the source of the data root's last run"
    if (layout.cache / FILE_NAME).is_file():
        with Ledger(layout.cache, reading=True) as ledger:
            fetched_from = ledger.last_source()
        if fetched_from:
            return fetched_from, None, "the data root's files came from there"
    return OFFICIAL_SOURCE, None, "nothing in the data root names another"


def _size(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)B?", text.strip().upper())
    if match is None or float(match[1]) == 0:
        raise UsageError(
            f"{option} {text}", expected="a number of bytes such as 500000, 20M or 1.5G"
        )
    return int(float(match[1]) * _UNITS[match[2]])
