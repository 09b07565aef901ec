"""Fetch candles of whole markets over REST, as fast as the weight limit allows."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from alphaqcm.data_collection.build.candles.fetch import FetchJob, SymbolResult
from alphaqcm.data_collection.build.candles.markets import (
    BanRecord,
    describe,
    fetch_markets,
    prepare,
)
from alphaqcm.data_collection.build.candles.request import CandleRequest
from alphaqcm.data_collection.commands.data.candles_options import (
    archive_opener,
    read_bases,
    read_request,
)
from alphaqcm.data_collection.errors import Banned
from alphaqcm.data_collection.exchange.client import RestClient, create_aiohttp_session
from alphaqcm.data_collection.exchange.endpoints import POOL_OF_MARKET
from alphaqcm.data_collection.process.root_lock import RootPart, hold_root

_TIMEOUT = 10.0  # seconds a request may take
_NAMED = 20


def run(arguments: argparse.Namespace) -> int:
    """Fetch; 0 when everything that the exchange has is there."""
    request = read_request(arguments, arguments.interval)
    if arguments.dry_run:
        return asyncio.run(_fetch(arguments, request))
    with hold_root(arguments.data_root / "_tmp", exclusive=True, part=RootPart.CANDLES):
        return asyncio.run(_fetch(arguments, request))


async def _fetch(arguments: argparse.Namespace, request: CandleRequest) -> int:
    root = arguments.data_root
    meter = Meter()
    async with create_aiohttp_session(_TIMEOUT) as session:
        client = RestClient(session, read_bases(arguments), notify=meter.say)
        bans = BanRecord.below(root)
        bans.check(client, request.markets)
        try:
            if arguments.dry_run:
                prepared = await prepare(client, request, root)
                print("\n".join(describe(prepared.jobs())))
                return 0
            opener = archive_opener(arguments) if arguments.seed_from_archive else None
            results = await fetch_markets(client, request, root, meter, opener)
        except Banned as error:
            bans.add(client, request.markets, error)
            raise
        finally:
            meter.close()
    _print_results(results, client)
    return 0


class Meter:
    """A bar of pages with the used weight and the minute's budget; lines beside it."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def say(self, line: str) -> None:
        """Print a line without tearing the bar."""
        tqdm.write(line, file=sys.stderr)

    def planned(self, jobs: Sequence[FetchJob]) -> None:
        """Print the plan, start the bar."""
        print("\n".join(describe(jobs)), flush=True)
        total = sum(job.pages for job in jobs)
        self._bar = tqdm(total=total, unit="page", disable=None, dynamic_ncols=True)

    def page(self, job: FetchJob) -> None:
        """Count a page."""
        if self._bar is None or self._bar.disable:
            return
        governor, pool = job.fetcher.client.governor, POOL_OF_MARKET[job.fetcher.market]
        self._bar.set_postfix_str(
            f"{pool} {governor.used(pool):,}/{governor.limit(pool):,}", refresh=False
        )
        self._bar.update()

    def close(self) -> None:
        """Leave the bar."""
        if self._bar is not None:
            self._bar.close()


def _print_results(results: dict[str, list[SymbolResult]], client: RestClient) -> None:
    for trade_type, found in results.items():
        pages = sum(one.pages for one in found)
        weight = sum(one.weight for one in found)
        print(f"{trade_type}: {len(found):,} symbols, {pages:,} pages, weight {weight:,}")
        gaps = {one.symbol: one.report.get("gaps", []) for one in found}
        _print_named("gaps in the exchange's history", [f"{s} {g}" for s, g in gaps.items() if g])
        _print_named("delisted during the fetch", [o.symbol for o in found if o.delisted])
        _print_named(
            "rows put aside (quarantine/)",
            [f"{o.symbol} {len(o.rejected)}" for o in found if o.rejected],
        )
        _print_named("without any candle", [o.symbol for o in found if o.report.get("rows") == 0])
    if client.tally.retried:
        told = ", ".join(f"{n:,} {kind}" for kind, n in client.tally.retried.most_common())
        print(f"answers that were asked for again: {told}")


def _print_named(title: str, names: list[str]) -> None:
    if not names:
        return
    print(f"  {title}: {len(names):,}")
    for name in names[:_NAMED]:
        print(f"    {name}")
    if len(names) > _NAMED:
        print(f"    … and {len(names) - _NAMED:,} more")
