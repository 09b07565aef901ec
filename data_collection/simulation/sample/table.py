"""Rows of one archive type as whole numbers, and their exact text.

A `Table` holds int64 columns in file order; a decimal is its digits and a scale, so nothing is
rounded on the way into the CSV. `render` is the only place that knows how a file spells things.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NULL = np.iinfo(np.int64).min
"""Stands for an empty field."""


class Style(StrEnum):
    """How a column is spelled."""

    INT = "int"
    DECIMAL = "decimal"
    FLAG = "flag"  # 0 or 1, spelled false or true
    EPOCH = "epoch"  # held in microseconds
    CLOCK = "clock"  # held in microseconds, spelled YYYY-MM-DD HH:MM:SS
    TEXT = "text"  # the same text in every row


@dataclass(frozen=True, slots=True)
class Cells:
    """One column: `values / 10**scale`, printed with `places` decimals."""

    values: Ints
    style: Style = Style.INT
    scale: int = 0
    places: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one series. `at` is each row's own moment in us, whatever its label says."""

    at: Ints
    cells: dict[str, Cells]

    def __len__(self) -> int:
        return len(self.at)

    def take(self, index: Ints | Mask) -> Table:
        """The rows at `index`, in its order."""
        return Table(
            self.at[index],
            {name: replace(c, values=c.values[index]) for name, c in self.cells.items()},
        )

    def between(self, start_us: int, end_us: int) -> Table:
        """The rows of [start, end); rows are in order of `at`."""
        first, last = np.searchsorted(self.at, [start_us, end_us])
        if first == 0 and last == len(self):
            return self
        return self.take(np.arange(first, last))

    def with_values(self, name: str, values: Ints) -> Table:
        """The same rows with one column's numbers replaced."""
        return Table(self.at, {**self.cells, name: replace(self.cells[name], values=values)})


def concat(tables: Sequence[Table]) -> Table:
    """The rows of all `tables`, one after another; they have the same columns."""
    if len(tables) == 1:
        return tables[0]
    return Table(
        np.concatenate([table.at for table in tables]),
        {
            name: replace(c, values=np.concatenate([t.cells[name].values for t in tables]))
            for name, c in tables[0].cells.items()
        },
    )


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a file spells its rows."""

    header: tuple[str, ...] = ()  # empty: no header row
    microseconds: bool = False
    capital_flags: bool = False  # True and False, as spot files have them
    columns: tuple[str, ...] = ()  # another order of the columns; empty: the table's own


def header_line(spelling: Spelling) -> bytes:
    """The header row, empty when the file has none."""
    return (",".join(spelling.header) + "\n").encode() if spelling.header else b""


def render(table: Table, spelling: Spelling) -> bytes:
    """The rows as CSV text, LF line ends, without the header row."""
    if not len(table):
        return b""
    names = spelling.columns or tuple(table.cells)
    frame = pl.DataFrame([_series(name, table.cells[name], spelling) for name in names])
    text = io.BytesIO()
    frame.write_csv(text, include_header=False)
    return text.getvalue()


def _series(name: str, cells: Cells, spelling: Spelling) -> pl.Series:
    values = cells.values
    match cells.style:
        case Style.EPOCH:
            return pl.Series(name, values if spelling.microseconds else values // 1000)
        case Style.CLOCK:
            stamps = pl.Series(name, values).cast(pl.Datetime("us"))
            return stamps.dt.strftime("%Y-%m-%d %H:%M:%S")
        case Style.FLAG:
            words = ["False", "True"] if spelling.capital_flags else ["false", "true"]
            return pl.Series(name, np.array(words, dtype=object)[values], dtype=pl.String)
        case Style.TEXT:
            return pl.Series(name, [cells.text], dtype=pl.String).new_from_index(0, len(values))
        case Style.DECIMAL if cells.places:
            return _decimals(name, cells)
        case _:
            whole = values // 10**cells.scale if cells.scale else values
            series = pl.Series(name, whole)
            return (
                series
                if not (values == NULL).any()
                else series.set(pl.Series(values == NULL), None)
            )


def _decimals(name: str, cells: Cells) -> pl.Series:
    """Digits and scale as a decimal column: exact, and printed with all its places."""
    values, scale = cells.values, cells.scale
    if cells.places < scale:
        values, scale = values // 10 ** (scale - cells.places), cells.places
    wide = np.empty((len(values), 2), dtype=np.int64)
    wide[:, 0] = values
    wide[:, 1] = values >> 63  # the sign, carried into the upper half
    missing = cells.values == NULL
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    array = pa.Array.from_buffers(
        pa.decimal128(38, scale), len(values), [valid, pa.py_buffer(wide)]
    )
    series = pl.Series(name, array)
    return series if scale == cells.places else series.cast(pl.Decimal(38, cells.places))
