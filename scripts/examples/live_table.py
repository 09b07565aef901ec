"""Watches a live directory: its status, and a table of factors of the whole market at closes.

python scripts/examples/live_table.py BASE_DIR [--seconds 60] [--every 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from rich.console import Console

from alphaqcm.data_collection.live.bmac_kit import (
    BmacAllMarketCalculator,
    CandleFileReader,
    next_run_time,
    sleep_until_run_time,
)
from alphaqcm.data_collection.live.watch.screen import WIDTH, look, render

FACTORS = [("PctChg", 5), ("TrdNumMeanV1", 20)]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_dir", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="of real time")
    parser.add_argument("--every", type=int, default=5, help="closes from one table to the next")
    arguments = parser.parse_args()
    base, end = arguments.base_dir, time.monotonic() + arguments.seconds
    config = json.loads((base / "config.json").read_text())
    interval = config["interval"]
    console = Console(width=WIDTH, highlight=False)
    while (
        not (base / "_live" / "status.json").exists() or not look(base).document()["status"]["warm"]
    ):
        if time.monotonic() > end:
            sys.exit(f"no client has come up in {base}")
        await asyncio.sleep(0.2)
    candles = CandleFileReader(base / f"{config['trade_type']}_{interval}", "parquet")
    infos = CandleFileReader(base / f"exginfo_{interval}", "parquet")
    market = BmacAllMarketCalculator(infos, candles, FACTORS, package="factor")
    closes = 0
    while time.monotonic() < end:
        run_time = next_run_time(interval)
        await sleep_until_run_time(run_time)
        closes += 1
        if closes % arguments.every != 1:
            continue
        table = await market.calc_all_factors(run_time)
        console.print(render(look(base)))
        console.print(f"\nfactors at {run_time:%Y-%m-%d %H:%M} Hong Kong time", style="bold")
        shown = table.set_index("symbol")[["close", *(f"{name}_{n}" for name, n in FACTORS)]]
        console.print(shown.sort_values("PctChg_5", ascending=False).head(6).to_string())
        if table.attrs["late"]:
            console.print(f"late: {', '.join(table.attrs['late'])}", style="yellow")
        console.print()


if __name__ == "__main__":
    asyncio.run(main())
