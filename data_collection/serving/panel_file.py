"""Panels as NumPy files: for any program, and as the tensor of formulaic-alpha miners."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alphaqcm.data_collection.serving.panel import Panel
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.atomic_write import atomic_write

STOCK_FEATURES: Final = ("open", "close", "high", "low", "volume", "vwap")
"""The features of `StockData`, in the order of `FeatureType`.

github.com/RL-MLDM/alphagen, alphagen_qlib/stock_data.py, which AlphaQCM has taken over.
"""


def write_panel(panel: Panel, path: Path) -> None:
    """Write `times`, `symbols`, `fields` and `values` as an npz; raises `LayerError`, `DiskFull`.

    `times` are datetime64[us] in UTC, `values` float64 of shape [time, field, symbol]. No array
    needs pickle.
    """
    _write(
        path,
        {
            "times": panel.times,
            "symbols": np.array(panel.symbols, dtype=np.str_),
            "fields": np.array(panel.fields, dtype=np.str_),
            "values": panel.values,
        },
    )


def write_stock_data(panel: Panel, path: Path) -> None:
    """Write what a `StockData` consists of as an npz; raises `LayerError`, `DiskFull`.

    `data` is float32 of shape [date, feature, stock], `dates` datetime64[ns] in UTC, `stock_ids`
    the exchange's names, `features` the fields as given: `STOCK_FEATURES`, further ones after them.
    One step of the first axis is an hour, so the "days" that StockData keeps before and after
    (`max_backtrack_days`, `max_future_days`) are hours.
    """
    names = [Symbol.parse(name, Market.UM).exchange for name in panel.symbols]
    _write(
        path,
        {
            "data": panel.values.astype(np.float32),
            "dates": panel.times.astype("datetime64[ns]"),
            "stock_ids": np.array(names, dtype=np.str_),
            "features": np.array(panel.fields, dtype=np.str_),
        },
    )


def _write(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    # given an open file, NumPy adds no suffix to the temp file's name
    with atomic_write(path) as temp, temp.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
