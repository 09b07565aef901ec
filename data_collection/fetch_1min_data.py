"""Fetch 1m klines, to their parquet layer and to `crypto_1min/{SYM}_1m.csv`.

`alphaqcm run` does it on the way to the final table, `alphaqcm export crypto_1min` writes the CSVs.
"""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()

import argparse
import sys
from datetime import UTC, datetime

from alphaqcm.data_collection.commands.main import run_module
from alphaqcm.data_collection.commands.script_actions import configure_fetch as configure
from alphaqcm.data_collection.commands.script_actions import fetch_types
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.tables.minute_csv import write_minute_csv

__all__ = ["configure", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Fetch and export; 0 only when nothing failed."""
    settings, failed = fetch_types(arguments, ("klines:1m",))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for name in settings.symbols:
        symbol = Symbol(settings.market, name)
        written = write_minute_csv(settings.layout, symbol, settings.span, now)
        print(
            f"{name}: no 1m klines" if written is None else f"{written.path}: {written.rows} rows"
        )
    return failed


if __name__ == "__main__":
    sys.exit(run_module(sys.modules[__name__], sys.argv[1:], "fetch_1min_data"))
