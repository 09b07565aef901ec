"""The registry of the wide table's columns: names, order, types, meaning.

Everything that needs a column list reads it here: the code that assembles tables, the CSV reader,
the `columns` command, docs/columns.md and the parquet's field metadata.
"""

from __future__ import annotations

import polars as pl

from alphaqcm.pipeline.features.columns.flow import FLOW_AND_DERIVED
from alphaqcm.pipeline.features.columns.market import MARKET
from alphaqcm.pipeline.features.columns.minutes import HOUR_STATISTICS, MOMENTUM, STABILITY
from alphaqcm.pipeline.features.columns.spec import ColumnSpec, DType, Group, Source, Window
from alphaqcm.pipeline.features.columns.trading import TRADING

__all__ = [
    "COLUMNS",
    "CROSS_SECTION",
    "FEATURES",
    "REGISTRY",
    "STAGE_COLUMNS",
    "SYMBOL_COLUMNS",
    "TAIL_ROWS",
    "ColumnSpec",
    "DType",
    "Group",
    "Source",
    "Window",
    "column",
    "schema",
]

VERSION = 2
"""Raised whenever a column's values change; part of every table's fingerprint."""

_ALL: tuple[ColumnSpec, ...] = MARKET + HOUR_STATISTICS + FLOW_AND_DERIVED + TRADING

REGISTRY: dict[str, ColumnSpec] = {spec.name: spec for spec in _ALL}
"""Every column by name, in the table's order."""

COLUMNS: tuple[str, ...] = tuple(REGISTRY)
"""Names of the wide table's columns, in order."""

FEATURES: tuple[str, ...] = tuple(n for n in COLUMNS if REGISTRY[n].group is not Group.KEY)

CROSS_SECTION: tuple[str, ...] = tuple(
    name for name in COLUMNS if Source.UNIVERSE in REGISTRY[name].inputs
)
"""Columns that need the other symbols; all others are the symbol's own."""

SYMBOL_COLUMNS: tuple[str, ...] = tuple(name for name in COLUMNS if name not in CROSS_SECTION)

TAIL_ROWS: int = max(spec.window.rows_before for spec in _ALL)
"""Rows before a row that its row windows look at, at most."""


def column(name: str) -> ColumnSpec:
    """The registry's entry of `name`; KeyError if there is none."""
    return REGISTRY[name]


def schema(names: tuple[str, ...] = COLUMNS) -> dict[str, pl.DataType]:
    """Polars types of `names`, in their order."""
    return {name: REGISTRY[name].dtype.polars for name in names}


def _between(first: str, last: str) -> tuple[str, ...]:
    return COLUMNS[COLUMNS.index(first) : COLUMNS.index(last) + 1]


_BASIC = _between("datetime", "vwap")
_FULL = _between("datetime", "arb_pressure")

STAGE_COLUMNS: dict[str, tuple[str, ...]] = {
    "crypto_hourly_basic": _BASIC,
    "crypto_hourly_full": _FULL,
    "crypto_hourly_cleaned": _FULL + _between("gap_seconds", "is_mature"),
    "crypto_hourly_momentum": ("datetime", *(spec.name for spec in MOMENTUM)),
    "crypto_hourly_volatility": ("datetime", *_between("n_minutes", STABILITY[0].name)),
}
"""Columns of each stage that is written beside the symbol's table."""
