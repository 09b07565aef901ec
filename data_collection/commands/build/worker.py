"""Works on the shared queue, for every data type of a run or some, beside other workers."""

from __future__ import annotations

import argparse
from dataclasses import replace

from alphaqcm.data_collection.build.run.worker_session import Session
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.commands.grammar.places import places_of
from alphaqcm.data_collection.commands.request import named_types, run_settings
from alphaqcm.data_collection.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    """Work until the queue is over."""
    named = arguments.symbols is not None or arguments.symbols_file is not None
    if (arguments.start is None) != (arguments.end is None) or (named and not arguments.start):
        raise UsageError(
            "worker's days",
            expected="--start and --end together, or neither to join the queue as it is",
            next_step="give both, or leave out the symbols too",
        )
    return Session(
        worker=arguments.id,
        state=places_of(arguments).state,
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
    places = places_of(arguments)
    return replace(
        asked,
        symbols=asked.symbols[: arguments.max_symbols],
        types=named_types(arguments.types, asked.market),
        root=places.root,
        directories=places.directories,
    )
