"""Watch the factor stage of a run: one task a symbol, after all its hourly files. Reads only."""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()
    from alphaqcm.data_collection.commands.script_actions import main

    sys.exit(main("monitor_volatility_progress"))
