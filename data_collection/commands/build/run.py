"""Runs the whole pipeline for some symbols and days: download, layers, factors, table."""

from __future__ import annotations

import argparse
import contextlib
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from alphaqcm.data_collection.archive.adoption import adopt_cache
from alphaqcm.data_collection.build.last_run import save_settings
from alphaqcm.data_collection.build.lately_proven import proven_lately
from alphaqcm.data_collection.build.object_root import hold_object_root, restored
from alphaqcm.data_collection.build.publish import check_complete, publish
from alphaqcm.data_collection.build.run.compile_ahead import compiling_ahead, note_compiled
from alphaqcm.data_collection.build.run.run_tasks import execute, forecast_run
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.commands.cluster import chosen_cluster
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer, tell
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
        store=arguments.store,
        keep_zips=arguments.keep_zips,
    )
    check_complete(settings, arguments.complete, arguments.name)
    cluster = chosen_cluster(arguments)
    if arguments.dry_run:
        return _forecast(settings, arguments.workers)
    with (
        hold_object_root(settings, lease=not arguments.no_lease) as stored,
        hold_root(settings.layout.temp, exclusive=True) as lock,
        compiling_ahead(settings.layout.temp, tell),
        open_task_runner(settings, looks_only=True) as runner,
    ):
        if stored is not None and cluster is not None:
            cluster.learn = stored.note
        adopt_cache(settings.layout, tell, held=True)
        tell("listing the source")
        runner.find_files()  # lists all; names unknown symbols
        save_settings(settings)
        with proven_lately(settings.layout) as proven:
            progress = execute(
                runner,
                arguments.workers,
                lock,
                cluster=cluster,
                each=stored.now_and_then if stored else lambda: None,
            )
            tables = publish(
                settings,
                progress,
                arguments.complete,
                arguments.name,
                partitions=arguments.layout == "dataset",
            )
            if progress.failures:
                proven.forget()
        if tables:
            note_compiled(progress.outcomes)
    seconds = time.monotonic() - began
    print_summary(settings, progress, tables, seconds)
    written = bool(tables) or settings.market is not Market.UM
    code = exit_code(progress, arguments.accept_corrupt, written=written)
    told = document(settings, progress, tables, seconds)
    return Answer(code, {"exit_code": int(code), **told})


def _forecast(settings: RunSettings, workers: int) -> Answer:
    """What the run would do; a data root that is not there is not made."""
    with contextlib.ExitStack() as stack:
        if settings.root.exists():
            stack.enter_context(hold_root(settings.layout.temp, exclusive=True))
        else:
            folder = stack.enter_context(TemporaryDirectory(prefix="alphaqcm-"))
            settings = replace(settings, root=Path(folder))
        if settings.store:
            restored(settings)  # what is current there is told by its ledger too
        runner = stack.enter_context(open_task_runner(settings, looks_only=True))
        tell("listing the source")
        runner.find_files()
        ahead = forecast_run(runner, workers)
    if not ahead.tasks:
        print("everything is current: nothing to download, nothing to build")
    for line in ahead.lines if ahead.tasks else ():
        print(line)
    return Answer(ExitCode.DONE, {"exit_code": 0, "forecast": ahead.to_dict()})
