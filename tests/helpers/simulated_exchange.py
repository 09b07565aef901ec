"""The simulated exchange beside a test, and commands that are pointed at it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from alphaqcm.data_collection.simulation.exchange import (
    Exchange,
    ExchangeSpec,
    UniverseSize,
)
from tests.conftest import PROJECT

START_MS = int(datetime(2026, 3, 10, 12, 3, 20, tzinfo=UTC).timestamp() * 1000)
NAMES = (
    "candle_begin_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trade_num",
    "taker_buy_base_asset_volume",
    "taker_buy_quote_asset_volume",
    "unused",
)


def exchange(spot: int = 3, um: int = 3, cm: int = 1, **words: Any) -> Exchange:
    """A fast one at a fixed time; use it in a `with`."""
    spec: dict[str, Any] = {"start_ms": START_MS, "speed": 60.0, "trades_per_minute": 1, **words}
    return Exchange(ExchangeSpec(size=UniverseSize(spot, um, cm), **spec))


def environment(url: str) -> dict[str, str]:
    """The environment of a command that follows the exchange's clock."""
    return {**os.environ, "ALPHAQCM_TEST_CLOCK": url, "PYTHONPATH": str(PROJECT)}


def candle_words(server: Exchange | str, root: Path, action: str, *words: object) -> list[str]:
    url = server if isinstance(server, str) else server.url
    command = [sys.executable, "-m", "alphaqcm", "candles", action, "--data-root", str(root)]
    if action in ("fetch", "holo", "compare"):
        command += ["--exchange", url]
    return [*command, *map(str, words)]


def candles(
    server: Exchange | str, root: Path, action: str, *words: object, seconds: float = 280
) -> subprocess.CompletedProcess[str]:
    """`alphaqcm candles ACTION` against the exchange, run to its end."""
    url = server if isinstance(server, str) else server.url
    return subprocess.run(
        candle_words(server, root, action, *words),
        capture_output=True,
        text=True,
        env=environment(url),
        check=False,
        timeout=seconds,
    )


def ask(server: Exchange, path: str, **parameters: Any) -> Any:
    """One answer of the exchange's own paths."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{server.url}{path}?{query}", timeout=60) as answer:
        return json.loads(answer.read())


def plant(server: Exchange, kind: str, **words: Any) -> None:
    """Plant a fault."""
    body = json.dumps({"kind": kind, **words}).encode()
    request = urllib.request.Request(f"{server.url}/__fault__", data=body, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def take_faults_away(server: Exchange) -> None:
    """End everything that was planted; what it did to the truth stays."""
    request = urllib.request.Request(f"{server.url}/__fault__", method="DELETE")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def forget(server: Exchange) -> None:
    """Take all planted faults away; what they did to the truth stays."""
    request = urllib.request.Request(f"{server.url}/__fault__", method="DELETE")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def truth(
    server: Exchange, market: str, symbol: str, start_ms: int, end_ms: int, interval: str = "5m"
) -> pl.DataFrame:
    """The exchange's candles that begin in [start, end), decimal texts read by Python's float."""
    rows = ask(
        server,
        "/__truth__/klines",
        market=market,
        symbol=symbol,
        interval=interval,
        startTime=start_ms,
        endTime=end_ms - 1,
    )
    columns = list(zip(*rows, strict=True)) or [()] * len(NAMES)
    frame = {}
    for name, values in zip(NAMES, columns, strict=True):
        if name in ("close_time", "unused"):
            continue
        kind = int if name in ("candle_begin_time", "trade_num") else float
        frame[name] = [kind(value) for value in values]
    schema = {
        name: pl.Int64 if name in ("candle_begin_time", "trade_num") else pl.Float64
        for name in frame
    }
    begin = pl.col("candle_begin_time").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    return pl.DataFrame(frame, schema=schema).with_columns(begin.dt.cast_time_unit("us"))


def stored(root: Path, folder: str, symbol: str) -> pl.DataFrame:
    """A file of the store without candle_end_time."""
    return pl.read_parquet(root / "candles" / folder / f"{symbol}.parquet").drop("candle_end_time")


def footer(root: Path, folder: str, symbol: str) -> dict[str, Any]:
    """What a file of the store tells of itself."""
    import pyarrow.parquet as pq

    path = root / "candles" / folder / f"{symbol}.parquet"
    return dict(json.loads(pq.read_metadata(path).metadata[b"alphaqcm"])["report"])


def assert_stored_equals_truth(
    server: Exchange, root: Path, folder: str, market: str, symbol: str
) -> None:
    """Every cell that the store has of the range it covers is the exchange's, none is missing."""
    told = footer(root, folder, symbol)
    covered = told["covered"]
    begin, end = covered[0]["begin_ms"], covered[-1]["end_ms"]
    assert all(a["end_ms"] == b["begin_ms"] for a, b in itertools.pairwise(covered))
    expected = truth(server, market, symbol, begin, end)
    assert stored(root, folder, symbol).equals(
        expected.select(stored(root, folder, symbol).columns)
    )


def stats(server: Exchange) -> dict[str, Any]:
    """What was asked so far, every page counted."""
    return dict(ask(server, "/__stats__", pages=1))


def repeated_kline_pages(server: Exchange) -> dict[str, int]:
    """Kline pages that were answered more than once."""
    pages = stats(server)["repeated_pages"]
    return {page: count for page, count in pages.items() if "klines" in page}
