"""From a command's options to what the libraries take: settings, a selection, an open archive."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from alphaqcm.data_collection.archive.ledger import FILE_NAME, Ledger
from alphaqcm.data_collection.archive.selection import Selection
from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.data_collection.build.last_run import last_source
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.commands.grammar.places import source_layout
from alphaqcm.data_collection.commands.output import tell
from alphaqcm.data_collection.commands.universe import chosen_symbols
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import Market, parse_market
from alphaqcm.pipeline.domain.series_type import parse_typed, typed, types_of
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.layout import Layout

_DEFAULT = FetchOptions()
KEPT_LISTING = 24 * 3600.0
"""Seconds that commands which only look at the listing take a kept one, unless --refresh."""


def parse_span(first: date, last: date) -> DateRange:
    """The days of a run; raises `UsageError` for a start after the end or an end to come."""
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
    """The settings that the options of a run make up; raises `UsageError`."""
    market = parse_market(arguments.market)
    return RunSettings(
        market=market,
        symbols=tuple(symbol.exchange for symbol in chosen_symbols(arguments, market)),
        span=parse_span(arguments.start, arguments.end),
        root=arguments.data_root.resolve(),
        directories=dict(source_layout(arguments).overrides),
        source=source_word(arguments.source),
        listing=arguments.listing,
        types=types_of(market),
    )


def named_types(names: tuple[str, ...] | None, market: Market) -> tuple[str, ...]:
    """The data types that `--types` names, with their interval; every one of the market's runs."""
    if names in (None, ("all",)):
        return types_of(market)
    return tuple(dict.fromkeys(typed(*parse_typed(name)) for name in names or ()))


def read_selection(arguments: argparse.Namespace) -> Selection:
    """What symbol, type, span and market options ask for; raises `UsageError`, `BadName`."""
    market = parse_market(arguments.market)
    return Selection(
        market=market,
        symbols=tuple(symbol.exchange for symbol in chosen_symbols(arguments, market)),
        types=named_types(arguments.types, market),
        span=parse_span(arguments.start, arguments.end),
    )


def fetch_options(arguments: argparse.Namespace) -> FetchOptions:
    """What the download options say."""
    names = (
        "downloader", "connections", "rate_limit", "max_disk", "recheck", "stall", "retries",
    )  # fmt: skip
    return replace(_DEFAULT, **{name: getattr(arguments, name) for name in names})


def fetch_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the download options say otherwise than by default."""
    chosen = asdict(fetch_options(arguments))
    return {name: value for name, value in chosen.items() if value != asdict(_DEFAULT)[name]}


@contextmanager
def open_to_look(arguments: argparse.Namespace) -> Iterator[Archive]:
    """The archive of a command that only looks at its listing and ledger.

    A data root that is not there yet appears when the block ends well: an error, such as a source
    that cannot be reached, leaves nothing behind. Raises like `open_source`.
    """
    options = FetchOptions(listing_age=0.0 if arguments.refresh else KEPT_LISTING)
    root: Path = arguments.data_root
    if root.exists():
        with open_source(arguments, options) as archive:
            yield archive
        return
    with TemporaryDirectory(prefix="alphaqcm-") as folder:
        made = Path(folder) / "root"
        with open_source(arguments, options, made) as archive:
            yield archive
        try:
            if not root.exists():
                root.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(made, root)
        except OSError as error:
            raise layer_error(root, error) from error


def open_source(
    arguments: argparse.Namespace, options: FetchOptions, root: Path | None = None
) -> Archive:
    """The archive that `--source` names, else the one that the data root was made from.

    `root` is another data root than the one that the options name. Says on stderr which source it
    is where the command's words do not. Raises `UsageError`, `CacheError`.
    """
    layout = source_layout(arguments, root)
    source, listing = arguments.source, arguments.listing
    if source is None:
        source, known_listing, why = _source_of(layout)
        listing = listing or known_listing
        tell(f"source: {source} ({why}; --source names another)")
    return Archive.open(
        source,
        cache=layout.cache,
        listing=listing,
        options=options,
        ledger_dir=layout.ledger_dir,
        files_may_be_gone=bool(arguments.store),
    )


def _source_of(layout: Layout) -> tuple[str, str | None, str]:
    """Source and listing of a data root, and why these: its last run, else its last fetch."""
    last = last_source(layout.temp)
    if last is not None:
        return *last, "the source of the data root's last run"
    if (layout.ledger_dir / FILE_NAME).is_file():
        with Ledger(layout.ledger_dir, reading=True) as ledger:
            fetched_from = ledger.last_source()
        if fetched_from:
            return fetched_from, None, "the data root's files came from there"
    return OFFICIAL_SOURCE, None, "nothing in the data root names another"
