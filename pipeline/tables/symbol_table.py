"""One symbol's own columns of the wide table, and the stages on the way to them.

Own columns are all but the cross-section's. They are computed from the symbol's month files; the
result depends on the rows alone, never on their order, on threads or on how the work was cut.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import months_between
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import LayerError, Undefined
from alphaqcm.pipeline.features.columns import STAGE_COLUMNS, SYMBOL_COLUMNS, VERSION
from alphaqcm.pipeline.features.columns.csv import read_csv
from alphaqcm.pipeline.features.factors.assemble import NEEDED, Days, Inputs, own_columns
from alphaqcm.pipeline.features.factors.rolling import NOTHING_BEFORE, with_volume_clean
from alphaqcm.pipeline.storage.artifact import (
    FOOTER_KEY,
    Fingerprint,
    Input,
    footer_of,
    layer_inputs,
)
from alphaqcm.pipeline.storage.atomic_write import AtomicBatch, CommitHook
from alphaqcm.pipeline.storage.csv_file import write_csv
from alphaqcm.pipeline.storage.layout import Layout, month_name

LAYER = "symbol_table"
STAGE_BYTES = "stage_bytes"
"""Entry of a table's report: the size of each stage's CSV, written with it."""

INPUT_TYPES: dict[str, tuple[DataType, str]] = {
    "klines": (DataType.KLINES, "1m"),
    "aggtrades": (DataType.AGGTRADES, ""),
    "mark": (DataType.MARK, "1h"),
    "index": (DataType.INDEX, "1h"),
    "premium": (DataType.PREMIUM, "1h"),
    "funding": (DataType.FUNDING, ""),
    "metrics": (DataType.METRICS, ""),
}
"""The fields of `Inputs` and the month files behind them."""


@dataclass(frozen=True, slots=True)
class MonthFiles:
    """Month files of minutes, read one at a time: years of them would not fit beside each other."""

    field: str
    paths: tuple[Path, ...]

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Each month's rows; raises `LayerError`."""
        for path in self.paths:
            yield _read(self.field, [path])


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """The own columns in the table's order and types, and what is to be told of them."""

    frame: pl.DataFrame
    report: Mapping[str, Any]


def require_wide(market: Market) -> None:
    """Raise `Undefined` where no wide table is defined: anywhere but in um."""
    if market is not Market.UM:
        raise Undefined(
            f"the wide table of {market}",
            expected="market um",
            found=f"{market}: its layers end at the 1m and hourly files",
            next_step="pass --market um, or use the hourly CSVs",
        )


def input_files(layout: Layout, symbol: Symbol, span: DateRange) -> dict[str, dict[str, Path]]:
    """The month files that are there: field of `Inputs` -> month -> path, months in order."""
    months = [(month.stamp, month_name(month)) for month in months_between(span.start, span.end)]
    found = {}
    for field, (kind, interval) in INPUT_TYPES.items():
        folder = layout.months(kind, interval) / symbol.exchange
        try:
            there = set(os.listdir(folder))  # noqa: PTH208  -- names, asked for once
        except FileNotFoundError:
            there = set()
        found[field] = {stamp: folder / name for stamp, name in months if name in there}
    return found


def table_fingerprint(
    layout: Layout, symbol: Symbol, span: DateRange, known: Mapping[str, str] | None = None
) -> Fingerprint:
    """What the symbol's table is made of; raises `LayerError` for a month file without one.

    `known` are digests of month files' fingerprints by their input (`field/YYYY-MM`), which are
    then not read.
    """
    known = known or {}
    paths = [
        (f"{field}/{stamp}", path)
        for field, months in input_files(layout, symbol, span).items()
        for stamp, path in months.items()
    ]
    return Fingerprint(
        LAYER,
        VERSION,
        tuple(
            one
            for key, path in paths
            for one in ([Input(key, known[key])] if key in known else layer_inputs([(key, path)]))
        ),
        (
            ("end", span.end.isoformat()),
            ("start", span.start.isoformat()),
            ("symbol", symbol.table),
        ),
    )


def read_inputs(
    layout: Layout, symbol: Symbol, span: DateRange, since: date | None = None
) -> Inputs:
    """Read the month files of `span`, or only those that rows from day `since` on need.

    Raises `LayerError` for a file that is no month file.
    """
    first = span.start if since is None else _look_back(since, span)
    files = input_files(layout, symbol, DateRange(first, span.end))
    paths = {field: tuple(files[field].values()) for field in files}
    return Inputs(
        klines=MonthFiles("klines", paths["klines"]),
        aggtrades=MonthFiles("aggtrades", paths["aggtrades"]),
        mark=_read("mark", paths["mark"]),
        index=_read("index", paths["index"]),
        premium=_read("premium", paths["premium"]),
        funding=_read("funding", paths["funding"]),
        metrics=_read("metrics", paths["metrics"]),
    )


def _look_back(since: date, span: DateRange) -> date:
    """The first day whose rows can matter on day `since`: a settlement, a metrics file before."""
    day_before = date.fromordinal(since.toordinal() - 1)
    return max(span.start, day_before)


def build_symbol_table(symbol: Symbol, inputs: Inputs, span: DateRange) -> SymbolTable:
    """The symbol's own columns for the days of `span`: one row an hour that has a 1m kline.

    Raises `Undefined` for a market without a wide table.
    """
    require_wide(symbol.market)
    days = Days(span.start, span.end, span.start)
    frame, metrics_last = own_columns(symbol.table, inputs, days, NOTHING_BEFORE)
    report = {"symbol": symbol.table, "rows": frame.height, "metrics_last": metrics_last}
    return SymbolTable(with_volume_clean(frame), report)


def _read(field: str, paths: Sequence[Path]) -> pl.DataFrame:
    needed = NEEDED[field]
    parts = [pl.DataFrame(schema=needed)]
    for path in paths:
        try:
            part = pl.read_parquet(path, columns=list(needed), glob=False)
            parts.append(part.cast(pl.Schema(needed)))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise LayerError(
                path,
                expected="a month file with " + ", ".join(needed),
                found=str(error).splitlines()[0],
                next_step="remove it and run the same command again: it is made anew",
            ) from error
    return pl.concat(parts)


def stage_frames(table: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The `crypto_hourly_*` stages, each a choice of the own columns.

    The first two come before the cleaning: their vwap is null in an hour without volume.
    """
    traded = pl.when(pl.col("volume") != 0).then(pl.col("vwap")).otherwise(None).alias("vwap")
    stages = {stage: table.select(names) for stage, names in STAGE_COLUMNS.items()}
    for stage in ("crypto_hourly_basic", "crypto_hourly_full"):
        stages[stage] = stages[stage].with_columns(traded)
    return stages


def write_symbol_table(
    table: SymbolTable,
    layout: Layout,
    symbol: Symbol,
    fingerprint: Fingerprint,
    gate: CommitHook = contextlib.nullcontext,
) -> Path:
    """Write the table and its stages' CSVs, all or none; returns the table's path.

    Raises `LayerError` or `DiskFull`.
    """
    path = layout.symbol_table(symbol)
    with AtomicBatch() as batch:
        stages = _add_stages(table.frame, layout, symbol, batch)
        report = {**table.report, STAGE_BYTES: stages}
        temp = batch.add(path)
        try:
            table.frame.write_parquet(
                temp,
                compression="zstd",
                row_group_size=max(1, table.frame.height),
                metadata={FOOTER_KEY: footer_of(fingerprint, report)},
            )
        except pl.exceptions.PolarsError as error:
            raise LayerError(path, expected="a table to write", found=str(error)) from error
        batch.commit(gate)
    return path


def write_stages(layout: Layout, symbol: Symbol) -> list[Path]:
    """Write the stages' CSVs again from the symbol's table; raises `LayerError`."""
    frame = read_symbol_table(layout.symbol_table(symbol), SYMBOL_COLUMNS)
    with AtomicBatch() as batch:
        sizes = _add_stages(frame, layout, symbol, batch)
        batch.commit()
    return [layout.stage_file(stage, symbol) for stage in sizes]


def read_stage(layout: Layout, stage: str, symbol: Symbol) -> pl.DataFrame:
    """A stage read back from its CSV, the very frame it was written from; raises `LayerError`."""
    path = layout.stage_file(stage, symbol)
    return read_csv(path, STAGE_COLUMNS[stage], "alphaqcm export stages")


def read_symbol_table(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Columns of a symbol's table on disk; raises `LayerError`."""
    try:
        return pl.read_parquet(path, columns=list(columns), glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LayerError(
            path,
            expected="a symbol table",
            found=str(error).splitlines()[0],
            next_step="remove it and run the same command again: it is made anew",
        ) from error


def _add_stages(
    frame: pl.DataFrame, layout: Layout, symbol: Symbol, batch: AtomicBatch
) -> dict[str, int]:
    """Write the stages into the batch; returns the bytes of each."""
    sizes = {}
    for stage, columns in stage_frames(frame).items():
        temp = batch.add(layout.stage_file(stage, symbol))
        write_csv(columns, temp)
        sizes[stage] = temp.stat().st_size
    return sizes


def stages_whole(layout: Layout, symbol: Symbol, report: Mapping[str, Any]) -> bool:
    """Whether every stage's CSV is there with the size that the table's report tells."""
    try:
        return all(
            layout.stage_file(stage, symbol).stat().st_size == size
            for stage, size in report[STAGE_BYTES].items()
        )
    except (OSError, KeyError):
        return False
