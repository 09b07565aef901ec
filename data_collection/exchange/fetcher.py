"""What a notebook or program needs of the exchange, from one import.

    async with create_aiohttp_session(timeout_sec=3) as session:
        fetcher = BinanceFetcher("usdt_futures", session)
        candles = await fetcher.get_candle("BTCUSDT", "5m")

Hosts are the real ones, or the one that the environment's `ALPHAQCM_EXCHANGE` names.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pandas as pd
import polars as pl

from alphaqcm.data_collection.exchange.answers import (
    KLINES,
    FundingRow,
    KlinePage,
    SymbolInfo,
    read_klines,
    trading_rules,
)
from alphaqcm.data_collection.exchange.client import RestClient, create_aiohttp_session
from alphaqcm.data_collection.exchange.endpoints import (
    KLINE_LIMITS,
    POOL_OF_MARKET,
    Endpoint,
    parse_trade_type,
)
from alphaqcm.data_collection.exchange.governor import Priority
from alphaqcm.data_collection.exchange.log_kit import divider, get_logger
from alphaqcm.data_collection.exchange.pages import Page, plan_pages
from alphaqcm.data_collection.exchange.quantclass import QuantclassDataApi
from alphaqcm.data_collection.exchange.timing import (
    DEFAULT_TZ,
    async_sleep_until_run_time,
    convert_interval_to_timedelta,
    next_run_time,
    now_time,
)
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA
from alphaqcm.pipeline.candles.window_grid import interval_us

__all__ = [
    "DEFAULT_TZ",
    "BinanceFetcher",
    "QuantclassDataApi",
    "async_sleep_until_run_time",
    "convert_interval_to_timedelta",
    "create_aiohttp_session",
    "divider",
    "get_logger",
    "next_run_time",
    "now_time",
]

FINAL_AFTER_MS = 2000
"""A candle is final this long after its close; before, the exchange may still change it."""

_DEFAULT_LIMIT = 500
_FUNDING = msgspec.json.Decoder(list[FundingRow])


class BinanceFetcher:
    """Market data of one trade type; raises the errors of `ExchangeError`."""

    def __init__(
        self,
        trade_type: str,
        session: aiohttp.ClientSession | None = None,
        *,
        client: RestClient | None = None,
    ) -> None:
        if client is None and session is None:
            raise TypeError("BinanceFetcher needs a session")
        self.trade_type = parse_trade_type(trade_type)
        self.market = self.trade_type.market
        self.client = client or RestClient(session)  # type: ignore[arg-type]

    def get_api_limits(self) -> tuple[int, int]:
        """(weight a minute that is allowed, candles a request that cost least a candle)."""
        limit = self.client.governor.limit(POOL_OF_MARKET[self.market])
        return limit, KLINE_LIMITS[self.market].page

    async def get_time_and_weight(self) -> tuple[pd.Timestamp, int]:
        """The server's time (UTC) and the weight used in its minute."""
        server_ms, used = await self.client.server_time(self.market)
        return pd.Timestamp(server_ms, unit="ms", tz="UTC"), used

    async def symbols(self) -> list[SymbolInfo]:
        """The trade type's symbols, as the exchange tells of them."""
        info = await self.client.exchange_info(self.market)
        kind = self.trade_type
        return [
            one
            for one in info.symbols
            if (kind.quote is None or one.quoteAsset == kind.quote)
            and (not kind.contracts or one.contractType in kind.contracts)
        ]

    async def get_exchange_info(self) -> dict[str, dict[str, Any]]:
        """Trading rules by symbol; numbers as `Decimal`."""
        return {one.symbol: trading_rules(one, self.market) for one in await self.symbols()}

    async def get_candle(
        self, symbol: str, interval: str, limit: int = _DEFAULT_LIMIT, **parameters: int
    ) -> pd.DataFrame:
        """Candles as the exchange gives them, the unfinished last one included.

        `startTime` and `endTime` in milliseconds bound the open time. Indexed by candle_end_time
        (UTC); columns candle_begin_time, open, high, low, close, volume, quote_volume, trade_num,
        taker_buy_base_asset_volume, taker_buy_quote_asset_volume.
        """
        asked: dict[str, str | int] = {"symbol": symbol, "interval": interval, "limit": limit}
        asked |= {name: value for name, value in parameters.items() if value is not None}
        rows = await self.client.ask(
            self.market, Endpoint.KLINES, KLINES, asked, group=self.trade_type.name
        )
        every = np.iinfo(np.int64).max
        page = read_klines(rows, interval_us(interval) // 1000, 0, every)
        frame = page.candles.to_pandas().set_index("candle_end_time")
        return frame.astype({"trade_num": "float64"})

    async def page(
        self,
        symbol: str,
        interval: str,
        page: Page,
        priority: Priority = Priority.BACKFILL,
    ) -> KlinePage:
        """The candles of one planned page, checked."""
        asked: dict[str, str | int] = {
            "symbol": symbol,
            "interval": interval,
            "startTime": page.begin_ms,
            "endTime": page.end_ms - 1,
            "limit": page.candles,
        }
        rows = await self.client.ask(
            self.market,
            Endpoint.KLINES,
            KLINES,
            asked,
            priority=priority,
            group=self.trade_type.name,
        )
        return read_klines(rows, page.interval_ms, page.begin_ms, page.end_ms)

    async def candles(
        self, symbol: str, start: datetime, end: datetime, interval: str = "5m"
    ) -> pl.DataFrame:
        """Every final candle that begins in [start, end), all pages at once; `CANDLE_SCHEMA`."""
        interval_ms = interval_us(interval) // 1000
        await self.client.server_time(self.market)
        stop = min(
            round(end.timestamp() * 1000), final_end(self.client.clock.now_ms(), interval_ms)
        )
        pages = plan_pages(self.market, interval_ms, round(start.timestamp() * 1000), stop)
        found = await asyncio.gather(*(self.page(symbol, interval, page) for page in pages))
        frames = [page.candles for page in found]
        return pl.concat(frames) if frames else pl.DataFrame(schema=CANDLE_SCHEMA)

    async def funding(self, symbol: str, start_ms: int, end_ms: int) -> list[tuple[int, str]]:
        """(funding time in ms, rate as text) of [start_ms, end_ms), in order of time."""
        found: dict[int, str] = {}
        while start_ms < end_ms:
            asked: dict[str, str | int] = {
                "symbol": symbol,
                "startTime": start_ms,
                "endTime": end_ms - 1,
                "limit": 1000,
            }
            rows = await self.client.ask(
                self.market, Endpoint.FUNDING_RATE, _FUNDING, asked, group=self.trade_type.name
            )
            found |= {row.fundingTime: row.fundingRate for row in rows if row.rateType == "Regular"}
            if len(rows) < 1000:
                break
            start_ms = max(row.fundingTime for row in rows) + 1
        return sorted(found.items())


def final_end(now_ms: int, interval_ms: int) -> int:
    """The end of the last candle that is final at `now_ms`."""
    return (now_ms - FINAL_AFTER_MS) // interval_ms * interval_ms
