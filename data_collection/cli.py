"""The `alphaqcm` command by path: `python3 data_collection/cli.py COMMAND …`."""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()
    from alphaqcm.data_collection.commands.main import main

    sys.exit(main())
