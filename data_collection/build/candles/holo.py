"""The complete calendar of minutes on disk: archive first, REST for the tail, holes marked.

    candles/holo_1m/{trade type}/{SYMBOL}.parquet      epochs: SP0_SYM, SP1_SYM, … beside it

Every symbol that the archive ever had is taken, traded or not, unless some are named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.data_collection.archive.archive import Archive, Fetched
from alphaqcm.data_collection.build.candles.fetch import fetch_jobs
from alphaqcm.data_collection.build.candles.markets import (
    MarketPlan,
    OpenArchive,
    Prepared,
    Watcher,
    prepare,
    seed_markets,
)
from alphaqcm.data_collection.build.candles.request import CandleRequest
from alphaqcm.data_collection.build.candles.spans import Stretch
from alphaqcm.data_collection.build.candles.store import FOLDER
from alphaqcm.data_collection.exchange.answers import SymbolInfo
from alphaqcm.data_collection.exchange.client import RestClient
from alphaqcm.data_collection.exchange.fetcher import BinanceFetcher
from alphaqcm.pipeline.candles.calendar import complete_minutes, split_epochs
from alphaqcm.pipeline.candles.fold import Values
from alphaqcm.pipeline.candles.schema import PRICES, QUANTITIES
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.time import epoch_us
from alphaqcm.pipeline.reading.csv_reader import read_archive
from alphaqcm.pipeline.storage.artifact import (
    Artifact,
    Fingerprint,
    Input,
    read_fingerprint,
    read_frame,
)

INTERVAL = "1m"
VERSION = 1
_FUNDING: dict[str, pl.DataType] = {
    "funding_time": pl.Datetime("us", "UTC"),
    "funding_rate": pl.Float64(),
}
_BTC_SIZE, _OTHER_SIZE = 100.0, 10.0
"""Contract sizes in USD; the exchange tells those that trade, these are for the others."""


def holo_folder(root: Path, trade_type: str) -> Path:
    """Where the calendars of a trade type lie."""
    return root / FOLDER / f"holo_{INTERVAL}" / trade_type


@dataclass(frozen=True, slots=True)
class HoloSource:
    """The calendars as something to resample; funding and filled minutes come along."""

    root: Path
    trade_type: str
    interval: str = INTERVAL

    def symbols(self) -> list[str]:
        """Symbols and epochs with a calendar."""
        return sorted(
            path.stem for path in holo_folder(self.root, self.trade_type).glob("*.parquet")
        )

    def load(self, symbol: str) -> tuple[npt.NDArray[np.int64], dict[str, Values], str]:
        """The minutes; raises `LayerError` for a damaged file."""
        path = holo_folder(self.root, self.trade_type) / f"{symbol}.parquet"
        fingerprint = read_fingerprint(path)
        frame = read_frame(path)
        begins = frame["candle_begin_time"].to_physical().to_numpy()
        columns: dict[str, Values] = {
            name: frame[name].to_numpy() for name in (*PRICES, *QUANTITIES)
        }
        columns["is_filled"] = frame["is_filled"].cast(pl.Int64).to_numpy()
        columns["vwap_volume"] = (frame["vwap_1m"] * frame["volume"]).to_numpy()
        columns["funding_rate"] = frame["funding_rate"].to_numpy()
        columns["funding_time"] = frame["funding_time"].to_physical().cast(pl.Float64).to_numpy()
        return begins, columns, "" if fingerprint is None else fingerprint.digest


@dataclass(slots=True)
class HoloResult:
    """What was made of a market."""

    symbols: int = 0
    epochs: int = 0
    minutes: int = 0
    filled: int = 0


async def make_calendars(
    client: RestClient,
    request: CandleRequest,
    root: Path,
    watcher: Watcher,
    open_archive: OpenArchive,
    *,
    split_gaps: bool,
) -> dict[str, HoloResult]:
    """Bring the minutes up to date and write every symbol's calendar; results by trade type."""
    whole = request.days is None and request.start is None
    asked = replace(request, days=1) if whole else request
    prepared = await prepare(client, asked, root)
    gone = await asyncio.to_thread(_widen, prepared, asked, open_archive, whole)
    await asyncio.to_thread(seed_markets, prepared, gone, open_archive, watcher)
    jobs = prepared.jobs()
    watcher.planned(jobs)
    await fetch_jobs(jobs, watcher.page)
    results = {}
    for plan in prepared.markets:
        names = [symbol for symbol, _ in (*plan.spans, *gone[plan.fetcher.market])]
        results[plan.store.trade_type] = await _make_market(
            plan, sorted(names), root, open_archive, split_gaps=split_gaps
        )
    return results


def _widen(
    prepared: Prepared, request: CandleRequest, open_archive: OpenArchive, whole: bool
) -> dict[Market, list[tuple[str, Stretch]]]:
    """Begin each symbol where the archive does; symbols that only the archive has, by market."""
    gone: dict[Market, list[tuple[str, Stretch]]] = {}
    with open_archive() as archive:
        for plan in prepared.markets:
            market = plan.fetcher.market
            traded = {symbol for symbol, _ in plan.spans}
            known = request.symbols or tuple(
                name
                for name in archive.symbols(market, DataType.KLINES)
                if market is Market.CM or name.endswith(request.quote)
            )
            names = sorted({*traded, *known})
            listed = archive.list_many(
                Series(market, DataType.KLINES, name, INTERVAL) for name in names
            )
            begins = {
                series.symbol: epoch_us(min(period.start for period in periods)) // 1000
                for series, periods in listed.items()
                if periods
            }
            gone[market] = [
                (name, (begins[name] if whole else prepared.span[0], prepared.span[1]))
                for name in names
                if name not in traded and name in begins
            ]
            if whole:
                plan.spans = [
                    (symbol, (min(begins.get(symbol, begin), begin), end))
                    for symbol, (begin, end) in plan.spans
                ]
    return gone


async def _make_market(
    plan: MarketPlan,
    names: Sequence[str],
    root: Path,
    open_archive: OpenArchive,
    *,
    split_gaps: bool,
) -> HoloResult:
    infos = {one.symbol: one for one in await plan.fetcher.symbols()}
    result = HoloResult()
    with open_archive() as archive:
        for symbol in names:
            stored = plan.store.read(symbol)
            if stored is None or not stored.candles.height:
                continue
            funding = await _funding(plan.fetcher, archive, infos, symbol, stored.candles)
            size = _contract_size(plan.fetcher.market, symbol, infos.get(symbol))
            calendar = complete_minutes(stored.candles, funding, size)
            parts = split_epochs(calendar, symbol) if split_gaps else [(symbol, calendar)]
            for name, frame in parts:
                path = holo_folder(root, plan.store.trade_type) / f"{name}.parquet"
                made_of = Input(symbol, plan.store.checksum(symbol))
                filled = int(frame["is_filled"].sum())
                fingerprint = Fingerprint(f"{FOLDER}/holo_{INTERVAL}", VERSION, (made_of,))
                report = {"symbol": symbol, "rows": frame.height, "filled": filled}
                await asyncio.to_thread(Artifact(path, fingerprint).write, frame, report)
                result.minutes += frame.height
                result.filled += filled
            result.symbols += 1
            result.epochs += len(parts)
    return result


async def _funding(
    fetcher: BinanceFetcher,
    archive: Archive,
    infos: dict[str, SymbolInfo],
    symbol: str,
    candles: pl.DataFrame,
) -> pl.DataFrame:
    """Settlements over the candles' time: the archive's months, REST after them."""
    frames = [pl.DataFrame(schema=_FUNDING)]
    if fetcher.market is Market.SPOT:
        return frames[0]
    begin = int(candles["candle_begin_time"].dt.epoch("ms")[0])
    end = int(candles["candle_end_time"].dt.epoch("ms")[-1])
    series = Series(fetcher.market, DataType.FUNDING, symbol)
    periods = await asyncio.to_thread(archive.periods, series)
    files = [series.file(period) for period in periods if period.end_us // 1000 > begin]
    for file, item in (await asyncio.to_thread(archive.fetch, files)).items():
        if isinstance(item, Fetched):
            rows = read_archive(item.path, file).frame
            frames.append(
                rows.select(
                    pl.col("calc_time").cast(_FUNDING["funding_time"]).alias("funding_time"),
                    pl.col("last_funding_rate").cast(pl.Float64).alias("funding_rate"),
                )
            )
    known = pl.concat(frames)
    if symbol in infos:
        last = known["funding_time"].dt.epoch("ms").max()
        after = begin if last is None else int(last) + 1  # type: ignore[arg-type]
        tail = await fetcher.funding(symbol, after, end)
        known = pl.concat(
            [
                known,
                pl.DataFrame(
                    {
                        "funding_time": [moment * 1000 for moment, _ in tail],
                        "funding_rate": [float(rate) for _, rate in tail],
                    },
                    schema={"funding_time": pl.Int64, "funding_rate": pl.Float64},
                ).select(pl.col(name).cast(kind) for name, kind in _FUNDING.items()),
            ]
        )
    return known


def _contract_size(market: Market, symbol: str, info: SymbolInfo | None) -> float | None:
    if market is not Market.CM:
        return None
    if info is not None and info.contractSize:
        return float(info.contractSize)
    return _BTC_SIZE if symbol.startswith("BTC") else _OTHER_SIZE
