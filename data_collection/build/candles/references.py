"""Independent candles to compare with: the exchange's own hours, the archive's, others'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from alphaqcm.data_collection.archive.archive import Archive, Fetched
from alphaqcm.data_collection.build.candles.resample import ResampleJob
from alphaqcm.data_collection.build.candles.seed import listed_files, to_candles
from alphaqcm.data_collection.errors import BadSymbol, UsageError
from alphaqcm.data_collection.exchange.fetcher import BinanceFetcher
from alphaqcm.data_collection.exchange.pages import plan_pages
from alphaqcm.data_collection.exchange.quantclass import QuantclassDataApi
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA, offset_name
from alphaqcm.pipeline.candles.window_grid import interval_us
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.reading.csv_reader import read_archive
from alphaqcm.pipeline.storage.artifact import read_frame

_AT_ONCE = 64
Pair = tuple[pl.DataFrame, pl.DataFrame]
"""Ours and the reference's candles of the same symbols and time, each with a symbol column."""


@dataclass(frozen=True, slots=True)
class Hours:
    """The resampled candles that are compared."""

    job: ResampleJob

    def symbols(self, offset: int) -> list[str]:
        """Symbols of an offset; raises `UsageError` where nothing was resampled."""
        folder = self.job.folder / offset_name(offset)
        found = sorted(path.stem for path in folder.glob("*.parquet"))
        if not found:
            raise UsageError(
                folder,
                expected="resampled candles",
                found="none",
                next_step="make them first: alphaqcm candles resample",
            )
        return found

    def read(self, offset: int, symbol: str) -> pl.DataFrame:
        """One symbol's candles with its name; raises `LayerError`."""
        path = self.job.folder / offset_name(offset) / f"{symbol}.parquet"
        return read_frame(path).with_columns(pl.lit(symbol).alias("symbol"))

    def read_all(self, offset: int) -> pl.DataFrame:
        """All symbols of an offset."""
        return pl.concat([self.read(offset, symbol) for symbol in self.symbols(offset)])


async def exchange_pairs(
    hours: Hours, fetcher: BinanceFetcher, lacking: list[str]
) -> AsyncIterator[Pair]:
    """Offset 0 beside the exchange's own candles of the same interval, symbol by symbol.

    Symbols that the exchange does not know any more are added to `lacking`.
    """
    interval_ms = interval_us(hours.job.interval) // 1000
    names = hours.symbols(0)

    async def one(symbol: str) -> Pair | None:
        ours = hours.read(0, symbol)
        if not ours.height:
            return None
        begin, end = _ends(ours)
        pages = plan_pages(fetcher.market, interval_ms, begin, end)
        try:
            found = await asyncio.gather(
                *(fetcher.page(symbol, hours.job.interval, page) for page in pages)
            )
        except BadSymbol:
            lacking.append(symbol)
            return None
        return ours, _named(symbol, [page.candles for page in found])

    for start in range(0, len(names), _AT_ONCE):
        for pair in await asyncio.gather(*(one(name) for name in names[start : start + _AT_ONCE])):
            if pair is not None:
                yield pair


def archive_pair(hours: Hours, archive: Archive, market: Market, symbol: str) -> Pair | None:
    """Offset 0 of a symbol beside the archive's candles, over the time that both have.

    None where the archive has nothing of it.
    """
    ours = hours.read(0, symbol)
    series = Series(market, DataType.KLINES, symbol, hours.job.interval)
    if not ours.height:
        return None
    begins = ours["candle_begin_time"]
    files = list(listed_files(archive, series, begins[0].date(), begins[-1].date()))
    if not files:
        return None
    interval_ms = interval_us(hours.job.interval) // 1000
    frames = [
        to_candles(read_archive(item.path, file).frame, interval_ms)
        for file, item in archive.fetch(files).items()
        if isinstance(item, Fetched)
    ]
    theirs = _named(symbol, frames).unique("candle_begin_time", maintain_order=True)
    if not theirs.height:
        return None
    return _same_time(ours, theirs)


def file_pair(hours: Hours, path: Path) -> Pair:
    """The candles of a parquet file beside ours at the offsets that occur in it."""
    try:
        theirs = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UsageError(
            f"--reference {path}", expected="a parquet file of candles", found=f"{error}"[:200]
        ) from error
    if "candle_begin_time" not in theirs.columns:
        raise UsageError(f"--reference {path}", expected="a column candle_begin_time", found="none")
    window = interval_us(hours.job.interval)
    offsets = (theirs["candle_begin_time"].dt.epoch("us") % window).unique().sort().to_list()
    return pl.concat([hours.read_all(offset) for offset in offsets]), theirs


async def quantclass_pairs(
    hours: Hours, offsets: Sequence[int], api: QuantclassDataApi, market: Market
) -> AsyncIterator[Pair]:
    """Each offset's newest hours as Quantclass has them beside ours of the same time."""
    kind = "spot" if market is Market.SPOT else "swap"
    for offset in offsets:
        urls = await api.aioreq_data_api(offset_name(offset))
        theirs = pl.from_pandas(await api.aioreq_candle_df(urls[kind]))
        yield _same_time(hours.read_all(offset), theirs)


def _same_time(ours: pl.DataFrame, theirs: pl.DataFrame) -> Pair:
    """Both within the time that both span."""
    begin = "candle_begin_time"
    first = max(ours[begin].min(), theirs[begin].min())  # type: ignore[type-var]
    last = min(ours[begin].max(), theirs[begin].max())  # type: ignore[type-var]
    inside = pl.col(begin).is_between(first, last)
    return ours.filter(inside), theirs.filter(inside)


def _ends(frame: pl.DataFrame) -> tuple[int, int]:
    begins = frame["candle_begin_time"].dt.epoch("ms")
    return int(begins[0]), int(frame["candle_end_time"].dt.epoch("ms")[-1])


def _named(symbol: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    rows = pl.concat([pl.DataFrame(schema=CANDLE_SCHEMA), *frames])
    return rows.with_columns(pl.lit(symbol).alias("symbol"))
