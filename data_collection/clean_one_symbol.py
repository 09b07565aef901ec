"""Write `crypto_hourly_cleaned/` of the symbols named: the full bars with quality flags.

Nothing is downloaded. The stages beside it are written too; `alphaqcm build` does all at once.
"""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()

import argparse
import sys

from alphaqcm.data_collection.commands.main import run_module
from alphaqcm.data_collection.commands.script_actions import configure_stage as configure
from alphaqcm.data_collection.commands.script_actions import write_stage

__all__ = ["configure", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Write the stage; 0 only when nothing failed."""
    return write_stage(arguments, "crypto_hourly_cleaned")


if __name__ == "__main__":
    sys.exit(run_module(sys.modules[__name__], sys.argv[1:], "clean_one_symbol"))
