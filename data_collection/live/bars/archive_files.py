"""Candles from a copy of the archive's tree, for a start that asks REST for little."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from alphaqcm.data_collection.build.candles.seed import to_candles
from alphaqcm.data_collection.exchange.clock import utc
from alphaqcm.data_collection.live.events import BarSource
from alphaqcm.data_collection.live.files.tables import VALUES, Numbers, Times
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.errors import PipelineError
from alphaqcm.pipeline.reading.csv_reader import read_archive


@dataclass(frozen=True, slots=True)
class ArchiveFiles:
    """The klines of one market and interval below a folder that holds `data/…`."""

    folder: Path
    market: Market
    interval: str
    interval_ms: int
    alert: Callable[[str, str, str], None]

    def read(self, symbol: str, begin: int, end: int) -> Iterator[tuple[Times, Numbers, BarSource]]:
        """Candles that begin in [begin, end) ms, by file; a file that is damaged is told."""
        series = Series(self.market, DataType.KLINES, symbol, self.interval)
        for file, source in _files(series, utc(begin / 1000).date(), utc((end - 1) / 1000).date()):
            path = self.folder / file.key
            if not path.is_file():
                continue
            try:
                frame = to_candles(read_archive(path, file).frame, self.interval_ms)
            except PipelineError as error:
                self.alert("archive", f"{error}", file.name)
                continue
            frame = frame.unique("candle_begin_time", keep="first").sort("candle_begin_time")
            times = frame["candle_begin_time"].dt.epoch("ms").to_numpy()
            inside = (times >= begin) & (times < end)
            values = frame.select(pl.col(VALUES).cast(pl.Float64)).to_numpy()
            yield times[inside], np.ascontiguousarray(values[inside]), source


def _files(series: Series, first: date, last: date) -> Iterator[tuple[ArchiveFile, BarSource]]:
    """The files that can have the days first..last."""
    day = first
    while day <= last:
        if day == first or day.day == 1:
            yield series.file(Period.month(day)), BarSource.ARCHIVE_MONTHLY
        yield series.file(Period.day(day)), BarSource.ARCHIVE_DAILY
        day += timedelta(days=1)
