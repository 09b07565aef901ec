"""From a candle's close at the exchange to the callback of a stream client, for many symbols.

usage: python scripts/bench_marketstore_stream.py [--symbols 700] [--closes 2] [--speed 1]

Exchange, endpoint with its feeder, stream client and this program are four processes on one
machine. All candles close at once. The peer is a WebSocket of the exchange itself, read here, for
every 50th symbol, so that it takes no core from the others: a minute counts as closed when its
first frame of all came to that socket, and the time to the callback of pymarketstore's StreamConn
is that of each of the symbols, on the machine's monotonic clock. It includes what the stand-in
needs to send to all, and the client's own pace, which is measured too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
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
import msgpack
import orjson
import pymarketstore as pymkts
import requests
from aiohttp import web

BAR_MS = 20.0  # at most, at the 99th percentile
WATCHED = 50  # one of so many symbols is on the peer's socket too
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
    parser.add_argument("--speed", type=float, default=1.0, help="of the exchange's clock")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alphaqcm-bench-") as name:
        folder = Path(name)
        options = ["--um", str(words.symbols), "--trades-per-minute", "1", "--kline-push", "closes"]
        options += ["--speed", str(words.speed)]
        exchange, url = start(folder / "exchange.log", {}, "exchange", "--port", "0", *options)
        symbols = traded(url)[: words.symbols]
        config = folder / "mkts.yml"
        config.write_text(CONFIG.format(symbols=", ".join(symbols)))
        environment = {"ALPHAQCM_TEST_CLOCK": url}
        own = ["--config", str(config), "--data-root", str(folder / "root"), "--exchange", url]
        endpoint, rpc = start(folder / "endpoint.log", environment, "marketstore", "start", *own)
        try:
            return measure(url, rpc, symbols, words.closes, folder / "stamps.txt")
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


def measure(url: str, rpc: str, symbols: list[str], closes: int, stamps: Path) -> int:
    """Listen until so many minutes have closed; the table of what was added."""
    peer: dict[tuple[str, int], float] = {}
    ours: dict[tuple[str, int], float] = {}
    client = multiprocessing.Process(target=listen, args=(rpc, stamps), daemon=True)
    client.start()
    asyncio.run(watch(url, symbols, peer, closes))
    time.sleep(2)
    client.terminate()
    for line in stamps.read_text().splitlines():
        symbol, epoch, moment = line.split()
        ours[symbol, int(epoch)] = float(moment)
    minutes: dict[int, float] = {}  # when the first frame came
    for (_, epoch), moment in peer.items():
        minutes[epoch] = min(moment, minutes.get(epoch, moment))
    print(f"{len(symbols)} symbols; the client alone, as many messages that wait for it: ", end="")
    print(f"{client_alone(len(symbols)) * 1e3:.1f} ms")
    both: list[float] = []
    for minute, closed in sorted(minutes.items()):
        own = [(at - closed) * 1e3 for (_, epoch), at in ours.items() if epoch == minute]
        clock = time.strftime("%H:%M", time.gmtime(minute + 60))
        half, most = statistics.median(own), max(own)
        print(f"the close at {clock}: half within {half:.1f} ms, all within {most:.1f} ms")
        both += own
    both.sort()
    lost = len(symbols) * len(minutes) - len(both)
    for name, at in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("most", 1.0)):
        print(
            f"close to callback, {name:5} {both[min(len(both) - 1, int(at * len(both)))]:8.1f} ms"
        )
    p99 = both[min(len(both) - 1, int(0.99 * len(both)))]
    good = p99 < BAR_MS and not lost
    print(f"p99 {p99:.1f} ms, below {BAR_MS:g}; {lost} lost: {'met' if good else 'NOT met'}")
    return 0 if good else 1


def listen(rpc: str, stamps: Path) -> None:
    """Write down when the callback was called for each candle, in a process of its own."""
    stream = pymkts.Client(rpc).client.stream()
    heard: list[tuple[float, dict[str, Any]]] = []

    @stream.on(r".*")
    def closed(_stream: Any, message: dict[str, Any]) -> None:
        heard.append((time.monotonic(), message))

    def write() -> None:
        with stamps.open("w", buffering=1) as file:
            while True:
                time.sleep(0.5)
                while heard:
                    now, message = heard.pop()
                    symbol = message["key"].partition("/")[0]
                    file.write(f"{symbol} {message['data']['Epoch']} {now!r}\n")

    threading.Thread(target=write, daemon=True).start()
    with contextlib.suppress(TypeError):  # how the client meets the end of the connection
        stream.run(["*/1Min/OHLCV"])


def client_alone(count: int) -> float:
    """Seconds that the stream client takes for so many messages that wait for it."""
    message = msgpack.dumps(
        {"key": "BTCUSDT/1Min/OHLCV", "data": dict.fromkeys(("Epoch", *"OHLCV"), 1.5)}
    )
    ready, ports = threading.Event(), []

    async def serve() -> None:
        async def answer(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.receive()
            for _ in range(count):
                await socket.send_bytes(message)
            await asyncio.sleep(30)
            return socket

        app = web.Application()
        app.router.add_get("/ws", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        ready.set()
        await asyncio.sleep(3600)

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    ready.wait()
    stream = pymkts.StreamConn(f"ws://127.0.0.1:{ports[0]}/ws")
    moments: list[float] = []

    @stream.on(r".*")
    def called(_stream: Any, _message: dict[str, Any]) -> None:
        moments.append(time.monotonic())
        if len(moments) == 1:
            time.sleep(0.5)  # until all are there
            moments[0] = time.monotonic()
        if len(moments) == count:
            raise StopIteration

    with contextlib.suppress(StopIteration):
        stream.run(["*/*/*"])
    return moments[-1] - moments[0]


async def watch(
    url: str, symbols: list[str], peer: dict[tuple[str, int], float], closes: int
) -> None:
    base = url.replace("http", "ws") + "/um-ws/market/ws"
    seen: set[int] = set()
    raw: list[tuple[float, str]] = []
    done = asyncio.Event()

    def decode() -> None:
        for moment, text in raw:
            if '"x":true' in text:
                kline = orjson.loads(text)["k"]
                epoch = kline["t"] // 1000
                peer[kline["s"], epoch] = moment
                seen.add(epoch)
        raw.clear()
        if len(seen) >= closes + 2:
            done.set()

    async def read(part: list[str]) -> None:
        names = [f"{symbol.lower()}@kline_1m" for symbol in part]
        async with aiohttp.ClientSession() as session, session.ws_connect(base) as socket:
            await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
            async for message in socket:
                raw.append((time.monotonic(), message.data))
                if len(raw) == 1:  # read when the burst is over: it is not what is measured
                    asyncio.get_running_loop().call_later(1.0, decode)

    reading = asyncio.create_task(read(symbols[::WATCHED]))
    await done.wait()
    first, *_ = sorted(seen)
    last = max(seen)
    reading.cancel()
    # the first minute may have closed while streams were being subscribed, the last is under way
    for key in [key for key in peer if key[1] in (first, last)]:
        del peer[key]


if __name__ == "__main__":
    sys.exit(main())
