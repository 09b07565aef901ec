"""The live columns' engine, warm from a data root: it goes on where the wide table ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US, epoch_us
from alphaqcm.pipeline.errors import TableError
from alphaqcm.pipeline.features.factors.segments import times_us
from alphaqcm.pipeline.features.stream.hour_engine import HourEngine
from alphaqcm.pipeline.features.stream.hour_rows import BAR_FIELDS
from alphaqcm.pipeline.features.stream.symbol_state import STATE_COLUMNS, SymbolState
from alphaqcm.pipeline.storage.artifact import read_frame
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.append_rows import ExistingTable
from alphaqcm.pipeline.tables.symbol_table import require_wide

_KLINES: Final = (DataType.KLINES, "1m")


def warm_engine(layout: Layout, symbols: Sequence[Symbol], end: date | None = None) -> HourEngine:
    """An engine whose states are those of the table's rows, symbol by symbol.

    `symbols` are those of the run that made the table: the cross-section is over them. A symbol
    without rows starts from nothing. `end` is the run's last day, after which the engine begins
    also where a symbol had no row at its end. Raises `TableError` without a table, `Undefined` for
    a market that has none, `LayerError`.
    """
    require_wide(layout.market)
    path = layout.final_table()
    if layout.store.stat(path) is None:
        raise TableError(
            path,
            expected="the wide table of an earlier run, to go on from",
            found="none",
            next_step="alphaqcm run",
        )
    table = ExistingTable(path)
    states = {}
    for symbol in symbols:
        rows = table.read(symbol.table, STATE_COLUMNS)
        states[symbol] = SymbolState() if rows is None else SymbolState.warm(rows)
    engine = HourEngine(states)
    if end is not None:
        engine.begin(epoch_us(end) + DAY_US)
    for symbol in symbols:
        if next_us := engine.next_us(symbol.exchange):
            _add_past(engine, layout, symbol, next_us - HOUR_US)
    return engine


def _add_past(engine: HourEngine, layout: Layout, symbol: Symbol, hour_us: int) -> None:
    """The minutes of the last hour, which a column of the next one looks at."""
    start = datetime.fromtimestamp(hour_us / 1e6, UTC)
    path = layout.month_file(*_KLINES, symbol.exchange, Period.month(start.date()))
    if layout.store.stat(path) is None:
        return
    minute = pl.col("minute")
    rows = read_frame(path, ["minute", *BAR_FIELDS]).filter(
        minute.is_between(start, start + timedelta(microseconds=HOUR_US), closed="left")
    )
    for moment, row in zip(times_us(rows["minute"]).tolist(), rows.iter_rows(), strict=True):
        engine.add_past(symbol.exchange, moment, row[1:])
