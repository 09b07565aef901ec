"""Windows folded from finer candles: every sum adds left to right in time order.

A sum of floats depends on its order. Here the order is fixed: a window's sum starts with its first
part and adds the others one by one, in order of time. In batch these are k vector additions over
shifted slices, online (`window_state`) it is `acc += value`; both give the same bits. `np.sum`,
rolling sums and a group-by of a table library do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alphaqcm.pipeline.candles.fold_kinds import (
    CANDLE_FOLDS,
    FLOW_FOLDS,
    Fold,
    Holes,
    folds_for,
)
from alphaqcm.pipeline.candles.fold_steps import (
    UFUNCS,
    Values,
    clean_extreme,
    fold_along,
    fold_block,
    fold_sliding,
    fold_step,
)
from alphaqcm.pipeline.errors import TableError

__all__ = [
    "CANDLE_FOLDS",
    "FLOW_FOLDS",
    "Fold",
    "Folded",
    "Holes",
    "Ints",
    "Offsets",
    "Values",
    "fold_every_offset",
    "fold_offsets",
    "fold_windows",
    "folds_for",
]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Folded:
    """Windows in order: all arrays have shape (windows,)."""

    window: Ints  # position of the first part a whole window has, divided by k
    first: Ints  # row of the first part that is there
    parts: Ints  # parts that are there, 1..k
    columns: dict[str, Values]

    def rows(self, start: int, stop: int) -> Folded:
        """Some of the windows; views, not copies."""
        part = slice(start, stop)
        columns = {name: values[part] for name, values in self.columns.items()}
        return Folded(self.window[part], self.first[part], self.parts[part], columns)


@dataclass(frozen=True, slots=True)
class Offsets:
    """The windows at every offset: `counts[o]` windows of offset o, after those of o - 1."""

    windows: Folded
    counts: tuple[int, ...]

    def bounds(self) -> list[tuple[int, int]]:
        """First row and first row after it of each offset."""
        stops = np.cumsum(self.counts).tolist()
        return list(zip([0, *stops], stops, strict=False))


def fold_windows(
    columns: Mapping[str, Values],
    k: int,
    holes: Holes | str = Holes.STRICT,
    *,
    position: Ints | None = None,
    folds: Mapping[str, Fold] = CANDLE_FOLDS,
) -> Folded:
    """Fold parts into windows of `k`.

    `columns` are arrays of shape (rows,), float64 or int64, in time order. `position` (rows,) is
    each row's number on the grid of parts, strictly increasing; a number left out is a hole, and
    window w has the positions [w*k, (w+1)*k). Without it the rows are 0, 1, 2, … strict: only
    windows with all k parts. partial: windows with one or more. Raises `TableError` for a column
    that `folds` does not know, for columns of different lengths and for positions out of order.
    """
    chosen = folds_for(columns, folds)
    rows = _positions(columns, position, k)
    if Holes(holes) is Holes.STRICT:
        window = rows // k
        starts = np.flatnonzero(_whole(rows, k) & (rows[: _slides(rows, k)] == _head(window, k)))
        parts = np.full(starts.size, k, np.int64)
    else:
        window = rows // k
        new = np.empty(rows.size, np.bool_)
        new[:1] = True
        np.not_equal(window[1:], window[:-1], out=new[1:])
        starts = np.flatnonzero(new)
        parts = np.diff(starts, append=rows.size)
    folder = _Windows.of(starts, parts, k)
    return Folded(
        window[starts],
        starts,
        parts,
        {name: folder.fold(values, chosen[name]) for name, values in columns.items()},
    )


def fold_offsets(
    columns: Mapping[str, Values],
    k: int,
    *,
    position: Ints | None = None,
    folds: Mapping[str, Fold] = CANDLE_FOLDS,
) -> list[Folded]:
    """The strict windows of `k` parts at each of the k offsets, all folded in one go.

    The same windows, to the bit, as `fold_windows` gives with `position - o` for o in 0..k-1, in
    this order; a window's number is that of the shifted positions.
    """
    every = fold_every_offset(columns, k, position=position, folds=folds)
    return [every.windows.rows(start, stop) for start, stop in every.bounds()]


def fold_every_offset(
    columns: Mapping[str, Values],
    k: int,
    *,
    position: Ints | None = None,
    folds: Mapping[str, Fold] = CANDLE_FOLDS,
) -> Offsets:
    """What `fold_offsets` gives, the offsets one after the other in the same arrays."""
    chosen = folds_for(columns, folds)
    rows = _positions(columns, position, k)
    shift = rows[: _slides(rows, k)]
    window = shift // k
    offset = shift - window * k
    whole = _whole(rows, k)
    if not whole.all():
        offset[~whole] = k
    counts = np.bincount(offset, minlength=k)[:k]
    # stable, and of small numbers a radix sort: the windows of each offset in order of time
    starts = np.argsort(offset.astype(np.min_scalar_type(k)), kind="stable")[: counts.sum()]
    return Offsets(
        Folded(
            window[starts],
            starts,
            np.full(starts.size, k, np.int64),
            {
                name: fold_sliding(values, chosen[name], k)[starts]
                for name, values in columns.items()
            },
        ),
        tuple(counts.tolist()),
    )


def _positions(columns: Mapping[str, Values], position: Ints | None, k: int) -> Ints:
    if k < 1:
        raise TableError("windows to fold", expected="windows of one part or more", found=str(k))
    lengths = {len(values) for values in columns.values()}
    if position is None:
        position = np.arange(max(lengths, default=0), dtype=np.int64)
    if lengths - {len(position)}:
        raise TableError(
            "candles to fold",
            expected=f"columns of {len(position)} rows",
            found=", ".join(map(str, sorted(lengths))),
        )
    if not (position[1:] > position[:-1]).all():
        raise TableError(
            "candles to fold",
            expected="one candle an instant, in order of time",
            found="rows out of order or twice",
            next_step="sort them by time and keep one of each",
        )
    return position


def _slides(rows: Ints, k: int) -> int:
    """How many runs of k rows there are."""
    return max(rows.size - k + 1, 0)


def _whole(rows: Ints, k: int) -> npt.NDArray[np.bool_]:
    """Whether the k rows from each row on are k positions in a row; shape (rows - k + 1,)."""
    return np.asarray(rows[k - 1 :] - rows[: _slides(rows, k)] == k - 1)


def _head(window: Ints, k: int) -> Ints:
    return window[: _slides(window, k)] * k


@dataclass(frozen=True, slots=True)
class _Windows:
    """Rows of each window: whole ones as a block of k columns, the others by falling size."""

    whole: npt.NDArray[np.bool_] | None  # None: all are
    block: Ints | slice  # rows of the whole windows, one window after the other
    k: int
    starts: Ints  # of the windows that lack parts, the largest first
    sizes: Ints  # parts of these
    order: Ints  # where these belong
    longer: list[int]  # how many of them have more than j parts
    count: int

    @classmethod
    def of(cls, starts: Ints, parts: Ints, k: int) -> _Windows:
        whole = parts == k
        full = starts if whole.all() else starts[whole]
        block: Ints | slice
        if full.size and full[-1] - full[0] == (full.size - 1) * k:
            block = slice(int(full[0]), int(full[0]) + full.size * k)
        else:
            block = (full[:, None] + np.arange(k)).ravel()
        rest = np.flatnonzero(~whole)
        order = rest[np.argsort(-parts[rest], kind="stable")]
        sizes = np.sort(parts[rest])
        most = int(sizes[-1]) if sizes.size else 0
        longer = (sizes.size - np.searchsorted(sizes, np.arange(most), side="right")).tolist()
        return cls(
            None if full.size == starts.size else whole,
            block,
            k,
            starts[order],
            parts[order],
            order,
            longer,
            starts.size,
        )

    def fold(self, values: Values, fold: Fold) -> Values:
        """One value a window."""
        whole = fold_block(fold, values[self.block].reshape(-1, self.k))
        if self.whole is None:
            return whole
        out = np.empty(self.count, values.dtype)
        out[self.whole] = whole
        out[self.order] = self._lacking(values, fold)
        return out

    def _lacking(self, values: Values, fold: Fold) -> Values:
        found = values[self.starts]
        if fold is Fold.FIRST:
            return found
        if len(self.order) < len(self.longer) and fold in UFUNCS:
            for number, (start, size) in enumerate(zip(self.starts, self.sizes, strict=True)):
                found[number] = fold_along(fold, values[start : start + size])
            return found
        for j, more in enumerate(self.longer[1:], start=1):
            fold_step(fold, found[:more], values[self.starts[:more] + j])
        return clean_extreme(fold, found)
