"""Queries and a stream of a MarketStore endpoint: `python marketstore_notebook.py [http://…/rpc]`."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import pymarketstore as pymkts

from alphaqcm import marketstore

CLOSES = 4  # candles to wait for


class Enough(Exception):
    """As many candles have come as were wanted."""


def main() -> None:
    rpc = sys.argv[1] if len(sys.argv) > 1 else marketstore.DEFAULT_ENDPOINT
    client = pymkts.Client(rpc)
    print("symbols:", ", ".join(client.list_symbols()))

    params = pymkts.Params("BTCUSDT", "1H", "OHLCV", limit=4)
    print("\nBTCUSDT/1H/OHLCV, the last 4\n", client.query(params).first().df(), sep="")

    short = marketstore.Client(rpc)
    days = short.query("*/1d/OHLCV_EXT", columns=["Close", "QuoteVolume", "Minutes"])
    for key, rows in days.all().items():
        print(f"\n{key}\n{rows.df()}")

    print(f"\nthe next {CLOSES} candles as they close")
    stream, seen = client.client.stream(), []

    @stream.on(r"^.*/1Min/OHLCV$")
    def closed(_stream: Any, message: dict[str, Any]) -> None:
        print(message["key"], message["data"])
        seen.append(message)
        if len(seen) == CLOSES:
            raise Enough

    with contextlib.suppress(Enough):
        stream.run(["*/1Min/OHLCV"])


if __name__ == "__main__":
    main()
