"""Make the complete calendar of minutes: the archive's 1m candles with the REST tail."""

from __future__ import annotations

import argparse
import asyncio

from alphaqcm.data_collection.build.candles.holo import INTERVAL, HoloResult, make_calendars
from alphaqcm.data_collection.build.candles.markets import BanRecord
from alphaqcm.data_collection.commands.data.candles_fetch import Meter
from alphaqcm.data_collection.commands.data.candles_options import (
    archive_opener,
    read_bases,
    read_request,
)
from alphaqcm.data_collection.errors import Banned
from alphaqcm.data_collection.exchange.client import RestClient, create_aiohttp_session
from alphaqcm.data_collection.process.root_lock import RootPart, hold_root

_TIMEOUT = 10.0


def run(arguments: argparse.Namespace) -> int:
    """Make the calendars; 0 when all are there."""
    with hold_root(arguments.data_root / "_tmp", exclusive=True, part=RootPart.CANDLES):
        results = asyncio.run(_make(arguments))
    for trade_type, one in results.items():
        share = 100 * one.filled / one.minutes if one.minutes else 0.0
        print(
            f"{trade_type}: {one.symbols:,} symbols, {one.epochs:,} epochs, {one.minutes:,} "
            f"minutes, {one.filled:,} filled ({share:.2f} %)"
        )
    return 0


async def _make(arguments: argparse.Namespace) -> dict[str, HoloResult]:
    request, root = read_request(arguments, INTERVAL), arguments.data_root
    meter = Meter()
    async with create_aiohttp_session(_TIMEOUT) as session:
        client = RestClient(session, read_bases(arguments), notify=meter.say)
        bans = BanRecord.below(root)
        bans.check(client, request.markets)
        try:
            return await make_calendars(
                client,
                request,
                root,
                meter,
                archive_opener(arguments),
                split_gaps=arguments.split_gaps,
            )
        except Banned as error:
            bans.add(client, request.markets, error)
            raise
        finally:
            meter.close()
