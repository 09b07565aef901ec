"""The buckets of candles: OHLCV and OHLCV_EXT in nine timeframes, folded from the minutes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from alphaqcm.data_collection.marketstore.bucket_key import TIMEFRAMES, BucketKey
from alphaqcm.data_collection.marketstore.buckets.minutes import TIME, MinuteSource
from alphaqcm.data_collection.marketstore.buckets.model import Bucket, Wanted
from alphaqcm.data_collection.marketstore.dataset import EPOCH, Column, Rows
from alphaqcm.data_collection.serving.lazy_symbols import moment
from alphaqcm.pipeline.candles.fold import CANDLE_FOLDS, Holes
from alphaqcm.pipeline.candles.fold_frame import CandleFrame, fold_frame
from alphaqcm.pipeline.candles.window_grid import DAY_US, WindowGrid

OHLCV: Final = "OHLCV"
OHLCV_EXT: Final = "OHLCV_EXT"
MINUTES: Final = "Minutes"

_OWN_NAMES: Final[Mapping[str, str]] = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Volume": "volume",
    "QuoteVolume": "quote_volume",
    "Count": "count",
    "TakerBuyVolume": "taker_buy_volume",
    "TakerBuyQuoteVolume": "taker_buy_quote_volume",
}
_EPOCH: Final = Column(EPOCH, "i8")
_PRICES: Final = tuple(Column(name, "f8") for name in ("Open", "High", "Low", "Close", "Volume"))
COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    OHLCV: (_EPOCH, *_PRICES),
    OHLCV_EXT: (
        _EPOCH,
        *_PRICES,
        Column("QuoteVolume", "f8"),
        Column("Count", "i8"),
        Column("TakerBuyVolume", "f8"),
        Column("TakerBuyQuoteVolume", "f8"),
        Column(MINUTES, "i8"),
    ),
}
"""Columns of the groups: the window's start; quote per base; volumes in base and quote units."""

_LAYOUT: Final = CandleFrame(time=TIME, folds=CANDLE_FOLDS, count=MINUTES)


@dataclass(frozen=True, slots=True)
class CandleBucket:
    """One symbol's candles of a timeframe; `symbol` is the exchange's name."""

    key: BucketKey
    symbol: str
    minutes: MinuteSource

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of its group."""
        return COLUMNS[self.key.group]

    @property
    def grid(self) -> WindowGrid:
        """The windows that its candles are."""
        return WindowGrid.of("1m", TIMEFRAMES[self.key.timeframe])

    def most_rows(self, wanted: Wanted) -> int:
        """As many as windows fit into the range of the minutes."""
        start, stop = self._range(wanted)
        rows = max(0, -((start - stop) // self.grid.window_us))
        return rows if wanted.limit is None else min(rows, wanted.limit)

    def read(self, wanted: Wanted, names: Sequence[str]) -> Rows:
        """The finished windows that start in the range; those with minutes missing have fewer."""
        start, stop = self._range(wanted)
        if wanted.limit is None or stop <= start:
            return self._rows(start, stop, names)
        # no more is read than the limit needs, where nothing is missing: else twice as far, …
        reach = (wanted.limit + 1) * self.grid.window_us + DAY_US
        while True:
            near, far = (
                (start, min(stop, start + reach))
                if wanted.from_start
                else (max(start, stop - reach), stop)
            )
            rows = self._rows(near, far, names)
            if rows[EPOCH].size >= wanted.limit or (near, far) == (start, stop):
                return wanted.cut(rows)
            reach *= 4

    def _range(self, wanted: Wanted) -> tuple[int, int]:
        """First start of a window and the first one that is wanted no more."""
        grid = self.grid
        first, until = self.minutes.range_us(self.symbol)
        start = max(grid.ceil_us(wanted.start_us), grid.floor_us(first))
        return start, max(start, min(grid.ceil_us(wanted.stop_us), grid.ceil_us(until)))

    def _rows(self, start_us: int, stop_us: int, names: Sequence[str]) -> Rows:
        columns = [_OWN_NAMES[name] for name in names if name in _OWN_NAMES]
        frame = self.minutes.read(self.symbol, start_us, stop_us, columns)
        grid = self.grid
        if grid.k > 1:
            until = self.minutes.range_us(self.symbol)[1]
            frame = fold_frame(frame, grid, Holes.PARTIAL, until=moment(until), layout=_LAYOUT)
        rows: Rows = {EPOCH: (frame[TIME].dt.epoch("us") // 1_000_000).to_numpy()}
        for name in names:
            if name == MINUTES:
                counted = frame[MINUTES].to_numpy() if grid.k > 1 else np.ones(frame.height)
                rows[name] = counted.astype(np.int64)
            elif name != EPOCH:
                rows[name] = _numbers(frame[_OWN_NAMES[name]])
        return rows


def _numbers(values: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The column's numbers; a missing one is NaN, for the protocol has no nulls."""
    if values.dtype == pl.Int64 and values.null_count():
        values = values.fill_null(-1)  # a count that is not known
    array: np.ndarray[tuple[int], np.dtype[np.float64]] = values.to_numpy()
    return array


@dataclass(frozen=True, slots=True)
class CandleSource:
    """The candles of one market; `prefix` stands before its symbols (`SPOT.`)."""

    minutes: MinuteSource
    prefix: str = ""

    def find(self, key: BucketKey) -> Bucket | None:
        """The bucket, where there are minutes of the symbol."""
        symbol = key.symbol.removeprefix(self.prefix)
        known = key.group in COLUMNS and key.timeframe in TIMEFRAMES
        if not known or not key.symbol.startswith(self.prefix) or not self.minutes.has(symbol):
            return None
        return CandleBucket(key, symbol, self.minutes)

    def symbols(self) -> set[str]:
        """All that there are minutes of."""
        return {self.prefix + symbol for symbol in self.minutes.symbols()}

    def every_key(self) -> Iterator[BucketKey]:
        """Both groups of every symbol in every timeframe."""
        for symbol in self.symbols():
            for timeframe in TIMEFRAMES:
                for group in COLUMNS:
                    yield BucketKey(symbol, timeframe, group)
