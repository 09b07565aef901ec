"""Work on the shared queue: for every data type of a run, beside other workers.

With days and symbols the queue is made to be about them (what is valid of an older queue is kept);
without, the worker joins the queue as it is. It ends when every task is done, absent or failed, and
waits while other live workers hold the rest. Exit code 0 when nothing failed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from alphaqcm.data_collection.build.run.worker_session import Session
from alphaqcm.data_collection.commands.options import (
    add_market_option,
    add_root_option,
    add_source_options,
    run_settings,
)
from alphaqcm.data_collection.commands.universe import add_symbol_options
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.queue.liveness import STALE_AFTER
from alphaqcm.data_collection.queue.options import DEFAULT_STATE
from alphaqcm.pipeline.storage.layout import Layout


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--id", required=True, metavar="A", help="this worker's own name")
    add_symbol_options(parser)
    parser.add_argument("--start", metavar="D", help="first day, YYYY-MM-DD (UTC)")
    parser.add_argument("--end", metavar="D", help="last day, included")
    add_market_option(parser)
    add_source_options(parser)
    add_root_option(parser)
    add_queue_options(parser)
    parser.add_argument(
        "--state",
        type=Path,
        metavar="S",
        help=f"the queue's state file (default: _tmp/{DEFAULT_STATE} in the data root)",
    )


def add_queue_options(parser: argparse.ArgumentParser) -> None:
    """What all workers' commands share."""
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="believe the queue's state that done tasks are done (without it each is held against "
        "its layer again; nothing that is current is rebuilt either way)",
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="bring tasks back that failed for good"
    )
    parser.add_argument(
        "--stale-hours",
        type=float,
        default=STALE_AFTER / 3600,
        metavar="H",
        help="a worker loses its tasks after so long without a heartbeat "
        "(default: %(default)s; a dead one on the same host loses them at once)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Work until the queue is over."""
    named = arguments.symbols is not None or arguments.symbols_file is not None
    if (arguments.start is None) != (arguments.end is None) or (named and not arguments.start):
        raise UsageError(
            "worker's days",
            expected="--start and --end together, or neither to join the queue as it is",
            next_step="give both, or leave out the symbols too",
        )
    state = arguments.state or Layout(arguments.data_root).temp / DEFAULT_STATE
    return Session(
        worker=arguments.id,
        state=state.resolve(),
        settings=run_settings(arguments) if arguments.start else None,
        stale=arguments.stale_hours * 3600,
        skip_existing=arguments.skip_existing,
        retry_failed=arguments.retry_failed,
    ).run()
