"""Write a stage of the last run, for add_funding_features.py and the other stage scripts."""

from __future__ import annotations

import argparse
from dataclasses import replace

from alphaqcm.data_collection.build.last_run import load_settings
from alphaqcm.data_collection.build.run.run_tasks import execute
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer
from alphaqcm.data_collection.commands.universe import named_symbols
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.layout import Layout

_WORKERS = 2


def run(arguments: argparse.Namespace, stage: str) -> Answer:
    """Write `stage` of the named symbols, with the stages beside it; 0 when nothing failed."""
    settings = _chosen(load_settings(Layout(arguments.data_root.resolve()).temp), arguments)
    with (
        hold_root(settings.layout.temp, exclusive=True) as lock,
        open_task_runner(settings) as runner,
    ):
        progress = execute(runner, _WORKERS, lock, offline=True)
    files: list[str] = []
    missing: list[str] = []
    for name in settings.symbols:
        path = settings.layout.stage_file(stage, Symbol(settings.market, name))
        if path.exists():
            files.append(f"{path}")
            print(path)
        else:
            missing.append(name)
            print(f"{name}: no 1m klines in the run's days")
    for problem in progress.problems:
        print(f"FAILED {problem}")
    code = ExitCode.FAILED if progress.problems else ExitCode.DONE
    told = {"exit_code": int(code), "files": files, "missing": missing}
    return Answer(code, told | {"failed": progress.problems})


def _chosen(settings: RunSettings, arguments: argparse.Namespace) -> RunSettings:
    symbols = tuple(Symbol.parse(text, settings.market) for text in arguments.names)
    symbols += named_symbols(arguments, settings.market)
    unknown = [one.exchange for one in symbols if one.exchange not in settings.symbols]
    if unknown:
        raise UsageError(
            "symbols " + ", ".join(unknown),
            expected="symbols of the last run in this data root",
            next_step="alphaqcm run with them first",
        )
    if not symbols:
        return settings
    return replace(settings, symbols=tuple(dict.fromkeys(one.exchange for one in symbols)))
