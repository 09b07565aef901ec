"""The wide table of a run: symbol tables and their cross-section into one parquet.

Two passes over the symbol tables: the first reads three columns of every symbol for the
cross-section, the second takes one symbol at a time through to the file, so that memory grows with
the hours, not with the symbols.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import BadName, TableError
from alphaqcm.pipeline.features.columns import COLUMNS, SYMBOL_COLUMNS, VERSION
from alphaqcm.pipeline.features.cross_section import CrossSection, Part, cross_section
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, layer_inputs, read_record
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.symbol_table import SymbolReport, read_symbol_table, require_wide
from alphaqcm.pipeline.tables.table_file import (
    SymbolRows,
    TableOptions,
    TableReport,
    read_table,
    table_report,
    write_table,
)

LAYER = "final"
DEFAULTS = TableOptions()


@dataclass(frozen=True, slots=True)
class FilePart:
    """A symbol table on disk."""

    symbol: str
    path: Path
    store: FileStore = LOCAL

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """These own columns; raises `LayerError`."""
        return read_symbol_table(self.path, columns, self.store)


@dataclass(frozen=True, slots=True)
class WideTable:
    """A final table on disk."""

    path: Path
    symbols: tuple[SymbolRows, ...]
    built: bool  # False: what was there was current

    @property
    def rows(self) -> int:
        """Rows of the whole table."""
        return sum(symbol.rows for symbol in self.symbols)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A symbol that a variant does not hold, and why."""

    symbol: str
    reason: str


def symbol_parts(layout: Layout, symbols: Sequence[Symbol]) -> list[FilePart]:
    """The symbol tables, in byte order of the table's names."""
    parts = [
        FilePart(symbol.table, layout.symbol_table(symbol), layout.store) for symbol in symbols
    ]
    return sorted(parts, key=lambda part: part.symbol.encode())


def final_fingerprint(
    parts: Sequence[FilePart], span: DateRange, options: TableOptions = DEFAULTS
) -> Fingerprint:
    """What the final table is made of; raises `LayerError` where a symbol table is missing."""
    return Fingerprint(
        LAYER,
        VERSION,
        tuple(
            one for part in parts for one in layer_inputs([(part.symbol, part.path)], part.store)
        ),
        (
            *options.parameters,
            ("end", span.end.isoformat()),
            ("start", span.start.isoformat()),
        ),
    )


def wide_frames(parts: Sequence[Part], section: CrossSection) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each symbol with all columns, in the table's order."""
    for part in parts:
        own = part.read(SYMBOL_COLUMNS)
        yield part.symbol, own.hstack(section.columns(own)).select(COLUMNS)


def build_final(
    layout: Layout, symbols: Sequence[Symbol], span: DateRange, options: TableOptions = DEFAULTS
) -> WideTable:
    """Build the final table of `symbols`, unless the one on disk is current.

    Raises `Undefined` for a market without one, `TableError` when no symbol has a row, `LayerError`
    for a symbol table that is missing or torn.
    """
    require_wide(layout.market)
    path = layout.final_table()
    parts = symbol_parts(layout, symbols)
    fingerprint = final_fingerprint(parts, span, options)
    artifact = Artifact(path, fingerprint, layout.store)
    held = artifact.current()
    if held is not None:
        return WideTable(path, TableReport.from_dict(held.report).symbols, built=False)
    section = cross_section(parts)
    if section.symbols == 0:
        raise TableError(
            path,
            expected=f"at least one 1m kline in {span.start}..{span.end}",
            found=f"none in {len(parts)} symbol tables",
            next_step="choose days on which the symbols were listed",
        )
    last = {part.symbol: _metrics_last(part) for part in parts}
    rows = write_table(wide_frames(parts, section), artifact, options, last)
    return WideTable(path, rows, built=True)


def _metrics_last(part: FilePart) -> str | None:
    record = read_record(part.path, part.store)
    return None if record is None else SymbolReport.from_dict(record.report).metrics_last


def build_complete(
    layout: Layout,
    span: DateRange,
    name: str = "complete_metrics",
    options: TableOptions = DEFAULTS,
) -> tuple[WideTable, tuple[LeftOut, ...]]:
    """The variant of the symbols whose metrics reach the end date, rows copied from the full table.

    A symbol is complete when it has a metrics row on the last day of `span`. Cross-section columns
    keep the values they have in the full table. `name` becomes part of file names: letters, digits
    and `_`. Raises `BadName`, and `TableError` when no symbol is complete.
    """
    if not re.fullmatch(r"\w+", name):
        raise BadName(f"table name {name!r}", expected="letters, digits and _ only")
    full, store = layout.final_table(), layout.store
    report = table_report(full, store)
    held, last = report.symbols, report.metrics_last or {}
    left_out = tuple(
        LeftOut(rows.symbol, _why(last.get(rows.symbol), span))
        for rows in held
        if not _reaches(last.get(rows.symbol), span)
    )
    if len(left_out) == len(held):
        raise TableError(
            layout.final_table(name),
            expected=f"a symbol with metrics on {span.end}",
            found="none",
            next_step="end the range on a day that has metrics",
        )
    missing = {item.symbol for item in left_out}
    path = layout.final_table(name)
    fingerprint = Fingerprint(
        f"{LAYER}_{name}", VERSION, layer_inputs([("final", full)], store), options.parameters
    )
    artifact = Artifact(path, fingerprint, layout.store)
    current = artifact.current()
    if current is not None:
        rows = TableReport.from_dict(current.report).symbols
        return WideTable(path, rows, built=False), left_out
    chosen = (
        (symbol, frame) for symbol, frame in read_table(full, store=store) if symbol not in missing
    )
    return WideTable(path, write_table(chosen, artifact, options), built=True), left_out


def _reaches(last: str | None, span: DateRange) -> bool:
    return last is not None and datetime.fromisoformat(last).date() >= span.end


def _why(last: str | None, span: DateRange) -> str:
    if last is None:
        return "no metrics at all"
    return f"metrics end on {datetime.fromisoformat(last).date()}, before {span.end}"
