"""Trades and order books that were received, as buckets: TRADE and DEPTH.

    marketstore/{trade|depth}/{market}/{SYMBOL}/{YYYY-MM-DDTHH}.parquet    an hour, in order of time

What has come in lately is in memory until `flush` writes it; queries see both.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from alphaqcm.data_collection.exchange.clock import utc
from alphaqcm.data_collection.marketstore.bucket_key import BucketKey, require_part
from alphaqcm.data_collection.marketstore.buckets.model import SECOND, Bucket, Wanted
from alphaqcm.data_collection.marketstore.dataset import EPOCH, NANOS, Column, Rows
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import BadName
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, read_frame, read_record

DEPTH_LEVELS: Final = 5
"""Levels of a book that are kept, of each side the best ones."""

EXCHANGE: Final = "BINANCE"
TIMEFRAME: Final = "1Min"
"""The timeframe under which ticks are listed; 1Sec is answered too."""

_TIME: Final = "time_ns"
_HOUR_NS: Final = 3600 * SECOND
_VERSION: Final = 1


class TickKind(StrEnum):
    """What is kept, by the name of its folder."""

    TRADE = "trade"
    DEPTH = "depth"

    @property
    def group(self) -> str:
        """Its attribute group."""
        return self.value.upper()


_SIDES: Final = ("BidPrice", "BidSize", "AskPrice", "AskSize")
VALUES: Final[dict[TickKind, tuple[str, ...]]] = {
    TickKind.TRADE: ("Price", "Size"),
    TickKind.DEPTH: tuple(f"{side}{n}" for n in range(1, DEPTH_LEVELS + 1) for side in _SIDES),
}
"""The numbers of a tick: quote per base, and base units (contracts where the market is cm)."""

_EPOCH: Final = Column(EPOCH, "i8")
_NANOS: Final = Column(NANOS, "i4")
COLUMNS: Final[dict[TickKind, tuple[Column, ...]]] = {
    TickKind.TRADE: (
        _EPOCH,
        *(Column(name, "f8") for name in VALUES[TickKind.TRADE]),
        Column("Exchange", "U16"),
        Column("Tape", "U16"),
        _NANOS,
    ),
    TickKind.DEPTH: (
        _EPOCH,
        *(Column(name, "f8") for name in VALUES[TickKind.DEPTH]),
        _NANOS,
    ),
}

Tick = tuple[float | int, ...]
"""Nanoseconds since the epoch, then the numbers in the order of VALUES."""


class TickStore:
    """The ticks of all markets. `add` is for one thread, the rest for any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[tuple[TickKind, Market, str], list[Tick]] = {}
        self._lock = threading.Lock()

    def add(self, kind: TickKind, market: Market, symbol: str, tick: Tick) -> int:
        """Take in a tick; how many of the symbol wait to be written."""
        waiting = self._waiting.setdefault((kind, market, symbol), [])
        waiting.append(tick)
        return len(waiting)

    def flush(self) -> None:
        """Write what waits; raises `LayerError`, and what is not written waits on."""
        for (kind, market, symbol), waiting in list(self._waiting.items()):
            with self._lock:
                count = len(waiting)
                frame = _frame(kind, waiting[:count])
                for (hour,), part in frame.group_by(pl.col(_TIME) // _HOUR_NS, maintain_order=True):
                    path = self._path(kind, market, symbol, int(str(hour)))
                    rows = pl.concat([read_frame(path), part]) if path.exists() else part
                    rows = rows.sort(_TIME, maintain_order=True)
                    Artifact(path, _fingerprint(kind)).write(rows, {"rows": rows.height})
                del waiting[:count]

    def symbols(self, kind: TickKind, market: Market) -> set[str]:
        """Symbols of which there are ticks."""
        folder = self._folder / kind / market.value
        found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        return found | {
            symbol
            for (own, of, symbol), held in list(self._waiting.items())
            if (own, of) == (kind, market) and held
        }

    def most_rows(self, kind: TickKind, market: Market, symbol: str, wanted: Wanted) -> int:
        """How many ticks the range has at most."""
        rows = len(self._waiting.get((kind, market, symbol), ()))
        for path in self._hours(kind, market, symbol, wanted):
            record = read_record(path)
            rows += int(record.report["rows"]) if record else 0
        return rows if wanted.limit is None else min(rows, wanted.limit)

    def read(self, kind: TickKind, market: Market, symbol: str, wanted: Wanted) -> pl.DataFrame:
        """The ticks of the range in order of time: `time_ns`, then VALUES."""
        inside = (pl.col(_TIME) >= wanted.start_ns) & (pl.col(_TIME) <= wanted.stop_ns)
        with self._lock:
            waiting = _frame(kind, list(self._waiting.get((kind, market, symbol), ())))
            paths = self._hours(kind, market, symbol, wanted)
            frames, rows = [waiting.filter(inside)], waiting.filter(inside).height
            for path in paths if wanted.from_start else reversed(paths):
                # the last hours are enough for a limit that counts from the end
                if wanted.limit is not None and not wanted.from_start and rows >= wanted.limit:
                    break
                frames.append(read_frame(path).filter(inside))
                rows += frames[-1].height
        return pl.concat(frames).sort(_TIME, maintain_order=True)

    def _path(self, kind: TickKind, market: Market, symbol: str, hour: int) -> Path:
        name = f"{utc(hour * 3600):%Y-%m-%dT%H}.parquet"
        return self._folder / kind / market.value / symbol / name

    def _hours(self, kind: TickKind, market: Market, symbol: str, wanted: Wanted) -> list[Path]:
        folder = self._folder / kind / market.value / symbol
        first, last = (
            f"{utc(min(max(ns // SECOND, 0), 2**32)):%Y-%m-%dT%H}"
            for ns in (wanted.start_ns, wanted.stop_ns)
        )
        return sorted(path for path in folder.glob("*.parquet") if first <= path.stem <= last)


@dataclass(frozen=True, slots=True)
class TickBucket:
    """One symbol's trades or books."""

    key: BucketKey
    kind: TickKind
    market: Market
    symbol: str
    store: TickStore

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of its kind."""
        return COLUMNS[self.kind]

    def most_rows(self, wanted: Wanted) -> int:
        """As many as hours and memory hold."""
        return self.store.most_rows(self.kind, self.market, self.symbol, wanted)

    def read(self, wanted: Wanted, names: Sequence[str]) -> Rows:
        """The ticks of the range, in order of time."""
        frame = self.store.read(self.kind, self.market, self.symbol, wanted)
        times = frame[_TIME].to_numpy()
        own = {
            EPOCH: times // SECOND,
            NANOS: (times % SECOND).astype(np.int32),
            "Exchange": np.full(times.size, EXCHANGE, "<U16"),
            "Tape": np.full(times.size, self.market.value.upper(), "<U16"),
        }
        rows: Rows = {name: own[name] if name in own else frame[name].to_numpy() for name in names}
        return wanted.cut(rows)


@dataclass(frozen=True, slots=True)
class TickSource:
    """The ticks of one market; `prefix` stands before its symbols."""

    store: TickStore
    market: Market
    prefix: str = ""

    def find(self, key: BucketKey) -> Bucket | None:
        """The bucket, where there are ticks of the symbol."""
        kind = next((one for one in TickKind if one.group == key.group), None)
        symbol = key.symbol.removeprefix(self.prefix)
        if kind is None or key.timeframe not in (TIMEFRAME, "1Sec"):
            return None
        if not key.symbol.startswith(self.prefix) or not _is_name(symbol):
            return None
        if symbol not in self.store.symbols(kind, self.market):
            return None
        return TickBucket(key, kind, self.market, symbol, self.store)

    def symbols(self) -> set[str]:
        """Symbols with ticks of any kind."""
        return {
            self.prefix + symbol
            for kind in TickKind
            for symbol in self.store.symbols(kind, self.market)
        }

    def every_key(self) -> Iterator[BucketKey]:
        """One bucket a symbol and kind."""
        for kind in TickKind:
            for symbol in self.store.symbols(kind, self.market):
                yield BucketKey(self.prefix + symbol, TIMEFRAME, kind.group)


def _is_name(symbol: str) -> bool:
    try:
        require_part(symbol)
    except BadName:
        return False
    return True


def _frame(kind: TickKind, ticks: Sequence[Tick]) -> pl.DataFrame:
    schema = {_TIME: pl.Int64(), **dict.fromkeys(VALUES[kind], pl.Float64())}
    return pl.DataFrame(list(ticks), schema=schema, orient="row")


def _fingerprint(kind: TickKind) -> Fingerprint:
    return Fingerprint(f"marketstore/{kind}", _VERSION, ())
