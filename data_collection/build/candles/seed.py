"""Fill the candle store from the archive first, so that REST is asked for the newest days only.

A UTC day counts as covered where the archive has every candle of it; all other days are left to
REST, which may know what the archive lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import polars as pl

from alphaqcm.data_collection.archive.archive import Archive, Fetched
from alphaqcm.data_collection.archive.plan import known_gaps, wanted_files
from alphaqcm.data_collection.build.candles.spans import Stretch, subtract, union
from alphaqcm.data_collection.build.candles.store import CandleStore, Covered
from alphaqcm.data_collection.exchange.clock import utc
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import months_between
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.errors import RawError
from alphaqcm.pipeline.reading.csv_reader import read_archive

_DAY_MS = 86_400_000
_FILES_AT_ONCE = 500  # asked of the archive: enough to keep every connection busy
_NAMES = {
    "open_time": "candle_begin_time",
    "count": "trade_num",
    "taker_buy_volume": "taker_buy_base_asset_volume",
    "taker_buy_quote_volume": "taker_buy_quote_asset_volume",
}


@dataclass(frozen=True, slots=True)
class Seeded:
    """What the archive gave for one symbol."""

    symbol: str
    candles: int
    days: int
    problems: tuple[str, ...] = ()  # files that could not be read


def seed_store(
    archive: Archive,
    store: CandleStore,
    market: Market,
    spans: Sequence[tuple[str, Stretch]],
    fetched_at: str,
    progress: Callable[[Seeded], object],
) -> None:
    """Bring into the store what the archive has of each symbol's span and the store has not.

    Raises what `Archive.fetch` raises; symbols done until then are kept.
    """
    series = {
        symbol: Series(market, DataType.KLINES, symbol, store.interval) for symbol, _ in spans
    }
    archive.list_many(series.values())
    wanted = []
    for symbol, span in spans:
        missing = subtract(span, (part.stretch for part in store.covered(symbol)))
        files = dict.fromkeys(_files(archive, series[symbol], missing))
        wanted.append(_Wanted(symbol, missing, tuple(files)))
    for one, found in _fetched(archive, wanted):
        progress(_seed_symbol(store, one, found, fetched_at))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The files that may have what the store lacks of a symbol."""

    symbol: str
    missing: Sequence[Stretch]
    files: tuple[ArchiveFile, ...]


def _fetched(
    archive: Archive, wanted: Sequence[_Wanted]
) -> Iterator[tuple[_Wanted, Mapping[ArchiveFile, object]]]:
    """Each symbol with its files, fetched many symbols at a time while those before are read."""
    groups: list[list[_Wanted]] = []
    room = 0
    for one in wanted:
        if len(one.files) > room:
            groups.append([])
            room = _FILES_AT_ONCE
        elif not groups:
            groups.append([])
        groups[-1].append(one)
        room -= len(one.files)
    with ThreadPoolExecutor(1, "seed") as pool:
        coming = [
            pool.submit(archive.fetch, [file for one in group for file in one.files])
            for group in groups
        ]
        try:
            for group, files in zip(groups, coming, strict=True):
                found = files.result()
                for one in group:
                    yield one, found
        finally:
            pool.shutdown(cancel_futures=True)


def _seed_symbol(
    store: CandleStore, wanted: _Wanted, found: Mapping[ArchiveFile, object], fetched_at: str
) -> Seeded:
    symbol, missing = wanted.symbol, wanted.missing
    if not wanted.files:
        return Seeded(symbol, 0, 0)
    frames, problems = [], []
    for file in wanted.files:
        item = found.get(file)
        if not isinstance(item, Fetched):
            continue
        try:
            frames.append(read_archive(item.path, file).frame)
        except RawError as error:
            problems.append(f"{error}")
    if not frames:
        return Seeded(symbol, 0, 0, tuple(problems))
    rows = to_candles(pl.concat(frames), store.interval_ms).unique(
        "candle_begin_time", keep="first", maintain_order=True
    )
    days = whole_days(rows, store.interval_ms)
    covered = [
        (max(begin, day), min(end, day + _DAY_MS))
        for begin, end in missing
        for day in days
        if day < end and day + _DAY_MS > begin
    ]
    if not covered:
        return Seeded(symbol, 0, 0, tuple(problems))
    begins = pl.col("candle_begin_time").dt.epoch("ms")
    inside = rows.filter(pl.any_horizontal((begins >= a) & (begins < b) for a, b in union(covered)))
    store.add(symbol, [inside], [Covered(a, b, "archive", fetched_at) for a, b in union(covered)])
    return Seeded(symbol, inside.height, len(days), tuple(problems))


def _files(archive: Archive, series: Series, missing: Sequence[Stretch]) -> Iterator[ArchiveFile]:
    for begin, end in missing:
        yield from listed_files(archive, series, _day(begin), _day(end - 1))


def listed_files(
    archive: Archive, series: Series, first: date, last: date
) -> Iterator[ArchiveFile]:
    """The files of a series that the archive lists and that cover the days of first..last."""
    listed = archive.periods(series)
    if not listed:
        return
    first = max(first, min(period.start for period in listed))
    last = min(last, max(period.end for period in listed))
    if first > last:
        return
    gaps = known_gaps(archive.ledger.of_series(series))
    months = list(months_between(first, last))
    for file in wanted_files(series, months, listed, gaps, DateRange(first, last)):
        if file.period in listed:
            yield file


def _day(moment_ms: int) -> date:
    return utc(moment_ms / 1000).date()


def to_candles(frame: pl.DataFrame, interval_ms: int) -> pl.DataFrame:
    """Rows of an archive's klines file as candles; rows that cannot be candles are left out."""
    begin = pl.col("candle_begin_time")
    rows = frame.rename(_NAMES).with_columns(
        (begin + pl.duration(milliseconds=interval_ms)).alias("candle_end_time")
    )
    whole = rows.select(pl.col(name).cast(kind) for name, kind in CANDLE_SCHEMA.items())
    return whole.drop_nulls().filter(
        begin.dt.epoch("ms") % interval_ms == 0,
        pl.col("low") <= pl.min_horizontal("open", "close", "high"),
        pl.col("high") >= pl.max_horizontal("open", "close"),
    )


def whole_days(rows: pl.DataFrame, interval_ms: int) -> list[int]:
    """Starts (ms) of the UTC days of which every candle is there."""
    day = pl.col("candle_begin_time").dt.epoch("ms") // _DAY_MS * _DAY_MS
    counts = rows.group_by(day.alias("day")).len().filter(pl.col("len") == _DAY_MS // interval_ms)
    return sorted(counts["day"].to_list())
