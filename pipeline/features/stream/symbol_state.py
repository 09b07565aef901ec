"""What the next hour of one symbol needs of its hours so far, kept small and exact.

Windows are added up anew from the rows kept, by the functions that the whole table is made with.
Two things look at all rows: the running quantile, whose two heaps are kept, and the last trade.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from alphaqcm.pipeline.features.factors.rolling import DAY_ROWS, MATURE_ROWS, NO_TRADE, WEEK_ROWS
from alphaqcm.pipeline.features.factors.segments import floats, times_us
from alphaqcm.pipeline.features.factors.windows import (
    SPIKE_ROWS,
    RunningQuantile,
    gap_flags,
    rolling_mean,
    true_ranges,
    volume_spike_at,
)

STATE_COLUMNS: Final = ("datetime", "high", "low", "close", "volume", "vwap", "rv_std_sqrt60")
"""What a state is made of: these columns of all rows so far."""

_KEPT: Final = WEEK_ROWS + 1  # rows that the longest window looks at, this one included
_ROOM: Final = 4 * _KEPT
_HIGH, _LOW, _CLOSE, _VOLUME, _REALIZED = range(5)


class HourBar(NamedTuple):
    """What a new row adds to the state; vwap and realized are NaN where undefined."""

    hour_us: int
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    realized: float  # rv_std_sqrt60


class RowLook(NamedTuple):
    """What a row's formulas need of the rows before it; NaN where undefined."""

    close_before: float
    close_day: float
    close_week: float
    volume_day: float
    realized_day: float
    realized_week: float
    true_range: float
    vwap: float  # carried over hours without volume
    gap_seconds: float
    row_span_us: float
    since_trade_us: float
    quantile: float  # 0.99 of the volumes so far
    resumed: bool
    cooling: bool
    volume_spike: bool
    mature: bool


class SymbolState:
    """The rows of one symbol so far, as far as the next one looks back."""

    __slots__ = ("_last_trade", "_quantile", "_size", "_times", "_values", "_vwap", "rows")

    def __init__(self) -> None:
        self.rows = 0  # all rows so far
        self._size = 0  # of these, rows kept
        self._times = np.zeros(_ROOM, np.int64)
        self._values = np.zeros((5, _ROOM))
        self._vwap = float("nan")
        self._last_trade = NO_TRADE
        self._quantile = RunningQuantile()

    @classmethod
    def warm(cls, rows: pl.DataFrame) -> SymbolState:
        """The state after `rows`: `STATE_COLUMNS` of all rows so far, in order of time."""
        state = cls()
        if not rows.height:
            return state
        volume, times = floats(rows["volume"]), times_us(rows["datetime"])
        state._quantile.extend(volume)
        traded = np.flatnonzero(volume > 0)
        if traded.size:
            state._last_trade = int(times[traded[-1]])
        state._vwap = float(floats(rows["vwap"].forward_fill().tail(1))[0])
        state.rows = rows.height
        state._size = size = min(rows.height, _KEPT)
        state._times[:size] = times[-size:]
        for place, name in enumerate(("high", "low", "close", "volume", "rv_std_sqrt60")):
            state._values[place, :size] = floats(rows[name])[-size:]
        return state

    @property
    def last_us(self) -> int:
        """The hour of the last row, microseconds since the epoch; -1 before the first."""
        return int(self._times[self._size - 1]) if self._size else -1

    def push(self, bar: HourBar) -> RowLook:
        """Add the next row; what its formulas need. Rows come in order of time."""
        self._append(bar)
        n, values, times = self._size, self._values, self._times
        close, volume, realized = values[_CLOSE], values[_VOLUME], values[_REALIZED]
        gap, resumed, cooling = gap_flags(times[max(0, n - 4) : n])
        day = slice(max(0, n - DAY_ROWS - 1), n)
        ranges = true_ranges(values[_HIGH, day], values[_LOW, day], close[day])
        spikes = volume[max(0, n - SPIKE_ROWS) : n]
        week_ago = times[n - 1 - WEEK_ROWS] if n > WEEK_ROWS else None
        return RowLook(
            close_before=_back(close, n, 1),
            close_day=_back(close, n, DAY_ROWS),
            close_week=_back(close, n, WEEK_ROWS),
            volume_day=_mean(volume[:n], DAY_ROWS),
            realized_day=_mean(realized[:n], DAY_ROWS),
            realized_week=_mean(realized[:n], WEEK_ROWS),
            true_range=_mean(ranges, DAY_ROWS),
            vwap=self._vwap,
            gap_seconds=float(gap[-1]),
            row_span_us=float("nan") if week_ago is None else float(bar.hour_us - week_ago),
            since_trade_us=(
                float("nan") if self._last_trade < 0 else float(bar.hour_us - self._last_trade)
            ),
            quantile=float(self._quantile.extend(volume[n - 1 : n])[0]),
            resumed=bool(resumed[-1]),
            cooling=bool(cooling[-1]),
            volume_spike=bool(volume_spike_at(spikes, spikes.size - 1)),
            mature=self.rows > MATURE_ROWS,
        )

    def _append(self, bar: HourBar) -> None:
        if self._size == _ROOM:
            self._times[:_KEPT] = self._times[-_KEPT:].copy()
            self._values[:, :_KEPT] = self._values[:, -_KEPT:].copy()
            self._size = _KEPT
        place = self._size
        self._times[place] = bar.hour_us
        self._values[:, place] = (bar.high, bar.low, bar.close, bar.volume, bar.realized)
        if bar.vwap == bar.vwap:  # no NaN: the hour has volume
            self._vwap = bar.vwap
        if bar.volume > 0:
            self._last_trade = bar.hour_us
        self._size += 1
        self.rows += 1


def _back(values: np.ndarray[tuple[int], np.dtype[np.float64]], size: int, rows: int) -> float:
    """The value `rows` rows before the last of `size`."""
    return float(values[size - 1 - rows]) if size > rows else float("nan")


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]], rows: int) -> float:
    """Mean of the last `rows` values, as `rolling_mean` adds them; NaN where there are fewer."""
    return float(rolling_mean(values[-rows:], rows)[-1]) if values.size >= rows else float("nan")
