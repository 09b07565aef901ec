"""A part of the road, for the scripts that keep the names users know."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from alphaqcm.data_collection.archive.selection import Selection, find_files
from alphaqcm.data_collection.build.run.local_executor import (
    RunProgress,
    execute,
    has_settings,
    load_settings,
    save_settings,
)
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.commands.options import add_root_option, add_run_options, run_settings
from alphaqcm.data_collection.commands.summary import print_summary
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.layout import Layout

WORKERS = 2


def configure_fetch(parser: argparse.ArgumentParser) -> None:
    """The options of a script that takes some data types from the source to their layers."""
    add_run_options(parser)


def fetch_types(arguments: argparse.Namespace, types: tuple[str, ...]) -> tuple[RunSettings, int]:
    """Take `types` to their layers; the settings, and 0 only when nothing failed."""
    began = time.monotonic()
    every = run_settings(arguments)
    settings = replace(every, types=tuple(name for name in every.types if name in types))
    with (
        hold_root(settings.layout.temp, exclusive=True) as lock,
        open_task_runner(settings) as steps,
    ):
        find_files(steps.archive, Selection.of(settings))  # lists all; names unknown symbols
        progress = execute(steps, WORKERS, lock)
        if not has_settings(settings.layout.temp, settings.market):
            save_settings(every)  # the stage scripts then know the days and symbols
    print_summary(settings, progress, None, time.monotonic() - began)
    return settings, 1 if progress.problems else 0


def configure_stage(parser: argparse.ArgumentParser) -> None:
    """The options of a script that writes a stage from the layers of the last run."""
    parser.add_argument(
        "symbols", nargs="*", metavar="SYMBOL", help="in any notation (default: all of the run)"
    )
    add_root_option(parser)


def write_stage(arguments: argparse.Namespace, stage: str) -> int:
    """Write `stage` of the named symbols, with the stages beside it; 0 when nothing failed."""
    settings = load_settings(Layout(arguments.data_root.resolve()).temp)
    symbols = tuple(Symbol.parse(text, settings.market) for text in arguments.symbols)
    unknown = [one.exchange for one in symbols if one.exchange not in settings.symbols]
    if unknown:
        raise UsageError(
            "symbols " + ", ".join(unknown),
            expected="symbols of the last run in this data root",
            next_step="alphaqcm run with them first",
        )
    if symbols:
        settings = replace(settings, symbols=tuple(one.exchange for one in symbols))
    with (
        hold_root(settings.layout.temp, exclusive=True) as lock,
        open_task_runner(settings) as steps,
    ):
        progress = execute(steps, WORKERS, lock, offline=True)
    _print_stage(settings, progress, stage)
    return 1 if progress.problems else 0


def _print_stage(settings: RunSettings, progress: RunProgress, stage: str) -> None:
    for name in settings.symbols:
        path = settings.layout.stage_file(stage, Symbol(settings.market, name))
        print(path if path.exists() else f"{name}: no 1m klines in the run's days")
    for problem in progress.problems:
        print(f"FAILED {problem}")
