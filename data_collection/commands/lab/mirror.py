"""Serves an archive tree over HTTP as the archive does, its S3 listing included."""

from __future__ import annotations

import argparse
import signal
import threading

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.mirror import FaultPlan, Mirror


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    if not arguments.directory.is_dir():
        raise UsageError(
            arguments.directory,
            expected="a directory that holds data/…",
            next_step="write one with: alphaqcm sample DIR",
        )
    faults = FaultPlan.load(arguments.fault) if arguments.fault else None
    try:
        mirror = Mirror(
            arguments.directory,
            faults=faults,
            host=arguments.host,
            port=arguments.port,
            keep_log=False,
        )
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"--host {arguments.host} --port {arguments.port}",
            expected="an address that can be listened on",
            found=str(error),
            next_step="pass another --port, or 0 for a free one",
        ) from error
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with mirror:
        print(f"{mirror.url} serves {arguments.directory}", flush=True)
        stopped.wait()
    return 0
