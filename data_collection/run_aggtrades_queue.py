"""Work on a shared queue of aggTrades: months to 1-minute parquet, then each symbol's hourly CSV.

    python3 data_collection/run_aggtrades_queue.py --worker-id A \
        --symbols-file symbols/top100_perp_symbols.txt --market um \
        --start 2024-01-01 --end 2024-12-31 --skip-existing

Start it in as many terminals as there are cores, each with its own --worker-id and else the same
words; `scripts/start_workers.sh` does that. Exit code 0 when all is done or absent at the source.
"""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start(one_thread=True)

import argparse
import dataclasses
import sys
from pathlib import Path

from alphaqcm.data_collection.build.run.worker_session import Session
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.commands.build.worker import add_queue_options
from alphaqcm.data_collection.commands.main import run_module
from alphaqcm.data_collection.commands.options import (
    DEFAULT_ROOT,
    add_market_option,
    add_source_options,
    add_span_options,
    run_settings,
)
from alphaqcm.data_collection.commands.universe import DEFAULT_FILE
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.queue.options import DEFAULT_STATE
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.storage.layout import Layout

_LAYOUT = Layout(DEFAULT_ROOT)


def configure(parser: argparse.ArgumentParser) -> None:
    """The script's options."""
    parser.add_argument("--worker-id", required=True, metavar="A", help="this worker's own name")
    parser.add_argument(
        "--symbols-file",
        metavar="F",
        default=DEFAULT_FILE,
        help="one symbol a line; also looked up by its name in symbols/ (default: %(default)s)",
    )
    parser.add_argument("--max-symbols", type=int, metavar="N", help="only the file's first N")
    add_span_options(parser)
    add_market_option(parser)
    add_source_options(parser)
    for option, default, text in (
        ("--state", _LAYOUT.temp / DEFAULT_STATE, "the queue's state file"),
        ("--aggtrades-1m-dir", _LAYOUT.months(DataType.AGGTRADES), "1-minute parquet"),
        ("--output-dir", _LAYOUT.hourly(DataType.AGGTRADES), "hourly CSVs"),
        ("--temp-dir", _LAYOUT.temp, "download cache and its records"),
    ):
        parser.add_argument(
            option,
            type=Path,
            metavar="S" if option == "--state" else "DIR",
            default=default,
            help=f"{text} (default: %(default)s)",
        )
    add_queue_options(parser)


def settings_of(arguments: argparse.Namespace) -> RunSettings:
    """What the options make up; raises `UsageError`."""
    if arguments.max_symbols is not None and arguments.max_symbols < 1:
        raise UsageError("--max-symbols", expected="1 or more", found=f"{arguments.max_symbols}")
    arguments.symbols = None
    arguments.data_root = DEFAULT_ROOT
    asked = run_settings(arguments)
    return dataclasses.replace(
        asked,
        symbols=asked.symbols[: arguments.max_symbols],
        types=(DataType.AGGTRADES.value,),
        directories={
            "aggtrades_1m": arguments.aggtrades_1m_dir.resolve(),
            "aggtrades_hourly": arguments.output_dir.resolve(),
            "temp": arguments.temp_dir.resolve(),
        },
    )


def run(arguments: argparse.Namespace) -> int:
    """Work until the queue is over."""
    return Session(
        worker=arguments.worker_id,
        state=arguments.state.resolve(),
        settings=settings_of(arguments),
        stale=arguments.stale_hours * 3600,
        skip_existing=arguments.skip_existing,
        retry_failed=arguments.retry_failed,
    ).run()


if __name__ == "__main__":
    sys.exit(run_module(sys.modules[__name__], sys.argv[1:], prog="run_aggtrades_queue.py"))
