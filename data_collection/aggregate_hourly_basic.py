"""Write `crypto_hourly_basic/`: hourly OHLCV and VWAP, from the 1m klines of the last run."""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.run("aggregate_hourly_basic")
