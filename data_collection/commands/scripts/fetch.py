"""Takes some data types from the source to their layers, for the scripts that fetch."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from datetime import UTC, datetime

from alphaqcm.data_collection.archive.adoption import adopt_cache
from alphaqcm.data_collection.build.last_run import has_settings, save_settings
from alphaqcm.data_collection.build.run.run_tasks import execute
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.commands.output import Answer, tell
from alphaqcm.data_collection.commands.request import run_settings
from alphaqcm.data_collection.commands.summary import document, exit_code, print_summary
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.tables.minute_csv import write_minute_csv


def run(arguments: argparse.Namespace, types: tuple[str, ...], *, minutes: bool) -> Answer:
    """Take `types` to their layers, and with `minutes` write the 1-minute CSVs."""
    began = time.monotonic()
    every = run_settings(arguments)
    settings = replace(every, types=tuple(name for name in every.types if name in types))
    with (
        hold_root(settings.layout.temp, exclusive=True) as lock,
        open_task_runner(settings) as runner,
    ):
        adopt_cache(settings.layout, tell, held=True)
        runner.find_files()  # lists all; names unknown symbols
        progress = execute(runner, arguments.workers, lock)
        if not has_settings(settings.layout.temp, settings.market):
            save_settings(every)  # the stage scripts then know the days and symbols
    seconds = time.monotonic() - began
    print_summary(settings, progress, None, seconds)
    written = _write_minutes(settings) if minutes else []
    code = exit_code(progress, None)
    told = document(settings, progress, None, seconds)
    return Answer(code, {"exit_code": int(code), **told, "files": written})


def _write_minutes(settings: RunSettings) -> list[str]:
    files = []
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for name in settings.symbols:
        symbol = Symbol(settings.market, name)
        written = write_minute_csv(settings.layout, symbol, settings.span, now)
        if written is None:
            print(f"{name}: no 1m klines")
        else:
            files.append(f"{written.path}")
            print(f"{written.path}: {written.rows} rows")
    return files
