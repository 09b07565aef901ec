"""The final table grown by new days: old rows from the table itself, only new ones computed.

A row depends on the hours before it and on the symbols beside it, never on later ones, but for the
columns that look over the whole range; those are computed again for every row. So the grown table
is, byte for byte, the one that a full build gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.columns import TAIL_ROWS, VERSION, schema
from pipeline.cross_section import cross_section
from pipeline.errors import LayerError
from pipeline.factors.assemble import Days, moment, own_columns
from pipeline.factors.rows import NOTHING_BEFORE, SEEDS, Before, with_volume_clean
from pipeline.factors.segments import floats
from pipeline.hourly import Span
from pipeline.keys import ArchiveFile, Period, Symbol
from pipeline.layers import Fingerprint, Input, Layout, read_footer
from pipeline.symbol_table import read_inputs
from pipeline.table_file import TableOptions, write_table
from pipeline.wide import LAYER, WideTable, wide_frames


class OldTable:
    """The final table at hand, read symbol by symbol; its groups hold one symbol each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _groups(self) -> dict[str, list[int]]:
        metadata = pq.read_metadata(self.path)
        groups: dict[str, list[int]] = {}
        for number in range(metadata.num_row_groups):
            name = metadata.row_group(number).column(0).statistics.min
            groups.setdefault(str(name), []).append(number)
        return groups

    def read(self, symbol: str, columns: Sequence[str]) -> pl.DataFrame | None:
        """A symbol's rows; None where the table has none of it. Raises `LayerError`."""
        try:
            groups = self._groups.get(symbol)
            if groups is None:
                return None
            with pq.ParquetFile(self.path) as file:
                frame = pl.from_arrow(file.read_row_groups(groups, columns=list(columns)))
        except (OSError, pa.ArrowException) as error:
            raise LayerError(
                self.path,
                expected="the final table of the last run",
                found=str(error).splitlines()[0],
                next_step="alphaqcm run makes it anew",
            ) from error
        return frame if isinstance(frame, pl.DataFrame) else None


@dataclass(frozen=True, slots=True)
class Growth:
    """What a symbol's rows become: the old ones before `since`, then `rows` (own columns)."""

    symbol: str  # the table's name
    since: date | None  # None: no input changed, all old rows stay
    rows: pl.DataFrame | None
    fingerprint: Fingerprint  # of the symbol's own columns
    metrics_last: str | None


def grow(
    layout: Layout,
    symbol: Symbol,
    span: Span,
    since: date | None,
    fingerprint: Fingerprint,
    metrics_last: str | None,
) -> Growth:
    """Compute the rows of `symbol` from day `since` on; `metrics_last` is the old table's."""
    if since is None:
        return Growth(symbol.table, None, None, fingerprint, metrics_last)
    old = OldTable(layout.final_table()).read(symbol.table, SEEDS)
    before = NOTHING_BEFORE
    if old is not None and since > span.start:
        kept = old.filter(pl.col("datetime") < moment(since))
        if kept.height:
            before = Before(kept.tail(TAIL_ROWS), floats(kept["volume"]))
    inputs = read_inputs(layout, symbol, span, since)
    days = Days(span.start, span.end, since)
    rows, last = own_columns(symbol.table, inputs, days, before)
    return Growth(symbol.table, since, rows, fingerprint, last or metrics_last)


@dataclass(frozen=True, slots=True)
class GrownPart:
    """A symbol's own columns, old rows and new, for the cross-section and the file."""

    old: OldTable
    growth: Growth

    @property
    def symbol(self) -> str:
        """The table's name of the symbol."""
        return self.growth.symbol

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """These own columns, in order of time."""
        wanted = list(dict.fromkeys([*columns, "datetime", "volume"]))
        frame = self.old.read(self.symbol, wanted)
        new = self.growth.rows
        if new is not None and self.growth.since is not None:
            new = new.select(wanted)
            cut = moment(self.growth.since)
            frame = (
                new if frame is None else pl.concat([frame.filter(pl.col("datetime") < cut), new])
            )
        if frame is None:
            return pl.DataFrame(schema=schema(tuple(columns)))
        if "volume_clean" in columns:
            frame = with_volume_clean(frame)
        return frame.select(columns)


def write_grown(
    layout: Layout, growths: Iterable[Growth], span: Span, options: TableOptions
) -> WideTable:
    """Write the grown table in the old one's place; who reads the old one keeps it.

    Symbols without a row are left out, as a full build leaves them out.
    """
    path = layout.final_table()
    old = OldTable(path)
    ordered = sorted(growths, key=lambda growth: growth.symbol.encode())
    parts = [
        part for growth in ordered if (part := GrownPart(old, growth)).read(["datetime"]).height
    ]
    fingerprint = Fingerprint(
        LAYER,
        VERSION,
        tuple(Input(part.symbol, part.growth.fingerprint.digest) for part in parts),
        (*options.parameters, ("end", span.end.isoformat()), ("start", span.start.isoformat())),
    )
    report: Mapping[str, Any] = {
        "metrics_last": {part.symbol: part.growth.metrics_last for part in parts}
    }
    section = cross_section(parts)
    held = write_table(wide_frames(parts, section), path, fingerprint, options, report)
    return WideTable(path, held, built=True)


def first_change(old: Mapping[str, str], new: Mapping[str, str], month: Period) -> date | None:
    """The first day that can differ in a month file, None where nothing changed.

    `old` and `new` are the archive files it was made of, key -> SHA-256: where files were only
    added, the first day of the first of them, else the month's.
    """
    if old == new:
        return None
    if old.items() <= new.items():
        return min(ArchiveFile.parse(key).period.start for key in new.keys() - old.keys())
    return month.start


def changed_months(old: Mapping[str, str], new: Mapping[str, str]) -> set[str]:
    """Inputs (`field/YYYY-MM`) of a symbol's fingerprint that differ between two of them."""
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def table_inputs(path: Path) -> dict[str, str]:
    """The digests of the symbols' fingerprints that the table at `path` was made of."""
    footer = read_footer(path) or {}
    return dict(footer.get("fingerprint", {}).get("inputs", []))
