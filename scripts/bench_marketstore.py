"""Query a symbol-year of minutes over MarketStore's protocol, beside a plain pyarrow read.

usage: python scripts/bench_marketstore.py [--days 365] [--rounds 7]

The peer reads the same rows and columns of the same files with pyarrow and packs them with msgpack,
in the same process and rounds: no bucket, no check of bytes, no network. Ratios are of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgpack
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pymarketstore as pymkts
import requests

from alphaqcm.data_collection.build.run.task_graph import symbol_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import no_gate
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.marketstore.config import MarketstoreConfig
from alphaqcm.data_collection.marketstore.marketstore import Marketstore, Settings
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.domain.date_range import DateRange

NAMES = ("open", "high", "low", "close", "volume")
BAR = 2.0  # most that a query may take, in times of the peer
BODY = {
    "method": "DataService.Query",
    "id": "1",
    "jsonrpc": "2.0",
    "params": {"requests": [{"destination": "BTCUSDT/1Min/OHLCV"}]},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--rounds", type=int, default=7)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alphaqcm-bench-") as folder:
        root = make_root(Path(folder), words.days)
        service = serve(root)
        return compare(root, service, words.rounds)


def make_root(folder: Path, days: int) -> Path:
    """A data root of one symbol's minutes."""
    spec = SampleSpec(("BTCUSDT",), days=days, minutes_only=True, start=date(2023, 1, 1))
    write_sample(folder / "source", spec)
    settings = RunSettings(
        spec.market,
        spec.symbols,
        DateRange(spec.first, spec.last),
        folder / "root",
        str(folder / "source"),
        types=("klines:1m",),
    )
    with open_task_runner(settings) as runner:
        for task in symbol_tasks(settings, "BTCUSDT"):
            runner.perform(task, no_gate)
    return settings.root


def serve(root: Path) -> Marketstore:
    """An endpoint over it, in a thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def start() -> Marketstore:
        service = Marketstore(Settings(root, replace(MarketstoreConfig(), listen_port=0)))
        await service.start()
        return service

    return asyncio.run_coroutine_threadsafe(start(), loop).result()


def peer(root: Path) -> bytes:
    """The rows by pyarrow alone, packed by msgpack."""
    files = sorted((root / "binance_klines_1m_parquet" / "BTCUSDT").glob("*.parquet"))
    table = pq.ParquetDataset(files).read(columns=["minute", *NAMES])
    seconds = pc.divide(table["minute"].cast("int64"), 1_000_000)
    columns = [seconds, *(table[name] for name in NAMES)]
    return bytes(msgpack.packb([bytes(np.asarray(column).data) for column in columns]))


def compare(root: Path, service: Marketstore, rounds: int) -> int:
    url, body = f"{service.url}/rpc", msgpack.packb(BODY)
    client = pymkts.Client(url)
    session = requests.Session()
    headers = {"Content-Type": "application/x-msgpack"}
    ways: dict[str, Callable[[], Any]] = {
        "pyarrow and msgpack": lambda: peer(root),
        "a query, before HTTP": lambda: service.dispatcher.reply(body),
        "a query over HTTP": lambda: session.post(url, data=body, headers=headers).content,
        "pymarketstore, to an array": lambda: client.query(
            pymkts.Params("BTCUSDT", "1Min", "OHLCV")
        ).first(),
    }
    rows = ways["pymarketstore, to an array"]().array
    assert len(peer(root)) > rows.nbytes
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    base = medians["pyarrow and msgpack"]
    print(f"{len(rows):,} rows of BTCUSDT/1Min/OHLCV, {rows.nbytes / 1e6:.0f} MB")
    for name, seconds in medians.items():
        print(f"{name:28} {seconds * 1e3:8.1f} ms {seconds / base:6.2f}")
    ratio = medians["a query over HTTP"] / base
    print(f"ratio {ratio:.2f}, at most {BAR:g}: {'met' if ratio <= BAR else 'NOT met'}")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
