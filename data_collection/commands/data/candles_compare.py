"""Hold resampled candles against an independent source, cell by cell."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from alphaqcm.data_collection.build.candles.references import (
    Hours,
    Pair,
    archive_pair,
    exchange_pairs,
    file_pair,
    quantclass_pairs,
)
from alphaqcm.data_collection.build.candles.request import parse_markets
from alphaqcm.data_collection.build.candles.resample import StoreSource
from alphaqcm.data_collection.build.candles.store import FOLDER, CandleStore
from alphaqcm.data_collection.commands.data.candles_options import (
    archive_opener,
    read_bases,
)
from alphaqcm.data_collection.commands.data.candles_resample import BASE_INTERVAL, make_job
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.client import RestClient, create_aiohttp_session
from alphaqcm.data_collection.exchange.endpoints import TRADE_TYPE_OF_MARKET
from alphaqcm.data_collection.exchange.fetcher import BinanceFetcher, QuantclassDataApi
from alphaqcm.data_collection.process.root_lock import require_folder
from alphaqcm.pipeline.candles.compare import Comparison, compare_candles, default_max_ulp
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.storage.atomic_write import write_bytes

_TIMEOUT = 10.0
_NAMED = 10


def run(arguments: argparse.Namespace) -> int:
    """Compare; 0 only where everything is equal."""
    require_folder(arguments.data_root / FOLDER, "a candle store")
    reference = str(arguments.reference)
    markets = parse_markets(arguments.markets)
    if reference not in ("exchange-1h", "archive-1h", "quantclass"):
        if not reference.endswith(".parquet"):
            raise UsageError(
                f"--reference {reference}",
                expected="exchange-1h, archive-1h, quantclass or a .parquet file",
            )
        if len(markets) != 1:
            raise UsageError(
                f"--reference {reference}",
                expected="the one --market that the file is of",
                found=arguments.markets,
            )
    return asyncio.run(_compare(arguments, reference, markets))


async def _compare(
    arguments: argparse.Namespace, reference: str, markets: tuple[Market, ...]
) -> int:
    report: dict[str, Any] = {"reference": reference, "interval": arguments.interval}
    equal = True
    for market in markets:
        trade_type = TRADE_TYPE_OF_MARKET[market]
        store = CandleStore(arguments.data_root, trade_type, BASE_INTERVAL)
        job = make_job(arguments, StoreSource(store))
        hours = Hours(job)
        if len(markets) > 1 and not job.folder.is_dir():
            continue
        most = default_max_ulp(job.grid.k) if arguments.max_ulp is None else arguments.max_ulp
        total = Comparison()
        lacking: list[str] = []  # symbols that the reference has nothing of
        async for ours, theirs in _pairs(arguments, reference, hours, market, lacking):
            total.add(compare_candles(ours, theirs))
        same = total.is_equal(most) and total.rows > 0
        equal = equal and same
        _print(trade_type, total, most, same)
        if lacking:
            named = ", ".join(lacking[:_NAMED])
            more = f" and {len(lacking) - _NAMED:,} more" if len(lacking) > _NAMED else ""
            title = "not compared, the reference has nothing of them"
            print(f"  {title}: {len(lacking):,}: {named}{more}")
        report[trade_type] = {
            "equal": same, "max_ulp": most, "not_compared": lacking, **asdict(total)
        }  # fmt: skip
    if len(report) == 2:
        raise UsageError(
            arguments.data_root / FOLDER,
            expected="resampled candles",
            found="none",
            next_step="make them first: alphaqcm candles resample",
        )
    if arguments.report is not None:
        write_bytes(arguments.report, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    return 0 if equal else 1


async def _pairs(
    arguments: argparse.Namespace,
    reference: str,
    hours: Hours,
    market: Market,
    lacking: list[str],
) -> AsyncIterator[Pair]:
    if reference == "archive-1h":
        with archive_opener(arguments)() as archive:
            for symbol in hours.symbols(0):
                pair = archive_pair(hours, archive, market, symbol)
                if pair is None:
                    lacking.append(symbol)
                else:
                    yield pair
    elif reference.endswith(".parquet"):
        yield file_pair(hours, Path(reference))
    else:
        async with create_aiohttp_session(_TIMEOUT) as session:
            if reference == "quantclass":
                api = QuantclassDataApi(session)
                async for pair in quantclass_pairs(hours, hours.job.offsets, api, market):
                    yield pair
                return
            client = RestClient(session, read_bases(arguments))
            fetcher = BinanceFetcher(TRADE_TYPE_OF_MARKET[market], client=client)
            async for pair in exchange_pairs(hours, fetcher, lacking):
                yield pair


def _print(trade_type: str, found: Comparison, most: int, same: bool) -> None:
    print(f"{trade_type}: {found.rows:,} candles on both sides: {'equal' if same else 'DIFFERENT'}")
    for title, keys in (
        ("missing in ours", found.missing_ours),
        ("missing in the reference", found.missing_reference),
        ("twice", found.doubled),
    ):
        if keys:
            named = ", ".join(f"{symbol} {begin}" for symbol, begin in keys[:_NAMED])
            more = f" and {len(keys) - _NAMED:,} more" if len(keys) > _NAMED else ""
            print(f"  {title}: {len(keys):,}: {named}{more}")
    for name, one in found.columns.items():
        print(
            f"  {name:<30}{one.unequal:>10,} unequal  relative {one.max_relative:.3e}  "
            f"ulp {one.max_ulp:,}"
        )
    print(f"  (sums may lie {most} ulp apart)")
