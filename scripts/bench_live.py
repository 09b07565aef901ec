"""Speed of the live client: frames to bars, bars to files, a market of 700 symbols, its trades.

usage: bench_live.py [frames|files|live|trades …] [--seconds N] [--symbols N] [--candles N]

`frames` holds the decoding of candle frames against json.loads of each; `files` a close of 700
symbols against one frame after the other by pandas, as BMAC wrote them; `live` runs `bmac start`
on the simulated exchange at real speed, each a process of its own, and tells the stand-in's own
cost apart; `trades` records 5,000 trades a second, and 125,000 at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.bars.keeper import Keeper
from alphaqcm.data_collection.live.events import BarSource, LocalBus
from alphaqcm.data_collection.live.files.notes import Notes
from alphaqcm.data_collection.live.files.publisher import Publisher
from alphaqcm.data_collection.live.files.ready_files import ReadyFiles
from alphaqcm.data_collection.live.files.tables import VALUES
from alphaqcm.data_collection.live.record.day_parts import DayParts, Kind, read_rows
from alphaqcm.data_collection.live.run import SWITCH_INTERVAL
from alphaqcm.data_collection.live.sockets.frames import topic_of
from alphaqcm.data_collection.live.watch.metrics import Latencies, Metrics
from alphaqcm.pipeline.domain.registry import Market

SYMBOLS, ROWS, STEP = 700, 1500, 60_000
BEGIN = 29_500_000 * STEP
ROUNDS = 3
RATE, PEAK, STALL = 5_000, 30_000, 25  # trades a second; seconds of which come at once
_PATIENCE, _TAIL = 120.0, 300  # seconds for them; bytes with a part's last row
Health = dict[str, Any]
NAMES = [f"COIN{number:03d}USDT" for number in range(SYMBOLS)]


def frame(symbol: str, open_ms: int, *, closed: bool) -> bytes:
    return (
        f'{{"e":"kline","E":{open_ms + STEP},"s":"{symbol}","k":{{"t":{open_ms},'
        f'"T":{open_ms + STEP - 1},"s":"{symbol}","i":"1m","f":1,"L":9,"o":"61000.10",'
        f'"c":"61001.20","h":"61010.00","l":"60990.50","v":"12.345","n":9,'
        f'"x":{"true" if closed else "false"},"q":"753067.1234","V":"6.1","Q":"372106.0",'
        f'"B":"0"}}}}'
    ).encode()


def keeper_of(folder: Path, metrics: Metrics) -> Keeper:
    """A keeper of 700 symbols with full histories."""
    notes = Notes(folder / "_live")
    notes.load("bench")
    keeper = Keeper(
        Market.UM, "1m", STEP, ROWS, ExchangeClock(), LocalBus(lambda *_: None), notes, metrics,
        lambda *_: None,
    )  # fmt: skip
    times = BEGIN + np.arange(ROWS) * STEP
    values = np.round(np.random.default_rng(1).random((ROWS, len(VALUES))) * 1000, 4)
    sources = np.full(ROWS, BarSource.REST, np.uint8)
    for name in NAMES:
        keeper.open(name, BEGIN)
        keeper.books[name].begin(times, values, sources, BEGIN + ROWS * STEP)
        keeper.started(name, ())
        keeper.trading.add(name)
    return keeper


def best(work: Callable[[], object]) -> float:
    """Least seconds of a few runs."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def frames() -> None:
    """Frames a second, of which one in 240 closes a candle."""
    with tempfile.TemporaryDirectory() as folder:
        keeper = keeper_of(Path(folder), Metrics())
        raws = [frame(name, BEGIN + ROWS * STEP, closed=k == 239)
                for k in range(240) for name in NAMES[:100]]  # fmt: skip

        def ours() -> None:
            for raw in raws:
                topic_of(raw)
                keeper.hear(raw, 0)

        def peer() -> None:
            for raw in raws:
                json.loads(raw)["k"]["x"]

        mine, theirs = best(ours), best(peer)
    print(f"frames: {len(raws) / mine:,.0f} a second, {theirs / mine:.1f} x json.loads of each")


def files() -> None:
    """From the first close frame to the last ready file, 700 symbols with 1,500 rows."""

    async def ours(folder: Path) -> tuple[Metrics, float]:
        metrics = Metrics()
        keeper = keeper_of(folder, metrics)
        store = ReadyFiles(folder / "usdt_perp_1m")
        store.recover()
        publisher = Publisher(store, keeper.books, keeper.clock, metrics, lambda *_: None)
        keeper.changed = publisher.mark
        running = asyncio.create_task(publisher.run())
        for name in NAMES:
            publisher.mark(name)
        await publisher.drain()
        began = time.perf_counter()
        for name in NAMES:
            keeper.hear(frame(name, BEGIN + ROWS * STEP, closed=True), time.monotonic_ns())
        await publisher.drain()
        seconds = time.perf_counter() - began
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return metrics, seconds

    def peer(folder: Path) -> float:
        values = np.random.default_rng(1).random((ROWS, len(VALUES)))
        times = pd.to_datetime(BEGIN + np.arange(ROWS) * STEP, unit="ms", utc=True)
        old = pd.DataFrame(values, columns=list(VALUES), index=times)
        began = time.perf_counter()
        for name in NAMES[:100]:
            new = pd.concat([old.iloc[1:], old.iloc[:1]])
            new.to_parquet(folder / f"{name}.pqt")
            (folder / f"{name}.ready").touch()
        return (time.perf_counter() - began) * SYMBOLS / 100

    with tempfile.TemporaryDirectory() as folder:
        metrics, seconds = asyncio.run(ours(Path(folder)))
        theirs = peer(Path(folder))
    print(
        f"files: {SYMBOLS} symbols ready in {seconds:.2f} s, pandas takes {theirs / seconds:.1f} x"
    )
    show("close frame to bus", metrics.to_bus)
    show("bus to ready file", metrics.to_file)


def show(what: str, latencies: Latencies) -> None:
    p50, p99, most = (latencies.quantile(share) * 1000 for share in (0.5, 0.99, 1.0))
    print(f"  {what:<24} p50 {p50:8.2f} ms   p99 {p99:8.2f} ms   max {most:8.2f} ms")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of a market, for how long."""

    symbols: int
    candles: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Running:
    """A client in its directory, and the stand-in at its address."""

    base: Path
    url: str
    client: psutil.Process
    exchange: psutil.Process


@contextmanager
def beside(
    symbols: int, config: dict[str, object], server_words: list[str], client_words: list[str]
) -> Iterator[Running]:
    """`bmac start` beside the stand-in at real speed."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "live"
        base.mkdir()
        words = {"interval": "1m", "trade_type": "usdt_perp", **config}
        (base / "config.json").write_text(json.dumps(words))
        log = Path(folder) / "exchange.log"
        with log.open("wb") as stream:
            # beside those that are asked for, usdt_perp has a new one and one that is not ASCII
            exchange = subprocess.Popen(
                [sys.executable, "-m", "alphaqcm", "exchange", "--port", "0", "--um",
                 str(symbols - 2), "--spot", "1", "--cm", "1", *server_words], stdout=stream,
            )  # fmt: skip
        try:
            while not (found := re.search(r"http://\S+", log.read_text())):
                if exchange.poll() is not None:
                    sys.exit("the stand-in does not start")
                time.sleep(0.1)
            client = subprocess.Popen(
                [sys.executable, "-m", "alphaqcm", "bmac", "start", str(base), "--exchange",
                 found[0], *client_words], stdout=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                yield Running(
                    base, found[0], psutil.Process(client.pid), psutil.Process(exchange.pid)
                )
            finally:
                client.terminate()
                client.wait()
        finally:
            exchange.terminate()
            exchange.wait()


def live(sizes: Sizes) -> None:
    """All candles of a market, with its histories in memory."""
    with beside(sizes.symbols, {"num_candles": sizes.candles}, [], []) as running:
        began = time.monotonic()
        port = warm(running.base)
        print(f"live: warm after {time.monotonic() - began:.0f} s, {sizes.candles:,} candles each")
        first, last, passed = measure(port, running, sizes.seconds)
        told = (last["frames"] - first["frames"]) / passed
        print(f"  {last['symbols']} symbols, {told:,.0f} frames a second, {passed:.0f} s")
        for name, what in (("to_bus", "close frame to bus"), ("to_file", "bus to ready file")):
            one = last[name]
            print(f"  {what:<24} p50 {one['p50']:8.2f} ms   p99 {one['p99']:8.2f} ms   "
                  f"max {one['most']:8.2f} ms   of {one['count']:,}")  # fmt: skip


def trades(sizes: Sizes) -> None:
    """Trades of a hundred symbols, recorded: steadily, and what comes after a stall all at once."""
    symbols = min(sizes.symbols, 100)
    server_words = ["--trades-per-minute", str(RATE * 60 // symbols), "--kline-push", "closes"]
    config: dict[str, object] = {"num_candles": 10, "streams": ["aggTrade"]}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with beside(symbols, config, server_words, ["--record", folder]) as running:
            port = warm(running.base)
            while health(port)["recorder"].get("aggTrades", 0) < RATE:
                time.sleep(0.5)
            print(f"trades: {RATE:,} a second of {symbols} symbols")
            first, last, passed = measure(port, running, sizes.seconds)
            number = last["recorder"]["aggTrades"] - first["recorder"]["aggTrades"]
            print(f"  {number / passed:,.0f} recorded a second")
            fault = json.dumps({"kind": "ws-stall", "market": "um", "seconds": STALL}).encode()
            with urllib.request.urlopen(f"{running.url}/__fault__", data=fault):
                time.sleep(STALL)
            end = time.time()
            while newest(root) < end * 1000 and time.time() < end + _PATIENCE:
                time.sleep(0.1)
            behind = time.time() - end
            count = RATE * STALL
            print(f"  {count:,} at once are recorded after {behind:.1f} s: "
                  f"{count / behind / PEAK:.1f} x {PEAK:,} a second")  # fmt: skip
        total, lost = recorded(root)
    print(f"  {total:,} recorded in all, {lost:,} missing among them")


def newest(root: Path) -> int:
    """Up to when (ms) the trades of every symbol are recorded."""
    times = []
    for _, _, path in DayParts(root, Market.UM).days(Kind.AGG_TRADES):
        with path.open("rb") as stream:
            stream.seek(-min(path.stat().st_size, _TAIL), 2)
            times.append(int(stream.read().splitlines()[-1].split(b",")[5]))
    return min(times, default=0)


def recorded(root: Path) -> tuple[int, int]:
    """How many trades the parts have, and how many ids are missing between them."""
    total = lost = 0
    for _, _, path in DayParts(root, Market.UM).days(Kind.AGG_TRADES):
        ids = [int(row[0]) for row in read_rows(path)]
        total += len(ids)
        lost += ids[-1] - ids[0] + 1 - len(set(ids))
    return total, lost


def warm(base: Path) -> int:
    """Wait until a client is warm; the port at which it tells of itself."""
    status = base / "_live" / "status.json"
    while not status.exists() or not json.loads(status.read_text())["warm"]:
        time.sleep(0.5)
    return int(json.loads(status.read_text())["port"])


def measure(port: int, running: Running, seconds: float) -> tuple[Health, Health, float]:
    """Watch both for a while: what the client told before and after, and how long it was."""
    watched = {"client": running.client, "stand-in": running.exchange}
    began, before = time.monotonic(), {name: cpu(one) for name, one in watched.items()}
    first = health(port)
    most = 0
    while time.monotonic() - began < seconds:
        time.sleep(0.5)
        most = max(most, running.client.memory_info().rss)
    passed, last = time.monotonic() - began, health(port)
    for name, process in watched.items():
        print(f"  {name:<24} {(cpu(process) - before[name]) / passed:6.1%} of a core")
    print(f"  {'memory of the client':<24} {most / 1e6:,.0f} MB, {most / 1e9:.0%} of a GB")
    return first, last, passed


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def health(port: int) -> Health:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
        return dict(json.loads(answer.read()))


def main() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", help="frames files live trades (default: all)")
    parser.add_argument("--seconds", type=float, default=130.0)
    parser.add_argument("--symbols", type=int, default=SYMBOLS)
    parser.add_argument("--candles", type=int, default=ROWS)
    words = parser.parse_args()
    sizes = Sizes(words.symbols, words.candles, words.seconds)
    parts: dict[str, Callable[[], None]] = {
        "frames": frames,
        "files": files,
        "live": lambda: live(sizes),
        "trades": lambda: trades(sizes),
    }
    for name in words.parts or parts:
        parts[name]()


if __name__ == "__main__":
    main()
