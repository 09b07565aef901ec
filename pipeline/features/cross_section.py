"""Columns that need all symbols of the run: how many there are, medians and means of an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from alphaqcm.pipeline.domain.time import HOUR_US
from alphaqcm.pipeline.features.columns import CROSS_SECTION, schema
from alphaqcm.pipeline.features.factors.segments import Floats, Ints, floats, nullable, times_us
from alphaqcm.pipeline.kernel import kernel

NEEDED = ("datetime", "volume", "funding_rate")
"""Own columns that the cross-section reads of every symbol."""


class Part(Protocol):
    """One symbol's own columns, wherever they lie."""

    @property
    def symbol(self) -> str:
        """The table's name of the symbol."""

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """These own columns, in order of time."""


@dataclass(frozen=True, slots=True)
class CrossSection:
    """Per hour from `first` on, over the symbols that have a row then; hours since the epoch."""

    first: int
    symbols: int  # with at least one row
    size: Ints  # symbols with a row
    listed: Ints  # symbols with a row then or before
    volume_mean: Floats
    funding_median: Floats

    def columns(self, own: pl.DataFrame) -> pl.DataFrame:
        """`CROSS_SECTION` for a symbol's rows; `own` has `NEEDED`."""
        hour = times_us(own["datetime"]) // HOUR_US - self.first
        size = self.size[hour].astype(np.float64)
        mean = self.volume_mean[hour]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = {
                "cs_universe_size": size,
                "cs_coverage_frac": size / self.symbols,
                "funding_pressure": floats(own["funding_rate"]) - self.funding_median[hour],
                "relative_volume": np.where(mean == 0.0, np.nan, floats(own["volume"]) / mean),
                "cs_coverage_frac_pit": size / self.listed[hour],
            }
        return pl.DataFrame(
            [
                nullable(name, values[name]).cast(dtype)
                for name, dtype in schema(CROSS_SECTION).items()
            ]
        )


def cross_section(parts: Sequence[Part]) -> CrossSection:
    """Read what is needed of every symbol, one after another in the order of `parts`.

    Memory: one float an hour and symbol for the funding median, little else. Volumes are added in
    the order of `parts`, so parts in the same order give the same bits.
    """
    frames = (part.read(NEEDED) for part in parts)
    hours: list[Ints] = []
    volumes: list[Floats] = []
    rates: list[Floats] = []
    for frame in frames:
        if frame.height:
            hours.append(times_us(frame["datetime"]) // HOUR_US)
            volumes.append(floats(frame["volume"]))
            rates.append(floats(frame["funding_rate"]))
    if not hours:
        nothing = np.empty(0)
        return CrossSection(0, 0, np.empty(0, np.int64), np.empty(0, np.int64), nothing, nothing)
    first = min(int(hour[0]) for hour in hours)
    length = max(int(hour[-1]) for hour in hours) + 1 - first
    size = np.zeros(length, np.int64)
    listed = np.zeros(length, np.int64)
    volume = np.zeros(length)
    rate = np.full((length, len(hours)), np.nan)
    for i, hour in enumerate(hours):
        size[hour - first] += 1
        listed[hour[0] - first] += 1
        volume[hour - first] += volumes[i]
        rate[hour - first, i] = rates[i]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = volume / size
    return CrossSection(first, len(hours), size, np.cumsum(listed), mean, _medians(rate))


@kernel
def _medians(values: Floats) -> Floats:
    """Median of each line's values that are not NaN; the mean of the middle two if even."""
    out = np.full(values.shape[0], np.nan)
    line = np.empty(values.shape[1])
    for i in range(values.shape[0]):
        n = 0
        for k in range(values.shape[1]):
            value = values[i, k]
            if not np.isnan(value):
                j = n
                while j > 0 and line[j - 1] > value:
                    line[j] = line[j - 1]
                    j -= 1
                line[j] = value
                n += 1
        if n % 2:
            out[i] = line[n // 2]
        elif n:
            out[i] = (line[n // 2 - 1] + line[n // 2]) / 2.0
    return out
