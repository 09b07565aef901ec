"""Download archive files of many symbols and data types, verified, into the cache.

    python3 data_collection/download_all_binance_archive.py \
        --symbols-file symbols/top100_perp_symbols.txt --start 2024-01-01 --end 2024-12-31 \
        --market um --data-types klines:1h,metrics,fundingRate --skip-existing

The same as `alphaqcm fetch`. Files that are verified and unchanged at the source are never
downloaded again, with or without --skip-existing.
"""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()

import argparse
import sys

from alphaqcm.data_collection.archive.selection import add_types_option
from alphaqcm.data_collection.commands.data import fetch
from alphaqcm.data_collection.commands.fetch_options import add_fetch_options
from alphaqcm.data_collection.commands.main import run_module
from alphaqcm.data_collection.commands.options import (
    add_market_option,
    add_root_option,
    add_source_options,
    add_span_options,
)
from alphaqcm.data_collection.commands.universe import add_symbol_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_symbol_options(parser)
    add_types_option(parser, "--data-types")
    add_span_options(parser)
    add_market_option(parser)
    add_source_options(parser, of_root=True)
    add_root_option(parser)
    add_fetch_options(parser)
    parser.add_argument(
        "--skip-existing", action="store_true", help="accepted; verified files are always kept"
    )


run = fetch.run

if __name__ == "__main__":
    sys.exit(run_module(sys.modules[__name__], sys.argv[1:], prog=sys.argv[0]))
