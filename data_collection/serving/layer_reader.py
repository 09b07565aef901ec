"""The layers of a data root as lazy frames: minutes, bars, order flow, hours, the wide table.

Nothing is read until a frame is collected, and then only the months, columns and symbols that it
asks for. A frame has `symbol` and `datetime` (the start of the bar, Datetime[us, UTC]) first and is
sorted by them. A file that cannot be read raises `LayerError` when the frame is collected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.serving.layer_files import (
    LayerFiles,
    hourly_files,
    minute_files,
)
from alphaqcm.data_collection.serving.lazy_symbols import (
    Cut,
    Schema,
    key_schema,
    lazy_frame,
    moment,
    require_symbols,
    torn_file,
)
from alphaqcm.pipeline.candles.fold import CANDLE_FOLDS, FLOW_FOLDS, Fold, Holes
from alphaqcm.pipeline.candles.fold_frame import CandleFrame, fold_frame
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.errors import BadName, LayerError, layer_error
from alphaqcm.pipeline.features.columns import COLUMNS
from alphaqcm.pipeline.reading.aggtrades.model import SCHEMA as FLOW_SCHEMA
from alphaqcm.pipeline.reading.month_file import MINUTE_COLUMNS
from alphaqcm.pipeline.storage.artifact import read_fingerprint
from alphaqcm.pipeline.storage.csv_file import CSV_TIME
from alphaqcm.pipeline.storage.file_store import LOCAL
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.storage.verified_read import require_whole
from alphaqcm.pipeline.tables.table_file import held_symbols

COUNT: Final = "n_minutes"
_LONGEST_US: Final = 8 * 86_400_000_000
"""Microseconds: no window is longer."""
_WHOLE_NUMBERS: Final = frozenset(name for name, dtype in FLOW_SCHEMA.items() if dtype == pl.Int64)


@dataclass(frozen=True, slots=True)
class MinuteLayer:
    """A layer of month files that hold minutes."""

    data_type: DataType
    folds: Mapping[str, Fold]
    columns: Schema  # besides the time


BARS: Final = MinuteLayer(
    DataType.KLINES,
    CANDLE_FOLDS,
    {name: pl.Int64() if name == "count" else pl.Float64() for name in MINUTE_COLUMNS},
)
FLOW: Final = MinuteLayer(
    DataType.AGGTRADES,
    FLOW_FOLDS,
    {name: dtype for name, dtype in FLOW_SCHEMA.items() if name != "minute"},
)


@dataclass(frozen=True, slots=True)
class LayerReader:
    """Reads the layers of one market below a data root."""

    layout: Layout

    def bars(self, cut: Cut, grid: WindowGrid) -> pl.LazyFrame:
        """Bars from the 1m klines; columns: KEYS, MINUTE_COLUMNS, COUNT. See `windows`."""
        return self.windows(BARS, cut, grid)

    def flow(self, cut: Cut, grid: WindowGrid) -> pl.LazyFrame:
        """Order flow from the aggTrades minutes; columns: KEYS, the minutes' own, COUNT."""
        return self.windows(FLOW, cut, grid)

    def windows(self, layer: MinuteLayer, cut: Cut, grid: WindowGrid) -> pl.LazyFrame:
        """Minutes folded into windows that start in the cut, partial ones with COUNT (Int32).

        COUNT tells how many minutes a window is made of. A window without a minute has no row, and
        one that ends after the last archived period of its symbol is not finished and has none.
        Raises `UsageError` where the layer or a symbol is not there.
        """
        minutes = minute_files(self.layout, layer.data_type)
        _bring_minutes(self.layout, minutes, cut)
        files = _files(minutes, cut, f"minutes of {layer.data_type}")

        def read(symbol: str, columns: Sequence[str]) -> pl.LazyFrame:
            return _windows(layer, files[symbol], cut, grid, columns)

        schema: Schema = {**key_schema(), **layer.columns, COUNT: pl.Int32()}
        return lazy_frame(schema, list(files), read, f"{layer.data_type} {self.layout.base}")

    def hourly(self, data_type: DataType, cut: Cut) -> pl.LazyFrame:
        """The hourly layer of an archive type; columns: KEYS, then those of its CSVs.

        Raises `UsageError` where the layer or a symbol is not there.
        """
        hours = hourly_files(self.layout, data_type)
        names = None if cut.symbols is None else {symbol.exchange for symbol in cut.symbols}
        self.layout.store.bring_below(
            hours.folder, lambda path: names is None or path.name.split("_")[0] in names
        )
        files = _files(hours, cut, f"hours of {data_type}")
        schema = _csv_schema(next(iter(files.values()))[0])

        def read(symbol: str, columns: Sequence[str]) -> pl.LazyFrame:
            return _hours(files[symbol][0], cut)

        return lazy_frame(schema, list(files), read, f"{data_type} hours {self.layout.base}")

    def final(self, cut: Cut, variant: str = "") -> pl.LazyFrame:
        """The wide table; columns: `COLUMNS`, the symbol in the table's notation.

        Raises `UsageError` where the table or a symbol is not there, `LayerError` where the file is
        no parquet.
        """
        path = self.layout.final_table(variant)
        self.layout.store.bring([path])
        if not path.exists():
            raise UsageError(
                path,
                expected="a final table",
                found="none",
                next_step="alphaqcm run makes it",
            )
        require_whole(path)
        try:
            frame = pl.scan_parquet(path, glob=False)
            names = frame.collect_schema().names()
        except pl.exceptions.PolarsError as error:
            raise torn_file(path, error) from error
        if names != list(COLUMNS):
            raise LayerError(
                path,
                expected=f"the {len(COLUMNS)} columns of this version",
                found=f"{len(names)} columns",
                next_step="alphaqcm build makes the table anew",
            )
        if cut.symbols is not None:
            there = {rows.symbol: path for rows in held_symbols(path)}
            wanted = {symbol.table: symbol for symbol in cut.symbols}
            require_symbols(there, list(wanted), path, "rows of the final table")
            frame = frame.filter(pl.col("symbol").is_in(list(wanted)))
        return frame.filter(*cut.expressions("datetime"))

    def final_symbols(self, variant: str = "") -> list[str]:
        """The symbols of the wide table in its notation and order; raises `TableError`."""
        path = self.layout.final_table(variant)
        self.layout.store.bring([path])
        return [rows.symbol for rows in held_symbols(path)]


def _files(layer: LayerFiles, cut: Cut, what: str) -> dict[str, list[Path]]:
    """The layer's files of the symbols asked for; raises `UsageError` where there are none."""
    names = None if cut.symbols is None else [symbol.exchange for symbol in cut.symbols]
    found = layer.by_symbol(names)
    if names is not None:
        require_symbols(found, names, layer.folder, what)
    elif not found:
        raise UsageError(
            layer.folder,
            expected=what,
            found="none",
            next_step="alphaqcm run makes them; or name another data root or market",
        )
    return found


def _bring_minutes(layout: Layout, minutes: LayerFiles, cut: Cut) -> None:
    """See to it that the month files of the cut are on this machine, and each symbol's last one."""
    if layout.store is LOCAL:
        return
    names = None if cut.symbols is None else {symbol.exchange for symbol in cut.symbols}
    # a window that starts in the cut may end after it
    start = None if cut.start_us is None else cut.start_us - _LONGEST_US
    stop = None if cut.stop_us is None else cut.stop_us + _LONGEST_US
    wanted: set[Path] = set()
    last: dict[str, Path] = {}
    for path in layout.store.list(minutes.folder, minutes.pattern):
        if names is None or path.parent.name in names:
            last[path.parent.name] = path
            if _touches(path, Cut(None, start, stop)):
                wanted.add(path)
    layout.store.bring_below(minutes.folder, wanted.union(last.values()).__contains__)


def known_until_us(months: Sequence[Path]) -> int | None:
    """End of the last archived period behind a symbol's last month file, in microseconds.

    From the file's fingerprint, which names the ZIPs it is made of; None where it names none.
    """
    fingerprint = read_fingerprint(months[-1])
    ends = []
    for item in fingerprint.inputs if fingerprint else ():
        try:
            ends.append(ArchiveFile.parse(item.key).period.end_us)
        except BadName:  # an input that is no file of the archive tells no period
            continue
    return max(ends, default=None)


def _windows(
    layer: MinuteLayer, months: Sequence[Path], cut: Cut, grid: WindowGrid, columns: Sequence[str]
) -> pl.LazyFrame:
    """One symbol's windows without its name: `datetime`, the columns asked for, COUNT."""
    start, stop = cut.start_us, cut.stop_us
    if start is not None:
        start = grid.ceil_us(start)
    if stop is not None:
        stop = grid.ceil_us(stop)  # where the last window that starts before it ends
    minutes = _minutes(months, Cut(None, start, stop), [n for n in columns if n in layer.columns])
    if grid.k == 1:
        return minutes.with_columns(pl.lit(1, pl.Int32).alias(COUNT)).filter(
            *cut.expressions("datetime")
        )
    until = known_until_us(months)
    folded = fold_frame(
        minutes.collect(),
        grid,
        Holes.PARTIAL,
        until=None if until is None else moment(until),
        layout=CandleFrame(time="datetime", folds=layer.folds, count=COUNT),
    )
    return folded.lazy().filter(*cut.expressions("datetime"))


def _minutes(months: Sequence[Path], cut: Cut, columns: Sequence[str]) -> pl.LazyFrame:
    inside = [path for path in months if _touches(path, cut)] or [months[0]]
    for path in inside:
        require_whole(path)
    return (
        pl.scan_parquet(inside, glob=False)
        .select(pl.col("minute").alias("datetime"), *columns)
        .filter(*cut.expressions("datetime"))
    )


def _touches(path: Path, cut: Cut) -> bool:
    month = Period.parse(path.stem)
    return (cut.stop_us is None or month.start_us < cut.stop_us) and (
        cut.start_us is None or month.end_us > cut.start_us
    )


def _hours(path: Path, cut: Cut) -> pl.LazyFrame:
    require_whole(path)
    schema = _csv_schema(path)
    header = _header(path)
    types = {header[0]: pl.String(), **{name: schema[name] for name in header[1:]}}
    return (
        pl.scan_csv(path, glob=False, schema=types)
        .rename({header[0]: "datetime"})
        .with_columns(pl.col("datetime").str.to_datetime(CSV_TIME, time_unit="us", time_zone="UTC"))
        .filter(*cut.expressions("datetime"))
    )


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8") as stream:
            return stream.readline().strip().split(",")
    except OSError as error:
        raise layer_error(path, error) from error


def _csv_schema(path: Path) -> Schema:
    names = _header(path)[1:]
    return {
        **key_schema(),
        **{name: pl.Int64() if name in _WHOLE_NUMBERS else pl.Float64() for name in names},
    }
