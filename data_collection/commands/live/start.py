"""Keeps a live directory until it is stopped."""

from __future__ import annotations

import argparse

from alphaqcm.data_collection.commands.output import tell
from alphaqcm.data_collection.live.run import read_config, start


def run(arguments: argparse.Namespace) -> int:
    """Work until Ctrl-C or SIGTERM; 0 then."""
    base = arguments.base_dir.absolute()
    config = read_config(base, arguments.exchange)
    for warning in config.warnings:
        tell(f"alphaqcm bmac start: warning: {warning}")
    root = arguments.record
    start(base, config, arguments.port, root and root.absolute())
    return 0
