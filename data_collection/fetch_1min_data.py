"""Fetch 1m klines, to their parquet layer and to `crypto_1min/{SYM}_1m.csv`."""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()
    from alphaqcm.data_collection.commands.script_actions import main

    sys.exit(main("fetch_1min_data"))
