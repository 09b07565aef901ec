"""Candles over REST: fetch whole markets, fold them to hours at every offset, compare, complete.

    fetch       what the store lacks of every traded symbol, as fast as the weight limit allows
    resample    hours (or other intervals) at every offset
    compare     hold hours against the exchange's, the archive's or another's
    holo        the complete calendar of minutes, holes filled and marked

Exit codes: 0 all done, 1 failed or not equal, 2 wrong words, 75 this address is banned for a time.
"""

from __future__ import annotations

import argparse
import sys

from alphaqcm.data_collection.commands.data import (
    candles_compare,
    candles_fetch,
    candles_holo,
    candles_resample,
)
from alphaqcm.data_collection.errors import Banned

EX_TEMPFAIL = 75
"""What sysexits.h calls a failure that goes away by waiting."""

_ACTIONS = {
    "fetch": candles_fetch,
    "resample": candles_resample,
    "compare": candles_compare,
    "holo": candles_holo,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions with their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, module in _ACTIONS.items():
        lines = (module.__doc__ or "").strip().splitlines()
        module.configure(
            actions.add_parser(
                name,
                help=lines[0].rstrip("."),
                description=module.__doc__,
                formatter_class=argparse.RawDescriptionHelpFormatter,
                allow_abbrev=False,
            )
        )


def run(arguments: argparse.Namespace) -> int:
    """Run the action; 75 where the exchange shut this address out."""
    try:
        return int(_ACTIONS[arguments.action].run(arguments))
    except Banned as error:
        print(f"alphaqcm candles: Banned: {error}", file=sys.stderr)
        return EX_TEMPFAIL
