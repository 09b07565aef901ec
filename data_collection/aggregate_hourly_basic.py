"""Write `crypto_hourly_basic/`: hourly OHLCV and VWAP, from the 1m klines of the last run."""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()
    from alphaqcm.data_collection.commands.script_actions import main

    sys.exit(main("aggregate_hourly_basic"))
