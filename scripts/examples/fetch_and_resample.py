"""Fetch 5-minute candles of both markets, then fold them to hours at every offset.

A program as one writes it in a notebook, with nothing but the fetcher's own calls and pandas; the
command `alphaqcm candles fetch` does the same faster, keeps what it has, and checks every row.

    python scripts/examples/fetch_and_resample.py [FOLDER]

`ALPHAQCM_EXCHANGE=http://127.0.0.1:8100` runs it against `alphaqcm exchange`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pandas as pd

from alphaqcm.data_collection.exchange.fetcher import (
    DEFAULT_TZ,
    BinanceFetcher,
    async_sleep_until_run_time,
    convert_interval_to_timedelta,
    create_aiohttp_session,
    divider,
    get_logger,
    next_run_time,
    now_time,
)

INTERVAL, HOURS = "5m", "1h"
DAYS = int(os.environ.get("HISTORY_DAYS", "15"))
AT_ONCE = 80
SETTLE = pd.Timedelta(seconds=45)  # a candle closed for less may still change


def is_traded(rules: dict) -> bool:
    """USDT pairs that trade; of futures the perpetual contracts."""
    return (
        rules["quote_asset"] == "USDT"
        and rules["status"] == "TRADING"
        and rules.get("contract_type", "PERPETUAL") == "PERPETUAL"
    )


async def older_page(fetcher, symbol, known, run_time) -> tuple[pd.DataFrame, bool]:
    """The candles before those that are known, and whether the history ends there."""
    _, most = fetcher.get_api_limits()
    before = {}
    if known is not None:
        last = known["candle_begin_time"].min() - convert_interval_to_timedelta(INTERVAL)
        before["endTime"] = last.value // 1_000_000
    page = await fetcher.get_candle(symbol, INTERVAL, limit=most, **before)
    ended = len(page) < most
    page = page.loc[:run_time].sort_index()
    both = page if known is None else pd.concat([page, known])
    return both.drop_duplicates("candle_begin_time", keep="first"), ended


async def download(session, trade_type: str, folder: Path) -> None:
    """Every traded symbol's newest candles, page by page backwards, a batch at a time."""
    fetcher, logger = BinanceFetcher(trade_type, session), get_logger()
    run_time = next_run_time(INTERVAL) - convert_interval_to_timedelta(INTERVAL)
    wanted = DAYS * 288
    target = folder / f"{trade_type}_{INTERVAL}"
    target.mkdir(parents=True, exist_ok=True)
    rules = await fetcher.get_exchange_info()
    left = sorted(symbol for symbol, one in rules.items() if is_traded(one))
    most_weight, _ = fetcher.get_api_limits()
    logger.info("%s: %d symbols until %s", trade_type, len(left), run_time)
    if now_time() - run_time < SETTLE:
        await async_sleep_until_run_time(run_time + SETTLE)

    known: dict[str, pd.DataFrame | None] = dict.fromkeys(left)
    while left:
        server_time, weight = await fetcher.get_time_and_weight()
        if weight > most_weight * 0.9:
            await async_sleep_until_run_time(next_run_time("1m"))
            continue
        batch = left[:AT_ONCE]
        logger.debug("%s %s used %d", trade_type, server_time.tz_convert(DEFAULT_TZ), weight)
        pages = await asyncio.gather(
            *(older_page(fetcher, symbol, known[symbol], run_time) for symbol in batch)
        )
        for symbol, (candles, ended) in zip(batch, pages, strict=True):
            known[symbol] = candles
            if ended or len(candles) >= wanted:
                candles.iloc[-wanted:].to_parquet(target / f"{symbol}.parquet")
                left.remove(symbol)
                del known[symbol]
    logger.ok("%s done", trade_type)


def resample(trade_type: str, folder: Path) -> None:
    """Hours at each five-minute offset; a window that does not span an hour is dropped."""
    step, hour = (convert_interval_to_timedelta(one) for one in (INTERVAL, HOURS))
    how = {
        "candle_begin_time": "first",
        "candle_end_time": "last",
        "open": "first",
        "high": "max",
        "low": "min",
        "close": "last",
        "volume": "sum",
        "quote_volume": "sum",
        "trade_num": "sum",
        "taker_buy_base_asset_volume": "sum",
        "taker_buy_quote_asset_volume": "sum",
    }
    for path in sorted((folder / f"{trade_type}_{INTERVAL}").glob("*.parquet")):
        candles = pd.read_parquet(path).reset_index()
        for offset in range(hour // step):
            minutes = offset * 5
            hours = candles.resample(HOURS, offset=f"{minutes}min", on="candle_begin_time")
            table = hours.agg(how).reset_index(drop=True)
            spans = table["candle_end_time"] - table["candle_begin_time"]
            table = table[spans >= hour].set_index("candle_end_time")
            target = folder / f"{trade_type}_{HOURS}_resample" / f"{minutes}m"
            target.mkdir(parents=True, exist_ok=True)
            table.to_parquet(target / path.name)


async def main(folder: Path) -> None:
    """Both markets at once."""
    divider("candles of both markets")
    async with create_aiohttp_session(timeout_sec=10) as session:
        await asyncio.gather(
            download(session, "spot", folder), download(session, "usdt_futures", folder)
        )
    for trade_type in ("spot", "usdt_futures"):
        resample(trade_type, folder)
    divider("done")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "data")))
