"""Serve a simulated exchange: Binance's REST and WebSocket interface over simulated trades.

Prints its address, then serves until it is stopped (Ctrl-C or SIGTERM). REST is at the real paths,
WebSockets are below /spot-ws, /um-ws and /cm-ws. Without TAPE the trades are generated, and reach
as far back as the symbols are old; TAPE is an archive tree, as `alphaqcm sample` writes one.
`GET /__clock__` tells the clock, `GET /__truth__/klines` what is true, `GET /__stats__` what was
asked; `POST /__fault__` or a scenario file plants faults (`GET /__faults__` lists them).
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

from alphaqcm.data_collection.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "tape", type=Path, nargs="?", metavar="TAPE", help="archive tree whose trades are played"
    )
    parser.add_argument(
        "--port", type=int, default=8100, metavar="P", help="0: a free one (default: %(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="X", help="of the clock (default: real)"
    )
    parser.add_argument(
        "--start",
        type=_instant,
        metavar="TIME",
        help="what the clock shows first, UTC (default: now, or the tape's last day)",
    )
    parser.add_argument(
        "--scenario", type=Path, metavar="FILE", help="YAML with a seed and faults to plant"
    )
    parser.add_argument(
        "--kline-push",
        choices=("closes", "full"),
        default="full",
        help="closes: one frame when a candle opens and one when it closes (default: full)",
    )
    parser.add_argument("--seed", type=int, default=7, help="of generated trades (default: 7)")
    for market, default in (("spot", 24), ("um", 18), ("cm", 4)):
        parser.add_argument(
            f"--{market}",
            type=int,
            default=default,
            metavar="N",
            help="ordinary symbols to generate (default: %(default)s)",
        )
    parser.add_argument(
        "--trades-per-minute",
        type=int,
        default=3,
        metavar="N",
        help="of every generated symbol, on average (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    from alphaqcm.data_collection.simulation.exchange import (
        ExchangeSpec,
        ExchangeState,
        KlinePush,
        Scenario,
        UniverseSize,
        serve_until,
    )

    if not 0 <= arguments.port < 65536:
        raise UsageError("--port", expected="a port from 0 to 65535", found=str(arguments.port))
    scenario = Scenario.load(arguments.scenario) if arguments.scenario else Scenario()
    state = ExchangeState(
        ExchangeSpec(
            tape=arguments.tape,
            start_ms=arguments.start,
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


def _instant(text: str) -> int:
    """A date or an ISO instant (UTC where no zone is said) in ms."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no date and no ISO instant") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
