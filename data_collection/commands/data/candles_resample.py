"""Fold stored candles to hours (or other intervals) at every offset.

strict keeps windows that have every candle; seed keeps those that the published pandas program
keeps (holes inside pass). One file an offset and symbol, and one long file an offset.
"""

from __future__ import annotations

import argparse

from tqdm import tqdm

from alphaqcm.data_collection.build.candles.request import parse_markets
from alphaqcm.data_collection.build.candles.resample import (
    ResampleJob,
    StoreSource,
    resample_store,
)
from alphaqcm.data_collection.build.candles.store import FOLDER, CandleStore
from alphaqcm.data_collection.commands.data.candles_options import add_market_options
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.endpoints import TRADE_TYPE_OF_MARKET
from alphaqcm.data_collection.process.root_lock import hold_root, require_folder
from alphaqcm.pipeline.candles.resample import WindowRule
from alphaqcm.pipeline.candles.schema import parse_offsets
from alphaqcm.pipeline.candles.window_grid import WindowGrid

BASE_INTERVAL = "5m"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_market_options(parser)
    parser.add_argument(
        "--interval", default="1h", metavar="I", help="of the windows (default: %(default)s)"
    )
    parser.add_argument(
        "--offsets", default="all", metavar="all|0m,5m", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--holes",
        default=WindowRule.STRICT.value,
        choices=[rule.value for rule in WindowRule],
        help="which windows are kept (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Resample every market that has candles; 0 when all were made."""
    root = arguments.data_root
    require_folder(root / FOLDER, "a candle store")
    jobs = [
        make_job(arguments, CandleStore(root, TRADE_TYPE_OF_MARKET[market], BASE_INTERVAL))
        for market in parse_markets(arguments.market)
    ]
    there = [job for job in jobs if job.source.symbols()]
    if not there:
        raise UsageError(
            root / FOLDER,
            expected="candles of " + ", ".join(job.source.trade_type for job in jobs),
            found="none",
            next_step="fetch them first: alphaqcm candles fetch",
        )
    with hold_root(root / FOLDER / "_tmp", exclusive=True):
        for job in there:
            bar = tqdm(total=len(job.source.symbols()), unit="symbol", disable=None)
            try:
                made = resample_store(job, lambda _symbol, bar=bar: bar.update())  # type: ignore[misc]
            finally:
                bar.close()
            print(
                f"{job.source.trade_type}: {made.symbols:,} symbols, {len(job.offsets)} offsets, "
                f"{made.windows:,} windows in {job.folder}"
            )
            if made.short:
                print(
                    f"  without a whole window: {len(made.short):,}: " + ", ".join(made.short[:5])
                )
    return 0


def make_job(arguments: argparse.Namespace, store: CandleStore) -> ResampleJob:
    """What the options ask for; raises `BadName`."""
    grid = WindowGrid.of(store.interval, arguments.interval)
    return ResampleJob(
        StoreSource(store),
        arguments.data_root,
        arguments.interval,
        parse_offsets(arguments.offsets, grid),
        WindowRule(getattr(arguments, "holes", WindowRule.STRICT.value)),
    )
