"""Candle files as bytes: columns, index and the moment they are complete to, both ways.

Rows are arrays: open times in ms since the epoch, and nine doubles a row in the order of `VALUES`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from alphaqcm.data_collection.live.config import SaveType
from alphaqcm.pipeline.candles.schema import PRICES, QUANTITIES

VALUES = (*PRICES, *QUANTITIES)
COLUMNS = ("candle_begin_time", *VALUES)
INDEX = "candle_end_time"
AS_OF = b"as_of"
_TIME = pa.timestamp("ns", "UTC")
_NS = 1_000_000  # nanoseconds a millisecond

Times = np.ndarray[tuple[int], np.dtype[np.int64]]
Numbers = np.ndarray[tuple[int, int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class CandleRows:
    """Candles of one symbol in order of time, and the moment to which they are complete (µs)."""

    open_ms: Times
    values: Numbers
    as_of_us: int


@cache
def _pandas_metadata() -> bytes:
    """What tells pandas which column is the index, as pandas itself writes it."""
    empty = pd.DataFrame({name: pd.Series(dtype="float64") for name in VALUES})
    times = pd.Series(dtype="datetime64[ns, UTC]")
    empty.insert(0, "candle_begin_time", times)
    empty.index = pd.DatetimeIndex(times, name=INDEX)
    return bytes(pa.Schema.from_pandas(empty).metadata[b"pandas"])


def _as_of_text(as_of_us: int) -> bytes:
    return json.dumps({"as_of_us": as_of_us}).encode()


def write_candles(path: Path, rows: CandleRows, interval_ms: int, save_type: SaveType) -> None:
    """Write one candle file at `path`; raises OSError."""
    begins = pa.array(rows.open_ms * _NS, pa.int64()).cast(_TIME)
    columns = [begins, *(pa.array(np.ascontiguousarray(column)) for column in rows.values.T)]
    metadata = {AS_OF: _as_of_text(rows.as_of_us)}
    if save_type is SaveType.FEATHER:
        schema = _schema(COLUMNS, metadata)
        feather.write_feather(
            pa.Table.from_arrays(columns, schema=schema), path, compression="uncompressed"
        )
        return
    ends = pa.array((rows.open_ms + interval_ms) * _NS, pa.int64()).cast(_TIME)
    schema = _schema((*COLUMNS, INDEX), {b"pandas": _pandas_metadata(), **metadata})
    pq.write_table(
        pa.Table.from_arrays([*columns, ends], schema=schema),
        path,
        compression="none",  # written each interval: the time counts, not the size
        use_dictionary=False,
        write_statistics=False,
    )


def _schema(names: tuple[str, ...], metadata: dict[bytes, bytes]) -> pa.Schema:
    times = ("candle_begin_time", INDEX)
    fields = [pa.field(name, _TIME if name in times else pa.float64()) for name in names]
    return pa.schema(fields, metadata=metadata)


def read_candles(path: Path, interval_ms: int, save_type: SaveType) -> CandleRows:
    """Read a candle file of this program or of one with the same layout.

    `as_of_us` is the end of the last row where the file does not tell. Raises ValueError for a file
    that is damaged, of other columns, off the grid or out of order, and OSError.
    """
    try:
        if save_type is SaveType.FEATHER:
            table = feather.read_table(path, use_threads=False, memory_map=False)
        else:
            with pq.ParquetFile(path) as file:
                table = file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{error}".splitlines()[0]) from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise ValueError(f"no column {missing[0]}")
    begins = table.column("candle_begin_time")
    if not pa.types.is_timestamp(begins.type):
        raise ValueError("candle_begin_time is no time")
    open_ms = _numpy(begins.cast(pa.timestamp("ms", begins.type.tz), safe=False)).astype(np.int64)
    values = np.column_stack([_numpy(table.column(name)).astype(np.float64) for name in VALUES])
    if open_ms.size and (
        (open_ms % interval_ms).any() or (np.diff(open_ms) <= 0).any() or np.isnan(values).any()
    ):
        raise ValueError("rows off the grid, out of order or without a value")
    told = (table.schema.metadata or {}).get(AS_OF)
    as_of = int(json.loads(told)["as_of_us"]) if told else 0
    if not as_of and open_ms.size:
        as_of = int(open_ms[-1] + interval_ms) * 1000
    return CandleRows(open_ms, values.reshape(-1, len(VALUES)), as_of)


def _numpy(column: pa.ChunkedArray) -> Any:
    return column.to_numpy() if column.null_count == 0 else column.to_pandas().to_numpy()
