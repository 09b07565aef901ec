"""The wide table as an array of numbers: [time, field, symbol], every hour there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.serving.layer_reader import LayerReader
from alphaqcm.data_collection.serving.lazy_symbols import KEYS, Cut
from alphaqcm.pipeline.features.columns import COLUMNS, REGISTRY, DType

HOUR = np.timedelta64(1, "h")
VALID = "is_valid_for_training"
NUMBERS = tuple(n for n in COLUMNS if REGISTRY[n].dtype not in (DType.STRING, DType.TIME))
"""Columns of the wide table that an array can hold: numbers, counts and flags."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Values of shape [time, field, symbol]; NaN where there is no row or the value is null."""

    times: npt.NDArray[np.datetime64]  # datetime64[us], UTC; one hour apart, without a gap
    fields: list[str]
    symbols: list[str]  # in the table's notation
    values: npt.NDArray[np.float64]


def require_columns(names: str | Sequence[str] | None) -> list[str]:
    """The columns named, each once, all for None; raises `UsageError` for one that is none."""
    if names is None:
        return list(COLUMNS)
    if isinstance(names, str):
        names = [names]
    if wrong := [name for name in names if name not in REGISTRY]:
        near = difflib.get_close_matches(wrong[0], COLUMNS, n=3)
        raise UsageError(
            "columns " + ", ".join(wrong),
            expected="columns of the wide table" + (f", such as {', '.join(near)}" if near else ""),
            found="others",
            next_step="alphaqcm columns lists them",
        )
    return list(dict.fromkeys(names))


def require_numbers(names: str | Sequence[str]) -> list[str]:
    """The columns named, each once; raises `UsageError` for none at all and for one of no number.

    `KEYS` and instants are no numbers.
    """
    wanted = require_columns(names)
    if wrong := [name for name in wanted if name not in NUMBERS]:
        raise UsageError(
            "fields " + ", ".join(wrong),
            expected="columns of numbers or flags",
            found="names or instants",
        )
    if not wanted:
        raise UsageError("fields", expected="one or more columns", found="an empty list")
    return wanted


def read_panel(
    reader: LayerReader, cut: Cut, fields: Sequence[str], *, valid: bool, variant: str = ""
) -> Panel:
    """The panel of `fields` (see `require_numbers`), symbols in the cut's order or the table's.

    The axis of time has every hour from the first row to the last. With `valid`, rows that are not
    valid for training are as if they were not there. Raises as `LayerReader.final` does.
    """
    frame = reader.final(cut, variant)
    if valid:
        frame = frame.filter(pl.col(VALID) == 1)
    rows = frame.select(*KEYS, *fields).collect()
    if cut.symbols is None:
        names = reader.final_symbols(variant)
    else:
        names = [symbol.table for symbol in cut.symbols]
    hours = rows["datetime"].to_numpy().astype("datetime64[us]")
    if not rows.height:
        return Panel(hours, list(fields), names, np.full((0, len(fields), len(names)), np.nan))
    first = hours.min()
    row = ((hours - first) // HOUR).astype(np.int64)
    place = rows["symbol"].replace_strict(names, range(len(names)), return_dtype=pl.Int64)
    values = np.full((int(row.max()) + 1, len(fields), len(names)), np.nan)
    for number, name in enumerate(fields):
        values[row, number, place.to_numpy()] = rows[name].cast(pl.Float64).to_numpy()
    return Panel(first + np.arange(len(values)) * HOUR, list(fields), names, values)
