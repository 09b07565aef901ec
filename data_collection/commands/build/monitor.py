"""Watch the shared queue: totals, workers, speed, finish time, failures. Reads only.

In a terminal the picture is renewed in place until Ctrl-C; elsewhere it is printed every interval.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from alphaqcm.data_collection.commands.options import DEFAULT_ROOT
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.root_lock import require_folder
from alphaqcm.data_collection.queue.options import DEFAULT_STATE
from alphaqcm.data_collection.queue.task import Task
from alphaqcm.data_collection.reporting.monitor.loop import Monitor
from alphaqcm.data_collection.reporting.monitor.snapshot import Focus
from alphaqcm.data_collection.reporting.monitor.view import WIDTH
from alphaqcm.pipeline.storage.layout import Layout


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--interval", type=float, default=15.0, metavar="SEC", help="default: %(default)s"
    )
    parser.add_argument("--once", action="store_true", help="one picture, then end")
    parser.add_argument("--json", action="store_true", help="as JSON, one line a picture")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="S",
        help=f"the queue's state file (default: _tmp/{DEFAULT_STATE} in the data root)",
    )
    parser.add_argument(
        "--stall-warn-sec",
        type=float,
        default=900.0,
        metavar="N",
        help="warn when no task was begun or finished for so long (default: %(default)s)",
    )
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_ROOT, metavar="DIR", help="the data root"
    )


def run(arguments: argparse.Namespace) -> int:
    """Watch the whole queue."""
    return watch(arguments, "queue", _every_task)


def watch(arguments: argparse.Namespace, title: str, focus: Focus) -> int:
    """Watch the tasks in `focus`; returns the exit code."""
    if arguments.interval <= 0:
        raise UsageError("--interval", expected="more than 0 seconds", found=arguments.interval)
    if arguments.once and arguments.state is None:
        require_folder(arguments.root)  # a monitor that stays may be there before its workers
    state = arguments.state or Layout(arguments.root).temp / DEFAULT_STATE
    monitor = Monitor(state, arguments.root, title, focus, arguments.stall_warn_sec)
    console = _console()
    if arguments.once:
        monitor.once(console, as_json=arguments.json)
        return 0
    try:
        monitor.follow(console, arguments.interval, as_json=arguments.json)
    except KeyboardInterrupt:
        return 0  # the way to end it


def _console() -> Console:
    """At least 80 columns where there is no terminal, whatever COLUMNS says."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=WIDTH, no_color=True, force_terminal=False)


def _every_task(_: Task) -> bool:
    return True
