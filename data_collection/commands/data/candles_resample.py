"""Fold stored candles to hours (or other intervals) at every offset."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tqdm import tqdm

from alphaqcm.data_collection.build.candles.holo import HoloSource
from alphaqcm.data_collection.build.candles.holo_resample import HoloResampleJob, resample_holo
from alphaqcm.data_collection.build.candles.request import parse_markets
from alphaqcm.data_collection.build.candles.resample import (
    ResampleJob,
    ResampleResult,
    Source,
    StoreSource,
    resample_store,
)
from alphaqcm.data_collection.build.candles.store import FOLDER, CandleStore
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.endpoints import TRADE_TYPE_OF_MARKET
from alphaqcm.data_collection.process.root_lock import RootPart, hold_root, require_folder
from alphaqcm.pipeline.candles.resample import WindowRule
from alphaqcm.pipeline.candles.schema import parse_offsets
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.domain.registry import Market

BASE_INTERVAL = "5m"
Make = Callable[[Callable[[str], object]], ResampleResult]


def run(arguments: argparse.Namespace) -> int:
    """Resample every market that has candles; 0 when all were made."""
    if arguments.bmac is not None:
        from alphaqcm.data_collection.commands.data.candles_of_live import run_live

        return run_live(arguments)
    if arguments.watch:
        raise UsageError("--watch", expected="--bmac and a live directory beside it")
    root = arguments.data_root
    require_folder(root / FOLDER, "a candle store")
    makers = [_maker(arguments, market) for market in parse_markets(arguments.markets)]
    there = [(source, make) for source, make in makers if source.symbols()]
    if not there:
        raise UsageError(
            root / FOLDER,
            expected="candles of " + ", ".join(source.trade_type for source, _ in makers),
            found="none",
            next_step=f"alphaqcm candles {'holo' if arguments.base == 'holo' else 'fetch'}",
        )
    with hold_root(root / "_tmp", exclusive=True, part=RootPart.CANDLES):
        for source, make in there:
            tell(source, arguments.interval, make_all(source, make))
    return 0


def make_all(source: Source, make: Make) -> ResampleResult:
    """Make a source's windows under a progress bar."""
    with tqdm(total=len(source.symbols()), unit="symbol", disable=None) as bar:
        return make(lambda _symbol: bar.update())


def tell(source: Source, interval: str, made: ResampleResult) -> None:
    """Print what was made."""
    print(
        f"{source.trade_type}: {made.symbols:,} symbols, {made.windows:,} windows of "
        f"{interval} in {made.files:,} files"
    )
    if made.short:
        print(f"  without a whole window: {len(made.short):,}: " + ", ".join(made.short[:5]))


def _maker(arguments: argparse.Namespace, market: Market) -> tuple[Source, Make]:
    """Where a market's candles come from, and what folds them."""
    root, trade_type = arguments.data_root, TRADE_TYPE_OF_MARKET[market]
    if arguments.base == "holo":
        calendars = HoloSource(root, trade_type)
        offsets = parse_offsets(
            arguments.offsets, WindowGrid.of(calendars.interval, arguments.interval)
        )
        holo_job = HoloResampleJob(calendars, root, arguments.interval, offsets)
        return calendars, lambda progress: resample_holo(holo_job, progress)
    job = make_job(arguments, StoreSource(CandleStore(root, trade_type, BASE_INTERVAL)))
    return job.source, lambda progress: resample_store(job, progress)


def make_job(arguments: argparse.Namespace, source: Source) -> ResampleJob:
    """What the options ask for; raises `BadName`."""
    grid = WindowGrid.of(source.interval, arguments.interval)
    return ResampleJob(
        source,
        arguments.data_root,
        arguments.interval,
        parse_offsets(arguments.offsets, grid),
        WindowRule(getattr(arguments, "holes", WindowRule.STRICT.value)),
    )
