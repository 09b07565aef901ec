"""CSV files as every layer has them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from alphaqcm.pipeline.errors import layer_error

CSV_TIME = "%Y-%m-%d %H:%M:%S+00:00"


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """CSV as all layers have it: UTF-8, times `YYYY-MM-DD HH:MM:SS+00:00`, null is empty."""
    try:
        frame.write_csv(path, datetime_format=CSV_TIME)
    except pl.exceptions.PolarsError as error:
        raise layer_error(path, error, "a frame that CSV can hold") from error
