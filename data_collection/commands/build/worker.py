"""Works on the shared queue, for every data type of a run or some, beside other workers."""

from __future__ import annotations

import argparse
from dataclasses import replace

from alphaqcm.data_collection.build.run.worker_session import Session
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.commands.request import named_types, run_settings
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.queue.options import DEFAULT_STATE
from alphaqcm.pipeline.storage.layout import Layout


def run(arguments: argparse.Namespace) -> int:
    """Work until the queue is over."""
    named = arguments.symbols is not None or arguments.symbols_file is not None
    if (arguments.start is None) != (arguments.end is None) or (named and not arguments.start):
        raise UsageError(
            "worker's days",
            expected="--start and --end together, or neither to join the queue as it is",
            next_step="give both, or leave out the symbols too",
        )
    state = arguments.state or Layout(arguments.data_root).temp / DEFAULT_STATE
    return Session(
        worker=arguments.id,
        state=state.resolve(),
        settings=worker_settings(arguments) if arguments.start else None,
        root=arguments.data_root,
        stale=arguments.stale_hours * 3600,
        skip_existing=arguments.skip_existing,
        retry_failed=arguments.retry_failed,
    ).run()


def worker_settings(arguments: argparse.Namespace) -> RunSettings:
    """The settings of a worker: those of a run, of some types, with layers at places of their own.

    Raises `UsageError`.
    """
    asked = run_settings(arguments)
    places = {
        "aggtrades_1m": arguments.aggtrades_1m_dir,
        "aggtrades_hourly": arguments.output_dir,
        "temp": arguments.temp_dir,
    }
    return replace(
        asked,
        symbols=asked.symbols[: arguments.max_symbols],
        types=named_types(arguments.types, asked.market),
        directories={name: path.resolve() for name, path in places.items() if path is not None},
    )
