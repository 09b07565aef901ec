"""Whether a client computes the wide table's live columns; loads what computes them only then."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from alphaqcm.data_collection.build.last_run import has_settings
from alphaqcm.data_collection.live.config import ExtraStream
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import PipelineError
from alphaqcm.pipeline.storage.layout import Layout

if TYPE_CHECKING:
    from alphaqcm.data_collection.live.factor_engine import FactorEngine
    from alphaqcm.data_collection.live.service import LiveClient


async def factors_of(client: LiveClient, data_root: Path | None) -> FactorEngine | None:
    """The live columns as a part of a client, where its data root has a table to go on from.

    They need 1m candles and trades. A root that cannot be gone on from is told and done without.
    """
    config, market = client.config, client.market
    if data_root is None or not has_table(data_root, market):
        return None
    if config.interval != "1m" or ExtraStream.AGG_TRADE not in config.streams:
        client.log.event("no factors", why="they need interval 1m and the stream aggTrade")
        return None
    from alphaqcm.data_collection.live.factor_start import open_factors  # compiled code: seconds

    try:
        factors = await asyncio.to_thread(
            open_factors, data_root, market, client.bus, client.clock,
            lambda: client.keeper.trading, client.alerts.tell,
        )  # fmt: skip
    except PipelineError as error:
        client.alerts.tell("factors", f"the wide table's columns are not computed: {error}")
        return None
    client.bus.subscribe(factors.on_event)
    client.supervisor.add("factors", factors.run)
    return factors


def has_table(data_root: Path, market: Market) -> bool:
    """Whether a data root has a wide table to go on from."""
    layout = Layout(data_root, market)
    return (
        market is Market.UM and has_settings(layout.temp, market) and layout.final_table().exists()
    )
