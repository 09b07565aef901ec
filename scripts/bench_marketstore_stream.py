"""From a candle's close at the exchange to the callback of a stream client, for many symbols.

usage: python scripts/bench_marketstore_stream.py [--symbols 700] [--closes 2]

Exchange, endpoint with its feeder, and this program are three processes on one machine; the clock
runs at real speed. The peer is a WebSocket of the exchange itself, read here: what the endpoint
adds is the time from a close frame on that socket to the callback of pymarketstore's StreamConn for
the same candle, on the same monotonic clock. With as few cores as there are processes, part of it
is waiting for a core.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
import orjson
import pymarketstore as pymkts
import requests

BAR_MS = 20.0  # at most, at the 99th percentile
STREAMS = 190  # on one connection of the peer
CONFIG = """
listen_port: 0
bgworkers:
  - config:
      symbols: [{symbols}]
      realtime: {{enabled: true, stream_type: kline}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=700)
    parser.add_argument("--closes", type=int, default=2)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alphaqcm-bench-") as name:
        folder = Path(name)
        options = ["--um", str(words.symbols), "--trades-per-minute", "1", "--kline-push", "closes"]
        exchange, url = start(folder / "exchange.log", {}, "exchange", "--port", "0", *options)
        symbols = traded(url)[: words.symbols]
        config = folder / "mkts.yml"
        config.write_text(CONFIG.format(symbols=", ".join(symbols)))
        environment = {"ALPHAQCM_TEST_CLOCK": url}
        own = ["--config", str(config), "--data-root", str(folder / "root"), "--exchange", url]
        endpoint, rpc = start(folder / "endpoint.log", environment, "marketstore", "start", *own)
        try:
            return measure(url, rpc, symbols, words.closes)
        finally:
            for process in (endpoint, exchange):
                process.terminate()
                process.wait()


def start(log: Path, more: dict[str, str], *words: str) -> tuple[subprocess.Popen[bytes], str]:
    """A command in a process of its own, and the address that it tells."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "alphaqcm", *words], stdout=stream, env={**os.environ, **more}
        )
    while not (found := re.search(r"http://\S+", log.read_text())):
        time.sleep(0.1)
    return process, found[0]


def traded(url: str) -> list[str]:
    info = requests.get(f"{url}/fapi/v1/exchangeInfo", timeout=60).json()
    return sorted(
        one["symbol"]
        for one in info["symbols"]
        if one["status"] == "TRADING" and one["contractType"] == "PERPETUAL"
    )


def measure(url: str, rpc: str, symbols: list[str], closes: int) -> int:
    """Listen until so many minutes have closed; the table of what was added."""
    peer: dict[tuple[str, int], float] = {}
    ours: dict[tuple[str, int], float] = {}
    threading.Thread(target=listen, args=(rpc, ours), daemon=True).start()
    asyncio.run(watch(url, symbols, peer, closes))
    time.sleep(2)
    both = sorted((ours[key] - peer[key]) * 1e3 for key in peer if key in ours)
    lost = len(peer) - len(both)
    spread = spread_of_closes(peer)
    print(f"{len(symbols)} symbols, {len(both):,} closes; they took {spread * 1e3:.0f} ms to come")
    for name, at in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("most", 1.0)):
        print(
            f"close to callback, {name:5} {both[min(len(both) - 1, int(at * len(both)))]:8.1f} ms"
        )
    p99 = both[min(len(both) - 1, int(0.99 * len(both)))]
    good = p99 < BAR_MS and not lost
    print(f"p99 {p99:.1f} ms, below {BAR_MS:g}; {lost} lost: {'met' if good else 'NOT met'}")
    return 0 if good else 1


def spread_of_closes(peer: dict[tuple[str, int], float]) -> float:
    """Seconds from a minute's first close to its last, at the peer."""
    minutes: dict[int, list[float]] = {}
    for (_, epoch), moment in peer.items():
        minutes.setdefault(epoch, []).append(moment)
    return statistics.median(max(one) - min(one) for one in minutes.values())


def listen(rpc: str, ours: dict[tuple[str, int], float]) -> None:
    stream = pymkts.Client(rpc).client.stream()

    @stream.on(r".*")
    def closed(_stream: Any, message: dict[str, Any]) -> None:
        now = time.monotonic()
        ours[message["key"].partition("/")[0], message["data"]["Epoch"]] = now

    stream.run(["*/1Min/OHLCV"])


async def watch(
    url: str, symbols: list[str], peer: dict[tuple[str, int], float], closes: int
) -> None:
    base = url.replace("http", "ws") + "/um-ws/market/ws"
    seen: set[int] = set()
    done = asyncio.Event()

    async def read(part: list[str]) -> None:
        names = [f"{symbol.lower()}@kline_1m" for symbol in part]
        async with aiohttp.ClientSession() as session, session.ws_connect(base) as socket:
            for start in range(0, len(names), 50):
                words = {
                    "method": "SUBSCRIBE",
                    "params": names[start : start + 50],
                    "id": start + 1,
                }
                await socket.send_json(words)
                await asyncio.sleep(0.3)
            async for message in socket:
                now = time.monotonic()
                if '"x":true' not in message.data:
                    continue
                kline = orjson.loads(message.data)["k"]
                epoch = kline["t"] // 1000
                peer[kline["s"], epoch] = now
                seen.add(epoch)
                if len(seen) >= closes + 2:
                    done.set()

    reading = [
        asyncio.create_task(read(symbols[at : at + STREAMS]))
        for at in range(0, len(symbols), STREAMS)
    ]
    await done.wait()
    first, *_ = sorted(seen)
    last = max(seen)
    for task in reading:
        task.cancel()
    # the first minute may have closed while streams were being subscribed, the last is under way
    for key in [key for key in peer if key[1] in (first, last)]:
        del peer[key]


if __name__ == "__main__":
    sys.exit(main())
