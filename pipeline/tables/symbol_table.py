"""One symbol's own columns of the wide table, and the stages on the way to them.

Own columns are all but the cross-section's. They are computed from the symbol's month files; the
result depends on the rows alone, never on their order, on threads or on how the work was cut.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
    Artifact,
    Fingerprint,
    Input,
    layer_inputs,
    read_frame,
)
from alphaqcm.pipeline.storage.atomic_write import CommitHook
from alphaqcm.pipeline.storage.checksum import xxh3_of
from alphaqcm.pipeline.storage.csv_file import write_csv
from alphaqcm.pipeline.storage.file_digest import Proof
from alphaqcm.pipeline.storage.file_store import LOCAL, Batch, FileStore
from alphaqcm.pipeline.storage.layout import Layout, month_name
from alphaqcm.pipeline.storage.verified_read import glance_at_csv

LAYER = "symbol_table"

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


_TOGETHER = 1 << 16  # bytes of small month files that are read at once


@dataclass(frozen=True, slots=True)
class MonthFiles:
    """Month files of minutes, read one at a time: years of them would not fit beside each other.

    Only small ones are read together: a piece of few rows costs more than its rows.
    """

    field: str
    paths: tuple[Path, ...]
    store: FileStore = LOCAL

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """The rows of a month, or of several small ones; raises `LayerError`."""
        group: list[Path] = []
        total = 0
        for path in self.paths:
            stat = self.store.stat(path)
            total += 0 if stat is None else stat.size
            if group and total > _TOGETHER:
                yield _read(self.field, group, self.store)
                group, total = [], 0 if stat is None else stat.size
            group.append(path)
        if group:
            yield _read(self.field, group, self.store)


@dataclass(frozen=True, slots=True)
class SymbolReport:
    """What a symbol table's footer tells of it."""

    symbol: str  # the table's name
    rows: int
    metrics_last: str | None  # last hour that has metrics, ISO 8601
    stage_bytes: Mapping[str, int] | None = None  # size of each stage's CSV written with it
    stage_digests: Mapping[str, str] | None = None  # and its XXH3; None before 0.2.0

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> SymbolReport:
        """Read the JSON form; raises KeyError."""
        return cls(
            str(told["symbol"]),
            int(told["rows"]),
            told["metrics_last"],
            told.get("stage_bytes"),
            told.get("stage_digests"),
        )


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """The own columns in the table's order and types, and what is to be told of them."""

    frame: pl.DataFrame
    report: SymbolReport


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
        there = {path.name for path in layout.store.list(folder)}
        # a listing may be older than the file: what it lacks is asked for by its name
        found[field] = {
            stamp: folder / name
            for stamp, name in months
            if name in there or layout.store.stat(folder / name) is not None
        }
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
            for one in (
                [Input(key, known[key])]
                if key in known
                else layer_inputs([(key, path)], layout.store)
            )
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
    store = layout.store
    files = input_files(layout, symbol, DateRange(first, span.end))
    paths = {field: tuple(files[field].values()) for field in files}
    return Inputs(
        klines=MonthFiles("klines", paths["klines"], store),
        aggtrades=MonthFiles("aggtrades", paths["aggtrades"], store),
        mark=_read("mark", paths["mark"], store),
        index=_read("index", paths["index"], store),
        premium=_read("premium", paths["premium"], store),
        funding=_read("funding", paths["funding"], store),
        metrics=_read("metrics", paths["metrics"], store),
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
    report = SymbolReport(symbol.table, frame.height, metrics_last)
    return SymbolTable(with_volume_clean(frame), report)


def _read(field: str, paths: Sequence[Path], store: FileStore) -> pl.DataFrame:
    needed = NEEDED[field]
    parts = [pl.DataFrame(schema=needed)]
    for path in paths:
        try:
            parts.append(read_frame(path, list(needed), store).cast(pl.Schema(needed)))
        except pl.exceptions.PolarsError as error:
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
    with layout.store.batch() as batch:
        temps = _add_stages(table.frame, layout, symbol, batch)
        report = replace(
            table.report,
            stage_bytes={stage: temp.stat().st_size for stage, temp in temps.items()},
            stage_digests={stage: xxh3_of(temp) for stage, temp in temps.items()},
        )
        Artifact(path, fingerprint, layout.store).add_to(batch, table.frame, asdict(report))
        batch.commit(gate)
    return path


def current_table(layout: Layout, symbol: Symbol, span: DateRange) -> SymbolReport | None:
    """What is told of the symbol's table where it and all its stages are current; else None."""
    path = layout.symbol_table(symbol)
    artifact = Artifact(path, table_fingerprint(layout, symbol, span), layout.store)
    record = artifact.current()
    if record is None:
        return None
    report = SymbolReport.from_dict(record.report)
    return report if _stages_whole(layout, symbol, report) else None


def write_stages(layout: Layout, symbol: Symbol) -> list[Path]:
    """Write the stages' CSVs again from the symbol's table; raises `LayerError`."""
    frame = read_symbol_table(layout.symbol_table(symbol), SYMBOL_COLUMNS, layout.store)
    with layout.store.batch() as batch:
        temps = _add_stages(frame, layout, symbol, batch)
        batch.commit()
    return [layout.stage_file(stage, symbol) for stage in temps]


def read_stage(layout: Layout, stage: str, symbol: Symbol) -> pl.DataFrame:
    """A stage read back from its CSV, the very frame it was written from; raises `LayerError`."""
    path = layout.stage_file(stage, symbol)
    return read_csv(path, STAGE_COLUMNS[stage], "alphaqcm export stages")


def read_symbol_table(path: Path, columns: Sequence[str], store: FileStore = LOCAL) -> pl.DataFrame:
    """Columns of a symbol's table; raises `DamagedFile`, `LayerError`."""
    return read_frame(path, columns, store)


def _add_stages(
    frame: pl.DataFrame, layout: Layout, symbol: Symbol, batch: Batch
) -> dict[str, Path]:
    """Write the stages into the batch; returns where each lies for now."""
    temps = {}
    for stage, columns in stage_frames(frame).items():
        temps[stage] = batch.add(layout.stage_file(stage, symbol))
        write_csv(columns, temps[stage])
    return temps


def _stages_whole(layout: Layout, symbol: Symbol, report: SymbolReport) -> bool:
    """Whether every stage's CSV is there with the bytes that the table's report tells of."""
    if report.stage_bytes is None:
        return False
    paths = {stage: layout.stage_file(stage, symbol) for stage in STAGE_COLUMNS}
    found = {stage: layout.store.stat(path) for stage, path in paths.items()}
    sizes = {stage: stat.size for stage, stat in found.items() if stat is not None}
    digests = report.stage_digests or {}
    return sizes == report.stage_bytes and all(
        glance_at_csv(path, digests.get(stage), layout.store) is not Proof.DAMAGED
        for stage, path in paths.items()
    )
