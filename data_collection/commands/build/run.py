"""Runs the whole pipeline for some symbols and days: download, layers, factors, table."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from alphaqcm.data_collection.archive.selection import Selection, find_files
from alphaqcm.data_collection.build.publish import check_complete, publish
from alphaqcm.data_collection.build.run.local_executor import execute, save_settings
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.commands.output import Answer
from alphaqcm.data_collection.commands.request import fetch_settings, run_settings
from alphaqcm.data_collection.commands.summary import document, exit_code, print_summary
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.domain.registry import Market


def run(arguments: argparse.Namespace) -> Answer:
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
    seconds = time.monotonic() - began
    print_summary(settings, progress, tables, seconds)
    written = bool(tables) or settings.market is not Market.UM
    code = exit_code(progress, arguments.accept_corrupt, written=written)
    told = document(settings, progress, tables, seconds)
    return Answer(code, {"exit_code": int(code), **told})
