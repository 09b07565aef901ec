"""The final table's part of the report: facts a column and symbol, and the key factors' spread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.reporting.quality.model import ColumnRow, Distribution, TableSummary
from alphaqcm.pipeline.checks.finding import Finding, utc
from alphaqcm.pipeline.checks.table import TableFacts, table_findings
from alphaqcm.pipeline.features.columns import REGISTRY, ColumnSpec, DType
from alphaqcm.pipeline.storage.verified_read import require_whole

KEY_FACTORS = (
    "returns_1h",
    "rv_std_sqrt60",
    "funding_annualized",
    "triad_basis",
    "oi_delta_over_volume",
    "at_imbalance_ratio_quote",
    "relative_volume",
    "price_efficiency",
)
QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
BINS = 40
SAMPLED = 200_000
"""Rows at most from which the distributions are drawn: every n-th of the table."""


@dataclass(frozen=True, slots=True)
class TableLook:
    """The table's summary and its findings."""

    summary: TableSummary
    findings: tuple[Finding, ...]


def look_at_table(settings: RunSettings) -> TableLook | None:
    """Read the final table piece by piece; None where there is none.

    Raises `DamagedFile` where its bytes are not those that were written.
    """
    path = settings.layout.final_table()
    if not path.exists():
        return None
    require_whole(path)
    facts, sample = TableFacts(), []
    with pq.ParquetFile(path) as file:
        every = max(1, file.metadata.num_rows // SAMPLED)
        for piece in _pieces(file):
            sample.append(piece.select(_factors(piece)).gather_every(every))
            facts.add(piece)
    floats = [name for name, spec in REGISTRY.items() if spec.dtype is DType.FLOAT]
    windows = {name: spec.window.rows_before for name, spec in REGISTRY.items()}
    shown = path.relative_to(settings.root) if path.is_relative_to(settings.root) else path
    found = table_findings(facts, floats, windows, (str(shown),))
    return TableLook(_summary(facts, shown, REGISTRY, pl.concat(sample)), tuple(found))


def _pieces(file: pq.ParquetFile) -> Iterator[pl.DataFrame]:
    for group in range(file.num_row_groups):
        frame = pl.from_arrow(file.read_row_group(group))
        if isinstance(frame, pl.DataFrame):
            yield frame


def _factors(frame: pl.DataFrame) -> list[str]:
    return [name for name in KEY_FACTORS if name in frame.columns]


def _summary(
    facts: TableFacts, path: Path, specs: Mapping[str, ColumnSpec], sample: pl.DataFrame
) -> TableSummary:
    groups: dict[str, list[str]] = {}
    for name in facts.columns:
        groups.setdefault(specs[name].group.value if name in specs else "other", []).append(name)
    rows = []
    for group, names in groups.items():
        for name in names:
            column = facts.columns[name]
            first, last = _valid(facts, name)
            row = ColumnRow(
                name, group, column.nulls, column.infinite, column.low, column.high, first, last
            )
            rows.append(row)
    return TableSummary(
        path=str(path),
        rows=facts.rows,
        columns=tuple(rows),
        null_shares={
            group: {
                symbol: sum(told.nulls[name] for name in names) / (len(names) * told.rows)
                for symbol, told in facts.symbols.items()
            }
            for group, names in groups.items()
        },
        symbols={
            symbol: (told.rows, _text(told.first), _text(told.last))
            for symbol, told in facts.symbols.items()
        },
        distributions=tuple(
            found
            for name in _factors(sample)
            if (found := _distribution(sample[name], specs[name].unit)) is not None
        ),
    )


def _valid(facts: TableFacts, name: str) -> tuple[str, str]:
    spans = [told.valid[name] for told in facts.symbols.values() if name in told.valid]
    if not spans:
        return "", ""
    return _text(min(first for first, _ in spans)), _text(max(last for _, last in spans))


def _text(micros: int) -> str:
    return f"{utc(micros):%Y-%m-%d %H:%M}"


def _distribution(column: pl.Series, unit: str) -> Distribution | None:
    values = column.drop_nulls().to_numpy()
    values = values[np.isfinite(values)]
    if values.size == 0:
        return None
    levels = np.quantile(values, QUANTILES)
    low, high = float(levels[1]), float(levels[-2])
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(values, BINS, (low, high))
    return Distribution(
        column.name,
        unit,
        int(values.size),
        {f"{level:.0%}": float(value) for level, value in zip(QUANTILES, levels, strict=True)},
        tuple(map(float, edges)),
        tuple(map(int, counts)),
    )
