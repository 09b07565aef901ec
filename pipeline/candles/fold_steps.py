"""The arithmetic of a fold: one part after the other, across windows, along them or sliding."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alphaqcm.pipeline.candles.fold_kinds import Fold

Values = npt.NDArray[Any]
"""A column: float64 or int64, shape (rows,); NaN stands for a missing value."""

_BLOCK: Final = 4_096  # rows whose sliding sums stay in the processor's cache
UFUNCS: Final = {Fold.SUM: np.add, Fold.MAX: np.maximum, Fold.MIN: np.minimum}


def fold_block(fold: Fold, block: Values) -> Values:
    """Fold the k columns of a block of shape (windows, k), the earliest first."""
    k = block.shape[1]
    if fold is Fold.LAST:
        return block[:, k - 1].copy()
    if len(block) < k and fold in UFUNCS:  # few and long: along the windows, not across them
        return fold_along(fold, block)
    found = block[:, 0].copy()
    if fold is not Fold.FIRST:
        for j in range(1, k):
            fold_step(fold, found, block[:, j])
    return clean_extreme(fold, found)


def fold_along(fold: Fold, parts: Values) -> Values:
    """Fold the last axis: a running sum has each sum of its own row, in order, unlike `np.sum`."""
    if fold is Fold.SUM:
        return np.asarray(np.add.accumulate(parts, axis=-1)[..., -1])
    return clean_extreme(fold, np.asarray(UFUNCS[fold].reduce(parts, axis=-1)))


def fold_step(fold: Fold, found: Values, part: Values) -> None:
    """Fold one more part into `found`, in place."""
    if fold in UFUNCS:
        UFUNCS[fold](found, part, out=found)
    elif fold is Fold.LAST:
        found[:] = part
    elif fold is Fold.LAST_KNOWN:
        np.copyto(found, part, where=part == part)  # NaN is not equal to itself


def clean_extreme(fold: Fold, found: Values) -> Values:
    """Of 0.0 and -0.0 an extreme may be either, as the processor likes: make it 0.0."""
    if fold in (Fold.MAX, Fold.MIN) and found.dtype.kind == "f":
        found += 0.0
    return found


def fold_sliding(values: Values, fold: Fold, k: int) -> Values:
    """The fold of the k rows from each row on; shape (rows - k + 1,)."""
    slides = max(len(values) - k + 1, 0)
    if fold is Fold.FIRST:
        return values[:slides]
    if fold is Fold.LAST:
        return values[k - 1 :] if slides else values[:0]
    out = np.empty(slides, values.dtype)
    for start in range(0, slides, _BLOCK):
        stop = min(start + _BLOCK, slides)
        if fold in (Fold.MAX, Fold.MIN):
            out[start:stop] = _extreme(values[start : stop + k - 1], fold, k)
            continue
        found = out[start:stop]
        found[:] = values[start:stop]
        for j in range(1, k):
            if fold is Fold.SUM:
                np.add(found, values[start + j : stop + j], found)
            else:
                fold_step(fold, found, values[start + j : stop + j])
    return clean_extreme(fold, out)


def _extreme(values: Values, fold: Fold, k: int) -> Values:
    """Extremes of k rows from extremes of 1, 2, 4, … rows: their order does not matter."""
    pick = UFUNCS[fold]
    width = 1
    while width * 2 <= k:
        values = pick(values[width:], values[:-width])
        width *= 2
    rest = k - width
    return pick(values[rest:], values[: len(values) - rest]) if rest else values
