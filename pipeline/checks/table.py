"""The final table: what each column holds, and whether the rows are in order and unique."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
from polars import selectors as cs

from alphaqcm.pipeline.checks.finding import EVERY, Finding, Severity, TimeRange, counted
from alphaqcm.pipeline.domain.time import HOUR_US

SERIES = "final"
KEYS = ("symbol", "datetime")
CONSTANT_WHEN_WELL = frozenset(
    {
        "doc_vol50_ratio",
        "cs_coverage_frac",
        "cs_coverage_frac_pit",
        "gap_seconds",
        "vol_top20_frac",  # 12 of 60 minutes, unless volumes are equal
    }
)
"""Columns that are constant by definition, or where nothing is missing."""
CONSTANT_ALONE = frozenset({"funding_pressure", "relative_volume"})
"""Columns that compare symbols: constant where there is only one."""
ENOUGH_ROWS = 48
"""With fewer rows a constant or empty column says nothing."""


@dataclass(slots=True)
class ColumnFacts:
    """One column over the whole table."""

    nulls: int = 0
    infinite: int = 0  # NaN included
    low: float | None = None
    high: float | None = None


@dataclass(slots=True)
class SymbolFacts:
    """One symbol's rows: times in microseconds, and its columns' nulls, first and last valid."""

    rows: int = 0
    first: int = 0
    last: int = 0
    nulls: dict[str, int] = field(default_factory=dict)
    valid: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class TableFacts:
    """The whole table, gathered piece by piece."""

    rows: int = 0
    columns: dict[str, ColumnFacts] = field(default_factory=dict)
    symbols: dict[str, SymbolFacts] = field(default_factory=dict)
    unordered: int = 0  # rows not above the row before by (symbol, datetime)
    off_hour: int = 0
    _last: tuple[str, int] | None = None

    def add(self, frame: pl.DataFrame) -> None:
        """Take in the table's next rows (columns as in the table, `datetime` in UTC)."""
        if frame.is_empty():
            return
        self.rows += frame.height
        self._keys(frame)
        nulls = frame.null_count().row(0, named=True)
        for name, facts in _column_facts(frame, nulls).items():
            _merge(self.columns.setdefault(name, ColumnFacts()), facts)
        if frame["symbol"].n_unique() == 1:
            self._symbol(frame, nulls)
            return
        for part in frame.partition_by("symbol", maintain_order=True):
            self._symbol(part, part.null_count().row(0, named=True))

    def _keys(self, frame: pl.DataFrame) -> None:
        time = pl.col("datetime").dt.epoch("us")
        same, later = pl.col("symbol") == pl.col("symbol").shift(), time > time.shift()
        ordered = (same & later) | (pl.col("symbol") > pl.col("symbol").shift())
        self.unordered += frame.select((~ordered).sum()).item()
        self.off_hour += frame.select((time % HOUR_US != 0).sum()).item()
        first, last = (
            (row["symbol"].item(), row["datetime"].dt.epoch("us").item())
            for row in (frame.head(1), frame.tail(1))
        )
        self.unordered += self._last is not None and first <= self._last
        self._last = last

    def _symbol(self, part: pl.DataFrame, nulls: Mapping[str, int]) -> None:
        facts = self.symbols.setdefault(part["symbol"][0], SymbolFacts())
        times = part["datetime"].dt.epoch("us")
        facts.first = times[0] if not facts.rows else facts.first
        facts.last = times[-1]
        facts.rows += part.height
        for name, count in nulls.items():
            if name in KEYS:
                continue
            facts.nulls[name] = facts.nulls.get(name, 0) + count
            if count < part.height:
                first, last = _valid_rows(part[name]) if count else (0, part.height - 1)
                begin = facts.valid[name][0] if name in facts.valid else times[first]
                facts.valid[name] = (begin, times[last])


def _valid_rows(column: pl.Series) -> tuple[int, int]:
    """The first and the last row with a value; there is one."""
    valid = column.is_not_null()
    return valid.arg_max() or 0, len(valid) - 1 - (valid.reverse().arg_max() or 0)


def _column_facts(frame: pl.DataFrame, nulls: Mapping[str, int]) -> dict[str, ColumnFacts]:
    numbers = frame.select(cs.numeric() - cs.by_name(*KEYS))
    if not numbers.width:
        return {name: ColumnFacts(nulls[name]) for name in frame.columns if name not in KEYS}
    low, high = numbers.min().row(0, named=True), numbers.max().row(0, named=True)
    floats = numbers.select(cs.float())
    totals = floats.sum().row(0, named=True) if floats.width else {}
    # what is not finite shows in the total, which may also be too large by itself
    odd = [name for name, total in totals.items() if not math.isfinite(total)]
    infinite = {name: int((~floats[name].is_finite()).sum()) for name in odd}
    return {
        name: ColumnFacts(nulls[name], infinite.get(name, 0), low.get(name), high.get(name))
        for name in frame.columns
        if name not in KEYS
    }


def _merge(into: ColumnFacts, facts: ColumnFacts) -> None:
    into.nulls += facts.nulls
    into.infinite += facts.infinite
    lows = [value for value in (into.low, facts.low) if value is not None]
    highs = [value for value in (into.high, facts.high) if value is not None]
    into.low, into.high = min(lows, default=None), max(highs, default=None)


def examine_table(pieces: Iterable[pl.DataFrame]) -> TableFacts:
    """Look at the table piece by piece, in its own order."""
    facts = TableFacts()
    for piece in pieces:
        facts.add(piece)
    return facts


def table_findings(
    facts: TableFacts,
    floats: Sequence[str],
    windows: Mapping[str, int],
    evidence: tuple[str, ...] = (),
) -> list[Finding]:
    """Infinite, empty and constant columns, rows out of order or off the hour.

    `floats` are the columns in which a constant is suspicious, `windows` how many rows a column
    needs before its first value: a column is only called empty where a symbol has more.
    """
    return [
        Finding(severity, check, SERIES, EVERY, _span(facts), expected, found, evidence)
        for severity, check, expected, found in _told(facts, floats, windows)
    ]


def _told(
    facts: TableFacts, floats: Sequence[str], windows: Mapping[str, int]
) -> Iterator[tuple[Severity, str, str, str]]:
    if facts.unordered:
        expected = "rows sorted by symbol and time, each once"
        found = f"{counted(facts.unordered, 'rows')} not above the one before"
        yield Severity.ERROR, "table-order", expected, found
    if facts.off_hour:
        yield Severity.ERROR, "table-off-hour", "times on the hour", f"{facts.off_hour} are not"
    longest = max((symbol.rows for symbol in facts.symbols.values()), default=0)
    well = CONSTANT_WHEN_WELL | (CONSTANT_ALONE if len(facts.symbols) == 1 else frozenset())
    for name, column in facts.columns.items():
        if column.infinite:
            found = f"{name}: {column.infinite} infinite or NaN values"
            yield Severity.ERROR, "column-infinite", "finite values or null", found
        if facts.rows < ENOUGH_ROWS or longest <= windows.get(name, 0):
            continue
        if column.nulls == facts.rows:
            yield Severity.WARNING, "column-all-null", "values", f"{name}: null in every row"
        elif name in floats and name not in well and column.low == column.high:
            found = f"{name}: {column.low:.10g} in every row"
            yield Severity.WARNING, "column-constant", "values that change", found


def _span(facts: TableFacts) -> TimeRange:
    if not facts.symbols:
        return TimeRange(0, 0)
    first = min(symbol.first for symbol in facts.symbols.values())
    return TimeRange(first, max(symbol.last for symbol in facts.symbols.values()) + HOUR_US)
