"""The last run's layers and tables again, from the month files at hand: nothing is downloaded.

For another variant of the table, after CSVs were deleted, or without a network.
"""

from __future__ import annotations

import argparse
import time

from alphaqcm.data_collection.build.publish import check_complete, publish
from alphaqcm.data_collection.build.run.local_executor import execute, load_settings
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.commands.options import (
    add_market_option,
    add_root_option,
    add_table_options,
)
from alphaqcm.data_collection.commands.summary import print_summary
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.domain.registry import parse_market
from alphaqcm.pipeline.storage.layout import Layout


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_market_option(parser)
    add_root_option(parser)
    add_table_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Build; 0 only when nothing failed."""
    began = time.monotonic()
    layout = Layout(arguments.data_root.resolve())
    settings = load_settings(layout.temp, parse_market(arguments.market))
    check_complete(settings, arguments.complete, arguments.name)
    with (
        hold_root(settings.layout.temp, exclusive=True) as lock,
        open_task_runner(settings) as steps,
    ):
        progress = execute(steps, arguments.workers, lock, offline=True)
        tables = publish(settings, progress, arguments.complete, arguments.name)
    print_summary(settings, progress, tables, time.monotonic() - began)
    return 1 if progress.problems else 0
