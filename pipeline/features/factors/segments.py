"""Hours as slices of sorted rows, and sums over them in one fixed order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.pipeline.kernel import kernel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

TIME: pl.DataType = pl.Datetime("us", "UTC")


def starts_of(keys: Ints) -> Ints:
    """Index of the first row of each run of equal `keys` (sorted), and the length at the end."""
    if keys.size == 0:
        return np.zeros(1, dtype=np.int64)
    edges = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    return np.concatenate(([0], edges, [keys.size])).astype(np.int64)


def times_us(times: pl.Series) -> Ints:
    """Microseconds since the epoch of a Datetime column without nulls."""
    return times.cast(TIME).to_physical().to_numpy().astype(np.int64, copy=False)


def floats(column: pl.Series) -> Floats:
    """The column as contiguous float64; null becomes NaN."""
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.ascontiguousarray(values, dtype=np.float64)


def time_series(name: str, us: Ints) -> pl.Series:
    """Microseconds since the epoch as a UTC Datetime column."""
    return pl.Series(name, us, dtype=pl.Int64).cast(TIME)


def nullable(name: str, values: Floats) -> pl.Series:
    """The values as a column; what is no finite number is null."""
    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    if finite.all():
        return pl.Series(name, values, dtype=pl.Float64)
    return pl.Series(name, np.where(finite, values, np.nan), dtype=pl.Float64, nan_to_null=True)


@kernel
def segment_sums(values: Floats, starts: Ints) -> Floats:
    """Sum of each slice `starts[i]:starts[i+1]`, first row to last."""
    out = np.empty(starts.size - 1)
    for i in range(starts.size - 1):
        total = 0.0
        for j in range(starts[i], starts[i + 1]):
            total += values[j]
        out[i] = total
    return out


@kernel
def segment_extremes(values: Floats, starts: Ints) -> tuple[Floats, Floats]:
    """Smallest and largest value of each slice."""
    low = np.empty(starts.size - 1)
    high = np.empty(starts.size - 1)
    for i in range(starts.size - 1):
        smallest = largest = values[starts[i]]
        for j in range(starts[i] + 1, starts[i + 1]):
            smallest = min(smallest, values[j])
            largest = max(largest, values[j])
        low[i] = smallest
        high[i] = largest
    return low, high
