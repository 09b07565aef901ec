"""Watch the factor stage of a run: one task a symbol, after all its hourly files. Reads only.

    python3 data_collection/monitor_volatility_progress.py --interval 15

In a terminal the picture is renewed in place until Ctrl-C; elsewhere it is printed every interval.
"""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()

import argparse
import sys

from alphaqcm.data_collection.commands.build import monitor
from alphaqcm.data_collection.commands.main import run_module
from alphaqcm.data_collection.queue.task import Task, TaskKind


def configure(parser: argparse.ArgumentParser) -> None:
    """The script's options."""
    monitor.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Watch."""
    return monitor.watch(arguments, "hourly factors", _shown)


def _shown(task: Task) -> bool:
    return task.kind is TaskKind.FACTORS


if __name__ == "__main__":
    sys.exit(run_module(sys.modules[__name__], sys.argv[1:], prog="monitor_volatility_progress.py"))
