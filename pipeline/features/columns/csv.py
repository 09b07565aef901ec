"""Columns of the table as CSV and back, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.features.columns import REGISTRY, DType

_OFFSET = "+00:00"
_SECONDS = "%Y-%m-%d %H:%M:%S"
_MILLISECONDS = "%Y-%m-%d %H:%M:%S%.3f"
_WITH_MILLISECONDS = ("feature_time",)


def csv_form(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the times that have milliseconds as text: the CSVs' time format has none."""
    return frame.with_columns(
        pl.col(name).dt.strftime(_MILLISECONDS + _OFFSET)
        for name in _WITH_MILLISECONDS
        if name in frame.columns
    )


def read_csv(path: Path, names: Sequence[str], again: str) -> pl.DataFrame:
    """A CSV of these columns, in this order, with the registry's types.

    `again` is the command that writes such a file. Raises `LayerError` for any other file.
    """
    times = [name for name in names if REGISTRY[name].dtype is DType.TIME]
    types = {name: pl.String() if name in times else REGISTRY[name].dtype.polars for name in names}
    try:
        frame = pl.read_csv(path, schema_overrides=types, glob=False)
        if frame.columns != list(names):
            raise LayerError(
                path,
                expected=f"the {len(names)} columns {names[0]}, {names[1]}, … {names[-1]}",
                found=f"{frame.width} columns: {', '.join(frame.columns[:3])}, …",
                next_step=f"write it again with: {again}",
            )
        return frame.with_columns(_time(name) for name in times)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LayerError(
            path,
            expected=f"a CSV of {len(names)} columns of the table",
            found=str(error).splitlines()[0],
            next_step=f"write it again with: {again}",
        ) from error


def _time(name: str) -> pl.Expr:
    form = _MILLISECONDS if name in _WITH_MILLISECONDS else _SECONDS
    time = pl.col(name).str.strip_suffix(_OFFSET).str.to_datetime(form, time_unit="us")
    return time.dt.replace_time_zone("UTC")
