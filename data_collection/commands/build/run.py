"""The whole road for some symbols and days: download, layers, factors, the one table.

Can be stopped at any point; the same command goes on from there. What is current is neither
downloaded nor built again. Spot and coin-margined markets end at the hourly layers.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from alphaqcm.data_collection.archive.selection import Selection, find_files
from alphaqcm.data_collection.build.publish import check_complete, publish
from alphaqcm.data_collection.build.run.local_executor import execute, save_settings
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.commands.fetch_options import add_fetch_options, fetch_settings
from alphaqcm.data_collection.commands.options import (
    add_run_options,
    add_table_options,
    run_settings,
)
from alphaqcm.data_collection.commands.summary import print_summary
from alphaqcm.data_collection.process.root_lock import hold_root


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_run_options(parser)
    add_table_options(parser)
    add_fetch_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run; 0 only when nothing failed."""
    began = time.monotonic()
    settings = replace(
        run_settings(arguments),
        fetch=fetch_settings(arguments),
        shared_by=arguments.workers + 1,  # and the one that fetches ahead of them
    )
    check_complete(settings, arguments.complete, arguments.name)
    with (
        hold_root(settings.layout.temp, exclusive=True) as lock,
        open_task_runner(settings, alone=True) as steps,
    ):
        find_files(steps.archive, Selection.of(settings))  # lists all; names unknown symbols
        save_settings(settings)
        progress = execute(steps, arguments.workers, lock)
        tables = publish(settings, progress, arguments.complete, arguments.name)
    print_summary(settings, progress, tables, time.monotonic() - began)
    return 1 if progress.problems else 0
