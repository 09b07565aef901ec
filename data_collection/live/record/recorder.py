"""Keeps what the bus tells: daily parts, archive files of days that are over, liquidations."""

from __future__ import annotations

import asyncio
import contextlib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.events import (
    ClosedBar,
    Event,
    Liquidation,
    LiveTrade,
    MarkPrice,
)
from alphaqcm.data_collection.live.record.compact import archive_file, compact, differences
from alphaqcm.data_collection.live.record.day_parts import DayParts, Key, Kind
from alphaqcm.data_collection.live.record.liquidations import LiquidationHours
from alphaqcm.pipeline.domain.registry import Market, contract_usd
from alphaqcm.pipeline.storage.layout import Layout

FLUSH_EVERY = 1.0  # seconds of real time
_SETTLED = 300.0  # seconds after a day's end at which nothing of it comes any more
DIFFERENCES = "differences.jsonl"
_NAMED = 20
_HOUR, _DAY = 3600, 86_400


@dataclass(slots=True)
class Recorder:
    """Subscribe `on_event` to the bus and keep `run` running."""

    root: Path
    market: Market
    clock: ExchangeClock
    alert: Callable[[str, str], None]
    symbols: Callable[[], Iterable[str]]  # that are followed now
    liquidations: bool = False  # whether forced orders are heard at all
    parts: DayParts = field(init=False)
    hours: LiquidationHours = field(init=False)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.parts = DayParts(self.root, self.market)
        self.hours = LiquidationHours(self.root)

    def on_event(self, event: Event) -> None:
        """Keep one event in memory until the next flush."""
        if isinstance(event, LiveTrade):
            self._trade(event)
        elif isinstance(event, ClosedBar):
            if event.interval == "1m":
                self._bar(event)
        elif isinstance(event, MarkPrice):
            rate = "" if event.funding_rate is None else repr(event.funding_rate)
            row = f"{event.time_us // 1000},{event.mark_price!r},{event.index_price!r},{rate},"
            row += f"{event.next_funding_time_us // 1000}"
            self.parts.add(Kind.MARK_PRICE, event.symbol, event.time_us, row)
        elif isinstance(event, Liquidation):
            row = f"{event.time_us // 1000},{event.side},{event.price!r},{event.average_price!r},"
            row += repr(event.quantity)
            self.parts.add(Kind.FORCE_ORDER, event.symbol, event.time_us, row)
            contract = contract_usd(self.market, event.symbol) or 0.0
            self.hours.add(event, contract)

    def last_trade_id(self, symbol: str) -> int | None:
        """The id of the newest trade that is recorded of a symbol."""
        row = self.parts.last_row(Kind.AGG_TRADES, symbol)
        return int(row.partition(",")[0]) if row else None

    def fill(self, symbol: str, bars: Iterable[ClosedBar]) -> None:
        """Record those 1m bars of a start's history that closed since the last recorded one."""
        row = self.parts.last_row(Kind.KLINES, symbol)
        if row is not None:
            last_us = int(row.partition(",")[0]) * 1000
            for bar in bars:
                if bar.open_time_us > last_us and bar.interval == "1m":
                    self._bar(bar)

    async def run(self) -> None:
        """Flush each second, close hours and days as they end, until cancelled."""
        hour = int(self.clock.now() // _HOUR)
        complete = False  # the hour at the start was not heard from its beginning
        compacted = 0
        try:
            while True:
                await asyncio.sleep(FLUSH_EVERY)
                await self._flush_beside()
                now = self.clock.now()
                if int(now // _HOUR) != hour:
                    if complete and self.liquidations and now // _HOUR == hour + 1:
                        await self._close_hour(hour * _HOUR * 1_000_000)
                    hour, complete = int(now // _HOUR), True
                day = int((now - _SETTLED) // _DAY)
                if day != compacted:
                    compacted = day
                    await asyncio.to_thread(self.compact_days)
                    await asyncio.to_thread(self.compare_days)
        finally:
            self.flush()

    def flush(self) -> None:
        """Write what waits; where the disk is full it waits on, and that is told."""
        taken = self.parts.take()
        self._written(taken, self._write(taken))

    async def _flush_beside(self) -> None:
        """As `flush`, while events go on.

        Only writing is another thread's: a row that is added while rows are taken would be lost.
        """
        taken = self.parts.take()
        writing = asyncio.create_task(asyncio.to_thread(self._write, taken))
        try:
            await asyncio.shield(writing)
        finally:  # rows that are flushed at the end must not overtake these
            self._written(taken, await writing)

    def _write(self, taken: dict[Key, list[str]]) -> OSError | None:
        try:
            self.parts.write(taken)
        except OSError as error:
            return error
        return None

    def _written(self, taken: dict[Key, list[str]], error: OSError | None) -> None:
        if error is not None:
            self.parts.give_back(taken)
            self.alert("recorder", f"rows cannot be written: {error.strerror or error}")
        for kind, number in self.parts.rows.items():
            self.counts[kind] = number

    def compact_days(self) -> int:
        """Make archive files of the days that are over and have none; how many."""
        made = 0
        over = datetime.fromtimestamp(self.clock.now() - _SETTLED, UTC).date()
        for kind in (Kind.KLINES, Kind.AGG_TRADES):
            for symbol, day, part in self.parts.days(kind):
                file = archive_file(self.market, kind, symbol, day)
                if day >= over or (self.root / "recorded" / file.checksum_key).exists():
                    continue
                try:
                    made += compact(self.root, self.market, kind, symbol, day, part) is not None
                except OSError as error:
                    self.alert("recorder", f"{file.name} cannot be written: {error}")
                    return made
        self.counts["days"] += made
        return made

    def compare_days(self) -> int:
        """Hold recorded days against the archive's files that have come meanwhile; how many differ.

        Each is told once, as a line of `recorded/differences.jsonl`.
        """
        told = self.root / "recorded" / DIFFERENCES
        known = set()
        if told.exists():
            for line in told.read_bytes().splitlines():
                with contextlib.suppress(orjson.JSONDecodeError, KeyError):
                    known.add(orjson.loads(line)["file"])
        differ = 0
        cache = Layout(self.root, self.market).cache
        for kind in (Kind.KLINES, Kind.AGG_TRADES):
            for symbol, day, part in self.parts.days(kind):
                file = archive_file(self.market, kind, symbol, day)
                if file.name in known or not (cache / file.key).exists():
                    continue
                try:
                    keys = differences(part, cache / file.key)
                    row = {"file": file.name, "rows": len(keys), "first": keys[:_NAMED]}
                    with told.open("ab") as stream:
                        stream.write(orjson.dumps(row) + b"\n")
                except (OSError, ValueError, zipfile.BadZipFile) as error:
                    self.alert("recorder", f"{file.name} cannot be compared: {error}")
                    continue
                if keys:
                    differ += 1
                    self.alert(
                        "recorder", f"{file.name}: {len(keys)} rows differ from the archive's"
                    )
        return differ

    async def _close_hour(self, hour_us: int) -> None:
        symbols, orders = sorted(self.symbols()), self.hours.take(hour_us)
        try:
            self.counts["hours"] += await asyncio.to_thread(
                self.hours.write, symbols, hour_us, orders
            )
        except OSError as error:
            self.alert("recorder", f"liquidations cannot be written: {error}")

    def _trade(self, trade: LiveTrade) -> None:
        row = (
            f"{trade.agg_id},{trade.price_text},{trade.quantity_text},{trade.first_id},"
            f"{trade.last_id},{trade.time_us // 1000},"
        )
        if self.market is Market.SPOT:
            row += "True,True" if trade.buyer_is_maker else "False,True"
        else:
            row += "true" if trade.buyer_is_maker else "false"
        self.parts.add(Kind.AGG_TRADES, trade.symbol, trade.time_us, row)

    def _bar(self, bar: ClosedBar) -> None:
        open_ms = bar.open_time_us // 1000
        numbers = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        sums = (bar.taker_buy_base_asset_volume, bar.taker_buy_quote_asset_volume)
        row = f"{open_ms},{','.join(map(repr, numbers))},{open_ms + 59_999},{bar.quote_volume!r},"
        row += f"{bar.trade_num},{','.join(map(repr, sums))},0,{bar.source.name.lower()}"
        self.parts.add(Kind.KLINES, bar.symbol, bar.open_time_us, row)
