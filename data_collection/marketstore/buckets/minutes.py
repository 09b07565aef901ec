"""The 1-minute candles of a market, of every origin: archive, REST, and those of the last hour.

Where several have a minute the archive's counts, then REST's, then what a WebSocket told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from alphaqcm.data_collection.build.candles.store import CandleStore
from alphaqcm.data_collection.exchange.endpoints import TRADE_TYPE_OF_MARKET
from alphaqcm.data_collection.serving.layer_files import minute_files
from alphaqcm.data_collection.serving.layer_reader import (
    BARS,
    LayerReader,
    known_until_us,
)
from alphaqcm.data_collection.serving.lazy_symbols import Cut
from alphaqcm.pipeline.candles.window_grid import MINUTE_US, WindowGrid
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.layout import Layout

TIME: Final = "datetime"
_ARCHIVE_NAMES: Final = {
    "candle_begin_time": TIME,
    "trade_num": "count",
    "taker_buy_base_asset_volume": "taker_buy_volume",
    "taker_buy_quote_asset_volume": "taker_buy_quote_volume",
}
_REMEMBERED: Final = 64  # files of the candle store
_EACH: Final = WindowGrid.of("1m", "1m")


class RecentMinutes(Protocol):
    """Closed minutes that no file has yet."""

    def symbols(self, market: Market) -> set[str]:
        """Symbols with such minutes."""

    def frame(self, market: Market, symbol: str) -> pl.DataFrame | None:
        """They, in order of time: TIME and the columns of the archive's minutes."""


@dataclass(frozen=True, slots=True)
class MinuteSource:
    """The minutes of one market below a data root."""

    root: Path
    market: Market
    recent: RecentMinutes | None = None
    store: CandleStore = field(init=False)
    _reader: LayerReader = field(init=False)

    def __post_init__(self) -> None:
        store = CandleStore(self.root, TRADE_TYPE_OF_MARKET[self.market], "1m")
        object.__setattr__(self, "store", store)
        object.__setattr__(self, "_reader", LayerReader(Layout(self.root, self.market)))

    def symbols(self) -> set[str]:
        """Every symbol of which there are minutes."""
        folder = minute_files(self._reader.layout, DataType.KLINES).folder
        found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        found |= set(self.store.symbols())
        return found | (self.recent.symbols(self.market) if self.recent else set())

    def has(self, symbol: str) -> bool:
        """Whether there are minutes of a symbol."""
        return bool(
            self._months(symbol)
            or self.store.path(symbol).exists()
            or (self.recent and symbol in self.recent.symbols(self.market))
        )

    def range_us(self, symbol: str) -> tuple[int, int]:
        """From when and until when minutes are known; (0, 0) where there are none."""
        first, until = [], []
        if months := self._months(symbol):
            first.append(Period.parse(months[0].stem).start_us)
            until.append(known_until_us(months) or Period.parse(months[-1].stem).end_us)
        for part in self.store.covered(symbol):
            first.append(part.begin_ms * 1000)
            until.append(part.end_ms * 1000)
        if (frame := self._recent(symbol)) is not None:
            begins = frame[TIME].dt.epoch("us")
            first.append(int(begins[0]))
            until.append(int(begins[-1]) + MINUTE_US)
        return (min(first), max(until)) if first else (0, 0)

    def read(
        self, symbol: str, start_us: int, stop_us: int, columns: Sequence[str]
    ) -> pl.DataFrame:
        """Minutes that begin in [start_us, stop_us): TIME and `columns`, in order of time."""
        names = [TIME, *columns]
        cut = Cut((Symbol(self.market, symbol),), start_us, stop_us)
        found = pl.DataFrame(schema={name: _TYPES[name] for name in names})
        if self._months(symbol):
            found = self._reader.bars(cut, _EACH).select(names).collect()
        for later in (self._stored(symbol), self._recent(symbol)):
            if later is None:
                continue
            more = later.filter(*cut.expressions(TIME)).select(names)
            if found.height:
                more = more.join(found.select(TIME), on=TIME, how="anti")
            if more.height:
                found = pl.concat([found, more]).sort(TIME)
        return found

    def _months(self, symbol: str) -> list[Path]:
        layer = minute_files(self._reader.layout, DataType.KLINES)
        return sorted((layer.folder / symbol).glob("*.parquet"))

    def _stored(self, symbol: str) -> pl.DataFrame | None:
        try:
            stat = self.store.path(symbol).stat()
        except FileNotFoundError:
            return None
        return _candles(self.store, symbol, (stat.st_mtime_ns, stat.st_size, stat.st_ino))

    def _recent(self, symbol: str) -> pl.DataFrame | None:
        frame = self.recent.frame(self.market, symbol) if self.recent else None
        return frame if frame is not None and frame.height else None


@lru_cache(_REMEMBERED)
def _candles(store: CandleStore, symbol: str, _version: tuple[int, ...]) -> pl.DataFrame | None:
    """A symbol's candles of the store, verified once for each version of their file."""
    stored = store.read(symbol)
    return None if stored is None else stored.candles.rename(_ARCHIVE_NAMES)


_TYPES: Final = {TIME: pl.Datetime("us", "UTC"), **BARS.columns}
MINUTE_TYPES: Final = _TYPES
"""TIME and the columns of minutes, with their types."""
