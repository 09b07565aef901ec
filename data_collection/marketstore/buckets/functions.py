"""Functions of queries: candles of a longer timeframe, and aggregates of a column.

`candlecandler('5Min',Open,High,Low,Close,Sum::Volume)`, `count(*)`, `min(Low)`, `max(High)`,
`avg(Close)`, `sum(Volume)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from alphaqcm.data_collection.marketstore.bucket_key import TIMEFRAMES, BucketKey, spelled
from alphaqcm.data_collection.marketstore.dataset import EPOCH, Array, Column, Rows
from alphaqcm.data_collection.marketstore.faults import invalid
from alphaqcm.pipeline.candles.fold import Fold, Holes
from alphaqcm.pipeline.candles.fold_frame import CandleFrame, fold_frame
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.errors import PipelineError

_CALL: Final = re.compile(r"\s*(\w{1,32})\s*\(([^()]{0,1000})\)\s*")
_BAR: Final = {"Open": Fold.FIRST, "High": Fold.MAX, "Low": Fold.MIN, "Close": Fold.LAST}
_PARTS: Final = "parts"
_MOST_CALLS: Final = 16

Table = tuple[tuple[Column, ...], Rows]


def apply(key: BucketKey, table: Table, calls: Sequence[str]) -> Table:
    """The rows after each function in its turn; raises `RpcFault` for what is no function."""
    if len(calls) > _MOST_CALLS:
        raise invalid("functions", f"{_MOST_CALLS} at most", str(len(calls)))
    for call in calls:
        match = _CALL.fullmatch(call)
        name = match[1].lower() if match else ""
        if match is None or name not in _FUNCTIONS:
            raise invalid(f"function {call[:80]!r}", "one of " + ", ".join(_FUNCTIONS))
        words = [word.strip().strip("'\"") for word in match[2].split(",") if word.strip()]
        table = _FUNCTIONS[name](key, table, words)
    return table


def _candles(key: BucketKey, table: Table, words: Sequence[str]) -> Table:
    columns, rows = table
    if not words:
        raise invalid("candlecandler", "a timeframe first, such as candlecandler('5Min')")
    grid = _grid(key, words[0])
    kinds = {column.name: column.type for column in columns}
    folds: dict[str, tuple[str, Fold, str]] = {}  # of the result's columns: source, fold, type
    for word in words[1:] or [name for name in (*_BAR, "Volume") if name in kinds]:
        how, _, name = word.rpartition("::")
        if name not in kinds or name == EPOCH or kinds[name] == "U16":
            raise invalid(f"column {word[:80]}", "numbers of " + ", ".join(kinds))
        if not how and name in _BAR:
            folds[name] = (name, _BAR[name], kinds[name])
        elif how.lower() in ("", "sum", "avg"):
            own = name if not how else f"{name}_{how.upper()}"
            folds[own] = (name, Fold.SUM, "f8" if how.lower() == "avg" else kinds[name])
        else:
            raise invalid(f"accumulator {word[:80]}", "Sum::COLUMN or Avg::COLUMN")
    frame = pl.DataFrame(
        {
            EPOCH: pl.Series(rows[EPOCH] * 1_000_000).cast(pl.Datetime("us", "UTC")),
            **{own: rows[name] for own, (name, _, _) in folds.items()},
        }
    )
    layout = CandleFrame(
        time=EPOCH, folds={own: fold for own, (_, fold, _) in folds.items()}, count=_PARTS
    )
    try:
        folded = fold_frame(frame, grid, Holes.PARTIAL, layout=layout)
    except PipelineError as error:
        raise invalid("candlecandler", error.expected, error.found) from error
    found: Rows = {EPOCH: folded[EPOCH].dt.epoch("s").to_numpy()}
    for own in folds:
        values = folded[own].to_numpy()
        found[own] = values / folded[_PARTS].to_numpy() if own.endswith("_AVG") else values
    made = (Column(EPOCH, "i8"), *(Column(own, kind) for own, (_, _, kind) in folds.items()))
    return made, found


def _grid(key: BucketKey, timeframe: str) -> WindowGrid:
    try:
        return WindowGrid.of(
            TIMEFRAMES.get(key.timeframe, key.timeframe), TIMEFRAMES[spelled(timeframe)]
        )
    except (PipelineError, KeyError) as error:
        raise invalid(
            f"candlecandler('{timeframe[:40]}') of {key.timeframe}",
            "a whole multiple of the bucket's timeframe: " + ", ".join(TIMEFRAMES),
        ) from error


def _aggregate(
    name: str, kind: str, fold: Callable[[Array], Any]
) -> Callable[[BucketKey, Table, Sequence[str]], Table]:
    """One row, with the time of the last one: a column folded to a number."""

    def call(_key: BucketKey, table: Table, words: Sequence[str]) -> Table:
        columns, rows = table
        numbers = [c.name for c in columns if c.type != "U16"]
        if name == "Count":
            column = EPOCH
        elif len(words) == 1 and words[0] in numbers:
            column = words[0]
        else:
            raise invalid(
                f"{name.lower()}({', '.join(words)[:80]})", "one of " + ", ".join(numbers)
            )
        size = rows[EPOCH].size
        made = (Column(EPOCH, "i8"), Column(name, kind))
        if not size and name != "Count":
            return made, {EPOCH: rows[EPOCH][:0], name: np.empty(0)}
        last = rows[EPOCH][-1:] if size else np.zeros(1, np.int64)
        return made, {EPOCH: last, name: np.array([fold(rows[column])])}

    return call


_FUNCTIONS: Final[Mapping[str, Callable[[BucketKey, Table, Sequence[str]], Table]]] = {
    "candlecandler": _candles,
    "count": _aggregate("Count", "i8", len),
    "min": _aggregate("Min", "f8", np.min),
    "max": _aggregate("Max", "f8", np.max),
    "avg": _aggregate("Avg", "f8", np.mean),
    "sum": _aggregate("Sum", "f8", np.sum),
}
