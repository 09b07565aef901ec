"""Fetch 1m klines, to their parquet layer and to `crypto_1min/{SYM}_1m.csv`."""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.run("fetch_1min_data")
