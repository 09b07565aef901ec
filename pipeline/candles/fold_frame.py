"""Frames of candles folded into coarser ones, at one offset or at all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.pipeline.candles.fold import (
    CANDLE_FOLDS,
    Fold,
    Folded,
    Holes,
    Ints,
    Values,
    fold_every_offset,
    fold_windows,
    folds_for,
)
from alphaqcm.pipeline.candles.window_grid import MINUTE_US, WindowGrid, interval_us
from alphaqcm.pipeline.errors import TableError

UTC_US: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class CandleFrame:
    """How a frame of candles is to be read.

    `time` names the column of the instants at which the candles begin (Datetime), `symbol` that of
    the symbols in a long frame, None where all rows are one symbol's. `folds` tells how each other
    column is folded.
    """

    time: str = "minute"
    symbol: str | None = None
    folds: Mapping[str, Fold] = field(default_factory=lambda: CANDLE_FOLDS)
    count: str = "n_minutes"  # of partial windows: the parts that are there, Int32


def fold_frame(
    frame: pl.DataFrame,
    grid: WindowGrid,
    holes: Holes | str = Holes.STRICT,
    *,
    until: datetime | None = None,
    layout: CandleFrame | None = None,
) -> pl.DataFrame:
    """Candles of `grid.part_us` in, windows of `grid.window_us` out: one row a window, in order.

    `frame` is sorted by (symbol, time), unique; the result has its columns, the time being the
    window's start (Datetime[us, UTC]), and with partial windows `layout.count`. Nulls as `Fold`
    says. `until` is the instant (UTC) up to which candles are known: a window that ends later is
    not finished and left out; without it, the end of the last candle of the frame. Raises
    `TableError` for rows out of order or beside the grid and for columns without a fold.
    """
    layout = layout or CandleFrame()
    read = _Read.of(frame, grid.part_us, layout)
    folded = fold_windows(
        read.columns, grid.k, holes, position=read.position(grid), folds=read.folds
    )
    first = read.time[folded.first]
    start = first - (first - grid.origin_us) % grid.window_us
    done = read.finished(start, grid, until)
    return read.frame(folded, start, done, counted=Holes(holes) is Holes.PARTIAL)


def fold_frame_offsets(
    frame: pl.DataFrame,
    part: str,
    window: str,
    *,
    until: datetime | None = None,
    layout: CandleFrame | None = None,
) -> dict[str, pl.DataFrame]:
    """The strict windows at every offset, folded in one go: `{"0m": frame, "5m": frame, …}`.

    The same rows, to the bit, as `fold_frame` gives for each offset. Raises like `fold_frame`.
    """
    layout = layout or CandleFrame()
    part_us, window_us = interval_us(part), interval_us(window)
    grid = WindowGrid(part_us, window_us)
    read = _Read.of(frame, part_us, layout)
    every = fold_every_offset(read.columns, grid.k, position=read.position(grid), folds=read.folds)
    start = read.time[every.windows.first]
    done = read.finished(start, grid, until)
    folded = read.frame(every.windows, start, done)
    stops = np.concatenate(([0], np.cumsum(done)))
    return {
        f"{offset * part_us // MINUTE_US}m": folded[int(stops[first]) : int(stops[stop])]
        for offset, (first, stop) in enumerate(every.bounds())
    }


@dataclass(frozen=True, slots=True)
class _Read:
    """A frame as arrays, with what is needed to make a frame of its windows."""

    source: pl.DataFrame
    layout: CandleFrame
    time: Ints  # microseconds since the epoch, shape (rows,)
    run: Ints | None  # number of each row's symbol, in order of appearance
    part_us: int
    folds: dict[str, Fold]
    columns: dict[str, Values]

    @classmethod
    def of(cls, frame: pl.DataFrame, part_us: int, layout: CandleFrame) -> _Read:
        keys = [layout.time, *([layout.symbol] if layout.symbol else [])]
        if missing := [name for name in keys if name not in frame.columns]:
            raise TableError("candles to fold", expected="columns " + ", ".join(missing))
        folds = folds_for((name for name in frame.columns if name not in keys), layout.folds)
        if not isinstance(frame.schema[layout.time], pl.Datetime):
            raise TableError(
                f"column {layout.time} of the candles to fold",
                expected="instants (Datetime, UTC)",
                found=str(frame.schema[layout.time]),
            )
        time = frame[layout.time].dt.epoch("us").to_numpy()
        if frame[layout.time].null_count() or (time - time // part_us * part_us).any():
            raise TableError(
                "candles to fold",
                expected=f"candles that begin at whole multiples of {part_us // MINUTE_US} minutes",
                found="others",
            )
        run = None if layout.symbol is None else _runs(frame[layout.symbol])
        columns = {name: _array(frame[name], fold) for name, fold in folds.items()}
        return cls(frame, layout, time, run, part_us, folds, columns)

    def position(self, grid: WindowGrid) -> Ints:
        """Numbers of the rows on the grid; those of different symbols share no window."""
        rows: Ints = (self.time - grid.origin_us) // self.part_us
        if self.run is None or not rows.size:
            return rows
        return rows + self.run * self._apart(rows, grid.k)

    def _apart(self, rows: Ints, k: int) -> int:
        return (int(rows.max() - rows.min()) // k + 2) * k

    def finished(
        self, start: Ints, grid: WindowGrid, until: datetime | None
    ) -> npt.NDArray[np.bool_]:
        """Whether the windows that start at `start` ended by `until`."""
        known = (int(self.time.max()) + self.part_us) if self.time.size else 0
        if until is not None:
            known = round(until.timestamp() * 1e6)
        return np.asarray(start <= known - grid.window_us)

    def frame(
        self, folded: Folded, start: Ints, done: npt.NDArray[np.bool_], *, counted: bool = False
    ) -> pl.DataFrame:
        """The finished windows as a frame with the source's columns."""
        keep = None if done.all() else np.flatnonzero(done)
        taken: list[pl.Series] = []
        for name, dtype in self.source.schema.items():
            if name == self.layout.time:
                taken.append(pl.Series(name, _take(start, keep)).cast(UTC_US))
            elif name == self.layout.symbol:
                taken.append(self.source[name].gather(_take(folded.first, keep)))
            else:
                values = _take(folded.columns[name], keep)
                taken.append(_series(name, values, dtype, self.folds[name]))
        if counted:
            parts = _take(folded.parts, keep)
            taken.append(pl.Series(self.layout.count, parts, dtype=pl.Int32))
        return pl.DataFrame(taken)


def _take(values: Values, keep: Ints | None) -> Values:
    return values if keep is None else values[keep]


def _runs(symbols: pl.Series) -> Ints:
    """0, 1, 2, … by symbol; a symbol's rows lie together."""
    if not len(symbols):
        return np.empty(0, np.int64)
    run = (symbols != symbols.shift(1)).fill_null(value=False).cum_sum().cast(pl.Int64).to_numpy()
    if symbols.null_count() or int(run[-1]) + 1 != symbols.n_unique():
        raise TableError(
            "candles to fold",
            expected="the rows of each symbol together",
            found="rows of several symbols mixed, or without one",
            next_step="sort them by symbol and time",
        )
    return np.asarray(run)


def _array(values: pl.Series, fold: Fold) -> Values:
    """float64 or int64; a missing value is NaN."""
    dtype = values.dtype
    if not (dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean):
        raise TableError(
            f"column {values.name} of the candles to fold",
            expected="numbers, instants or flags",
            found=str(dtype),
        )
    if dtype.is_temporal() and fold is Fold.SUM:
        raise TableError(
            f"column {values.name} of the candles to fold",
            expected="a fold that instants have",
            found=str(fold),
        )
    whole = not dtype.is_float()
    if whole:
        values = values.to_physical().cast(pl.Int64)
    array: Values = (
        values.cast(pl.Float64).to_numpy()
        if values.null_count() or not whole
        else (values.to_numpy())
    )
    return array


def _series(name: str, values: Values, dtype: pl.DataType, fold: Fold) -> pl.Series:
    """The column in its own type, NaN as null; sums of narrow integers and of flags are Int64."""
    series = pl.Series(name, values)
    if values.dtype.kind == "f" and np.isnan(values).any():
        series = series.fill_nan(None)
    if fold is Fold.SUM and (dtype.is_integer() or dtype == pl.Boolean):
        return series.cast(pl.Int64)
    if dtype.is_temporal():
        return series.cast(pl.Int64).cast(dtype)
    return series if series.dtype == dtype else series.cast(dtype)
