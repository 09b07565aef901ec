"""Fetch everything but trades and minutes, to its hourly CSVs.

Funding, mark, index and premium prices, open interest and 1h klines, under `binance_*/`;
`alphaqcm run` does it on the way to the final table.
"""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()

import argparse
import sys

from alphaqcm.data_collection.commands.main import run_module
from alphaqcm.data_collection.commands.script_actions import configure_fetch as configure
from alphaqcm.data_collection.commands.script_actions import fetch_types

__all__ = ["configure", "run"]

TYPES = (
    "klines:1h",
    "markPriceKlines:1h",
    "indexPriceKlines:1h",
    "premiumIndexKlines:1h",
    "fundingRate",
    "metrics",
)


def run(arguments: argparse.Namespace) -> int:
    """Fetch; 0 only when nothing failed."""
    return fetch_types(arguments, TYPES)[1]


if __name__ == "__main__":
    sys.exit(run_module(sys.modules[__name__], sys.argv[1:], "fetch_derivatives_data"))
