"""Makes the last run's layers and tables again from the month files at hand."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from alphaqcm.data_collection.build.last_run import load_settings
from alphaqcm.data_collection.build.publish import check_complete, publish
from alphaqcm.data_collection.build.run.run_tasks import execute
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.commands.output import Answer
from alphaqcm.data_collection.commands.summary import document, exit_code, print_summary
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.domain.registry import Market, parse_market
from alphaqcm.pipeline.storage.layout import Layout

ANY_AGE = 1e12
"""Seconds: a listing kept since any run."""


def run(arguments: argparse.Namespace) -> Answer:
    """Build; 0 only when nothing failed."""
    began = time.monotonic()
    layout = Layout(arguments.data_root.resolve())
    market = parse_market(arguments.market)
    settings = load_settings(layout.temp, market)
    check_complete(settings, arguments.complete, arguments.name)
    # a damaged month file is made again from the cache: the listing that is kept will do
    settings = replace(settings, fetch={**settings.fetch, "listing_age": ANY_AGE})
    with (
        hold_root(settings.layout.temp, exclusive=True) as lock,
        open_task_runner(settings) as runner,
    ):
        progress = execute(runner, arguments.workers, lock, offline=True)
        tables = publish(settings, progress, arguments.complete, arguments.name)
    seconds = time.monotonic() - began
    print_summary(settings, progress, tables, seconds)
    written = bool(tables) or market is not Market.UM
    code = exit_code(progress, arguments.accept_corrupt, written=written)
    told = document(settings, progress, tables, seconds)
    return Answer(code, {"exit_code": int(code), **told})
