"""Reads an archive tree for the tape: which file covers when, and its columns as whole numbers.

Own reader of the simulated exchange, on zipfile and pyarrow only: what the project's readers get
wrong must not be wrong here in the same way.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from alphaqcm.data_collection.errors import SourceError
from alphaqcm.data_collection.simulation.exchange.tape.listing import Market
from alphaqcm.data_collection.simulation.exchange.tape.trades import Ints

FOLDERS = {Market.SPOT: "spot", Market.UM: "futures/um", Market.CM: "futures/cm"}
DECIMALS = 8
"""Every decimal column is read in units of 1e-8, exactly; more decimals are refused."""

_NAME = re.compile(r"-(\d{4})-(\d{2})(?:-(\d{2}))?\.zip")
_KEPT_FILES = 24
_MICROSECONDS = 10**14

TRADE_COLUMNS = ("id", "price", "quantity", "first_id", "last_id", "time", "maker", "best")
KLINE_COLUMNS = (
    "start", "open", "high", "low", "close", "volume", "end", "amount", "count", "buy_volume",
    "buy_amount", "ignore",
)  # fmt: skip
FUNDING_COLUMNS = ("time", "hours", "rate")
METRICS_COLUMNS = (
    "time", "symbol", "interest", "interest_value", "top_accounts", "top_positions", "accounts",
    "taker_ratio",
)  # fmt: skip
_WHOLE = frozenset({"id", "first_id", "last_id", "time", "start", "end", "count", "hours"})
_MAY_BE_EMPTY = frozenset(METRICS_COLUMNS)
_WORDS = frozenset({"maker", "best", "symbol", "ignore"})


@dataclass(frozen=True, slots=True)
class Part:
    """One file and the time [start, end) that it covers, ms."""

    path: Path
    start_ms: int
    end_ms: int


def symbols_of(root: Path, market: Market) -> list[str]:
    """The symbols of a market that the tree has trades or minutes of."""
    found = set[str]()
    for kept in ("daily", "monthly"):
        for kind in ("aggTrades", "klines"):
            folder = root / "data" / FOLDERS[market] / kept / kind
            if folder.is_dir():
                found |= {path.name for path in folder.iterdir() if path.is_dir()}
    return sorted(found)


def parts_of(root: Path, market: Market, kind: str, symbol: str, interval: str) -> list[Part]:
    """The files of a series by time, none overlapping: a month's file before its days'."""
    months, days = list[Part](), list[Part]()
    for kept, rows in (("monthly", months), ("daily", days)):
        folder = root / "data" / FOLDERS[market] / kept / kind / symbol / interval
        for path in sorted(folder.glob("*.zip")) if folder.is_dir() else ():
            if found := _NAME.search(path.name):
                rows.append(_part(path, int(found[1]), int(found[2]), int(found[3] or 0)))
    covered = {(part.start_ms, part.end_ms) for part in months}
    days = [d for d in days if not any(a <= d.start_ms < b for a, b in covered)]
    return sorted(months + days, key=lambda part: part.start_ms)


def _part(path: Path, year: int, month: int, day: int) -> Part:
    start = datetime(year, month, day or 1, tzinfo=UTC)
    end = start + timedelta(days=1)
    if not day:
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return Part(path, int(start.timestamp() * 1000), int(end.timestamp() * 1000))


def read_columns(path: Path, names: Sequence[str]) -> dict[str, Ints]:
    """The columns of one file: times in ms, decimals in 1e-8, flags 0 and 1.

    Raises `SourceError` for a file that cannot be read so.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0])
        return _parse(text, names)
    except (OSError, zipfile.BadZipFile, IndexError, pa.ArrowException, ValueError) as error:
        raise SourceError(
            path,
            expected="a ZIP of one CSV as the archive has them, decimals of eight places at most",
            found=str(error),
            next_step="take the file out of the tape, or fetch it again",
        ) from error


def _parse(text: bytes, names: Sequence[str]) -> dict[str, Ints]:
    if not text.strip():
        return {name: np.empty(0, dtype=np.int64) for name in names if name not in _WORDS}
    first = text[: text.find(b"\n")].decode("ascii").strip().split(",")
    headed = not first[0][:1].isdigit()
    names = names[: len(first)]
    kinds: dict[str, pa.DataType] = {}
    for name in names:
        if name in _WORDS or (name == "time" and "interest" in names):
            kinds[name] = pa.string()
        else:
            kinds[name] = pa.int64() if name in _WHOLE else pa.decimal128(38, 16)
    table = csv.read_csv(
        io.BytesIO(text),
        read_options=csv.ReadOptions(column_names=list(names), skip_rows=int(headed)),
        convert_options=csv.ConvertOptions(column_types=kinds, strings_can_be_null=False),
    )
    return {
        name: _whole(name, table.column(name).combine_chunks())
        for name in names
        if name not in ("ignore", "symbol", "best")
    }


def _whole(name: str, column: pa.Array) -> Ints:
    if name == "maker":
        flags = [str(value).lower() == "true" for value in column.to_pylist()]
        return np.array(flags, dtype=np.int64)
    if pa.types.is_string(column.type):
        moments = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in column.to_pylist())
        return np.array([int(one.timestamp() * 1000) for one in moments], dtype=np.int64)
    if column.null_count and name in _MAY_BE_EMPTY:
        column = column.fill_null(0)
    if column.null_count:
        raise ValueError(f"column {name} has empty fields")
    if pa.types.is_decimal(column.type):
        # rescaling refuses what it would have to round
        column = column.cast(pa.decimal128(38, DECIMALS))
        words = np.frombuffer(column.buffers()[1], dtype=np.int64)
        words = words[2 * column.offset : 2 * (column.offset + len(column))]
        low, high = words[::2], words[1::2]
        if not np.array_equal(high, low >> 63):
            raise ValueError(f"column {name} has numbers above 9.2e10")
        return low.copy()
    values: Ints = column.to_numpy().astype(np.int64)
    if name in ("time", "start", "end"):
        return np.where(values > _MICROSECONDS, values // 1000, values)
    return values


class Files:
    """Columns of the files read last, kept for the next question."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, dict[str, Ints]] = OrderedDict()

    def columns(self, part: Part, names: Sequence[str]) -> dict[str, Ints]:
        """The columns of a file."""
        found = self._kept.get(part.path)
        if found is None:
            found = self._kept[part.path] = read_columns(part.path, names)
            if len(self._kept) > _KEPT_FILES:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(part.path)
        return found


class Tree:
    """An archive tree: the parts of every series, found when they are first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = Files()
        self._parts: dict[tuple[Market, str, str], list[Part]] = {}

    def parts(self, market: Market, kind: str, symbol: str) -> list[Part]:
        """The files of a series; klines of all kinds are minutes."""
        key = (market, kind, symbol)
        if key not in self._parts:
            interval = "1m" if kind.lower().endswith("klines") else ""
            self._parts[key] = parts_of(self.root, market, kind, symbol, interval)
        return self._parts[key]

    def rows(
        self, market: Market, kind: str, symbol: str, names: Sequence[str]
    ) -> Iterator[tuple[Part, dict[str, Ints]]]:
        """Every file of a series with its columns, one at a time."""
        for part in self.parts(market, kind, symbol):
            yield part, self.files.columns(part, names)

    def by_symbol(self, market: Market) -> list[str]:
        """The market's symbols."""
        return symbols_of(self.root, market)

    def span(self) -> tuple[int, int]:
        """From when to when there are trades or minutes of any symbol, ms."""
        starts, ends = list[int](), list[int]()
        for market in Market:
            for symbol in self.by_symbol(market):
                for kind in ("aggTrades", "klines"):
                    for part in self.parts(market, kind, symbol):
                        starts.append(part.start_ms)
                        ends.append(part.end_ms)
        if not ends:
            raise SourceError(
                self.root,
                expected="an archive tree with aggTrades or klines below data/",
                found="no such file",
                next_step="write one with: alphaqcm sample DIR",
            )
        return min(starts), max(ends)
