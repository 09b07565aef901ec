"""Candles of one symbol folded to a longer interval at many offsets.

The windows are `fold`'s: left to right in time order. strict keeps a window with every candle in
it. seed keeps what the published pandas program keeps, whose test looks at a window's first begin
and last end only: holes inside pass, a window that lacks its first or last candle does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from alphaqcm.pipeline.candles.fold import (
    CANDLE_FOLDS,
    Fold,
    Folded,
    Holes,
    Ints,
    Values,
    fold_every_offset,
    fold_windows,
)
from alphaqcm.pipeline.candles.window_grid import WindowGrid


class WindowRule(StrEnum):
    """Which windows are kept."""

    STRICT = "strict"
    SEED = "seed"


HOLO_FOLDS: Final[Mapping[str, Fold]] = {
    "is_filled": Fold.SUM,  # how many of the minutes were filled
    "vwap_volume": Fold.SUM,  # vwap x volume: the window's vwap weighs by volume
    "funding_rate": Fold.LAST_KNOWN,
    "funding_time": Fold.LAST_KNOWN,
}
"""Columns that the complete calendar has beside a candle's."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of every wanted offset, one offset after the other.

    `columns` hold candle_end_time and candle_begin_time (int64, microseconds) and the folded ones,
    each of shape (windows,); `bounds[i]` are the first row of `offsets[i]` and the one after its
    last.
    """

    offsets: tuple[int, ...]  # microseconds
    bounds: tuple[tuple[int, int], ...]
    columns: dict[str, Values]


def resample(
    begin_us: Ints,
    columns: Mapping[str, Values],
    grid: WindowGrid,
    offsets: Sequence[int],
    rule: WindowRule | str = WindowRule.STRICT,
) -> Windows:
    """Fold candles that begin at `begin_us` (microseconds, increasing) into windows of `grid`.

    `columns` are arrays of shape (rows,). The grid's own offset is not looked at. Raises
    `TableError` for candles out of order.
    """
    position = begin_us // grid.part_us
    folds = {**CANDLE_FOLDS, **HOLO_FOLDS}
    if WindowRule(rule) is WindowRule.STRICT:
        every = fold_every_offset(columns, grid.k, position=position, folds=folds)
        bounds = every.bounds()
        parts = [every.windows.rows(*bounds[offset // grid.part_us]) for offset in offsets]
        if tuple(offset // grid.part_us for offset in offsets) == tuple(range(grid.k)):
            return _join(begin_us, grid, tuple(offsets), [every.windows], bounds)
    else:
        parts = [
            _with_both_ends(
                fold_windows(
                    columns,
                    grid.k,
                    Holes.PARTIAL,
                    position=position - offset // grid.part_us,
                    folds=folds,
                ),
                position - offset // grid.part_us,
                grid.k,
            )
            for offset in offsets
        ]
    stops = np.cumsum([part.first.size for part in parts]).tolist()
    return _join(begin_us, grid, tuple(offsets), parts, list(zip([0, *stops], stops, strict=False)))


def _with_both_ends(folded: Folded, position: Ints, k: int) -> Folded:
    """Those windows whose first and whose last candle are there."""
    first = position[folded.first]
    last = position[folded.first + folded.parts - 1]
    keep = (first % k == 0) & (last % k == k - 1)
    return Folded(
        folded.window[keep],
        folded.first[keep],
        folded.parts[keep],
        {name: values[keep] for name, values in folded.columns.items()},
    )


def _join(
    begin_us: Ints,
    grid: WindowGrid,
    offsets: tuple[int, ...],
    parts: Sequence[Folded],
    bounds: Sequence[tuple[int, int]],
) -> Windows:
    first = np.concatenate([part.first for part in parts])
    begins = begin_us[first]  # a window that is kept has its first candle
    columns: dict[str, Values] = {
        "candle_end_time": begins + grid.window_us,
        "candle_begin_time": begins,
    }
    for name in parts[0].columns:
        columns[name] = np.concatenate([part.columns[name] for part in parts])
    return Windows(offsets, tuple(bounds), columns)
