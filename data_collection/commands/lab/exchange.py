"""Serves a simulated exchange: Binance's REST and WebSockets over simulated trades."""

from __future__ import annotations

import argparse
import asyncio
import signal

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.exchange import (
    ExchangeSpec,
    ExchangeState,
    KlinePush,
    Scenario,
    UniverseSize,
    serve_until,
)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    scenario = Scenario.load(arguments.scenario) if arguments.scenario else Scenario()
    state = ExchangeState(
        ExchangeSpec(
            tape=arguments.tape,
            start_ms=int(arguments.start.timestamp() * 1000) if arguments.start else None,
            speed=arguments.speed,
            seed=arguments.seed,
            size=UniverseSize(arguments.spot, arguments.um, arguments.cm),
            trades_per_minute=arguments.trades_per_minute,
            kline_push=KlinePush(arguments.kline_push),
            scenario=scenario,
        )
    )

    async def serve() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        what = arguments.tape or "generated trades"
        await serve_until(
            state,
            (arguments.host, arguments.port),
            stopping,
            lambda url: print(f"{url} plays {what}", flush=True),
        )

    try:
        asyncio.run(serve())
    except OSError as error:
        raise UsageError(
            f"--host {arguments.host} --port {arguments.port}",
            expected="an address that can be listened on",
            found=str(error),
            next_step="pass another --port, or 0 for a free one",
        ) from error
    return 0
