"""Hours at every offset from the complete calendar of minutes, with vwap and funding carried.

    candles/{trade type}_{interval}_holo_resample/{0m,1m,…}/{SYMBOL}.parquet

A candle's columns, then `vwap` (weighted by volume, within [low, high]), `funding_rate` and
`funding_time` of the window's last settlement (null where there is none), and `n_filled`, the
minutes that were filled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from alphaqcm.data_collection.build.candles.holo import HoloSource
from alphaqcm.data_collection.build.candles.resample import ResampleResult
from alphaqcm.data_collection.build.candles.store import FOLDER
from alphaqcm.pipeline.candles.resample import Windows, resample
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA, offset_name
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, Input

VERSION = 1


@dataclass(frozen=True, slots=True)
class HoloResampleJob:
    """What to make."""

    source: HoloSource
    root: Path
    interval: str
    offsets: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """Where the files go."""
        return self.root / FOLDER / f"{self.source.trade_type}_{self.interval}_holo_resample"


def resample_holo(job: HoloResampleJob, progress: Callable[[str], object]) -> ResampleResult:
    """Make the windows of every calendar; raises `LayerError`, `DiskFull`, `BadName`."""
    grid = WindowGrid.of(job.source.interval, job.interval)
    result = ResampleResult()
    for symbol in job.source.symbols():
        begins, columns, digest = job.source.load(symbol)
        windows = resample(begins, columns, grid, job.offsets)
        frame = _frame(windows)
        fingerprint = Fingerprint(f"{FOLDER}/holo_resample", VERSION, (Input(symbol, digest),))
        for offset, (first, last) in zip(windows.offsets, windows.bounds, strict=True):
            path = job.folder / offset_name(offset) / f"{symbol}.parquet"
            Artifact(path, fingerprint).write(frame[first:last], {"rows": last - first})
            result.files += 1
        result.symbols += 1
        result.windows += frame.height
        if not frame.height:
            result.short.append(symbol)
        progress(symbol)
    return result


def _frame(windows: Windows) -> pl.DataFrame:
    volume = pl.col("volume")
    vwap = pl.when(volume > 0).then(pl.col("vwap_volume") / volume).otherwise(pl.col("close"))
    return pl.DataFrame(windows.columns).select(
        *(pl.col(name).cast(kind) for name, kind in CANDLE_SCHEMA.items()),
        vwap.clip(pl.col("low"), pl.col("high")).alias("vwap"),
        pl.col("funding_rate").fill_nan(None),
        pl.col("funding_time").fill_nan(None).cast(pl.Int64).cast(pl.Datetime("us", "UTC")),
        pl.col("is_filled").cast(pl.Int32).alias("n_filled"),
    )
