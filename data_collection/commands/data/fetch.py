"""Download and verify archive files into the cache of a data root.

What is there and unchanged at the source is not asked for again; a stopped download goes on where
it stopped. Several fetches and workers may share a data root.
"""

from __future__ import annotations

import argparse

from alphaqcm.data_collection.archive.fetching import fetch_with_progress
from alphaqcm.data_collection.archive.selection import add_types_option, find_files, read_selection
from alphaqcm.data_collection.commands.fetch_options import (
    add_fetch_options,
    fetch_options,
    open_source,
)
from alphaqcm.data_collection.commands.options import (
    add_market_option,
    add_root_option,
    add_source_options,
    add_span_options,
)
from alphaqcm.data_collection.commands.universe import add_symbol_options
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.storage.layout import Layout


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_symbol_options(parser)
    add_types_option(parser)
    add_span_options(parser)
    add_market_option(parser)
    add_source_options(parser, of_root=True)
    add_root_option(parser)
    add_fetch_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Fetch; 0 when every listed file is there."""
    wish, options = read_selection(arguments), fetch_options(arguments)
    with (
        hold_root(Layout(arguments.data_root).temp, exclusive=False),
        open_source(arguments, options) as archive,
    ):
        return fetch_with_progress(archive, find_files(archive, wish))
