"""Write `crypto_hourly_cleaned/` of the symbols named: the full bars with quality flags."""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()
    from alphaqcm.data_collection.commands.script_actions import main

    sys.exit(main("clean_one_symbol"))
