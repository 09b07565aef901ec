"""Rows in order to minutes: the arrays the compiled code works on, and the frame made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.pipeline.domain.time import MINUTE_US
from alphaqcm.pipeline.reading.aggtrades.compiled import buffers as k
from alphaqcm.pipeline.reading.aggtrades.compiled.kernels import add_rows, scan
from alphaqcm.pipeline.reading.aggtrades.compiled.line_parser import Row
from alphaqcm.pipeline.reading.aggtrades.model import SCHEMA, UTC_US, Amounts
from alphaqcm.pipeline.reading.aggtrades.reader import SHORTEST_LINE, Disorder
from alphaqcm.pipeline.reading.aggtrades.stream import PIECE, Bytes

MOST_ROWS = PIECE // SHORTEST_LINE
"""Rows that can be added at a time: as many as a piece of text can hold."""

Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.uint8]]


class Stretch(Protocol):
    """Whole minutes from `start_us` to before `end_us`: a file's period, or less."""

    @property
    def start_us(self) -> int:
        """Its first microsecond."""

    @property
    def end_us(self) -> int:
        """The first microsecond after it."""


class Workspace:
    """What the compiled code needs to index and parse a block of rows."""

    def __init__(self) -> None:
        self.marks = (np.zeros(k.MARKS, np.int32), np.zeros(k.BLOCK + 128, np.int32))
        self.words = (
            np.zeros(k.WORDS * k.ROOM, np.uint64),
            np.zeros(k.WRONGS * k.ROOM, np.uint64),
        )
        self.ints = np.zeros(4 * k.ROOM, np.int64)
        self.floats = (np.zeros(2 * k.ROOM), np.zeros(k.PARTS * k.ROOM))
        self.flags = np.zeros(k.ROOM, np.uint8)


def new_columns(rows: int) -> Columns:
    """Room for `rows` rows: four whole columns (C_*) in one flat array, two of floats, flags."""
    return np.zeros(4 * rows, np.int64), np.zeros(2 * rows), np.zeros(rows, np.uint8)


def put_row(columns: Columns, at: int, row: Row) -> None:
    """Write `row` as number `at` of `columns`."""
    ints, floats, flags = columns
    ints[at :: len(flags)] = (row.id, row.first, row.last, row.time)
    floats[at :: len(flags)] = (row.price, row.quantity)
    flags[at] = row.maker * k.MAKER + row.best * k.BEST


@dataclass(frozen=True, slots=True)
class Sums:
    """What the minutes of a period came to."""

    frame: pl.DataFrame
    outside: int
    zero_quantities: int


class MinuteTable:
    """The minutes of one stretch of time, growing as rows are added in order.

    With `strict`, rows that could be doubled or out of order raise `Disorder`.
    """

    def __init__(
        self, period: Stretch, amounts: Amounts, *, strict: bool, space: Workspace | None = None
    ) -> None:
        lines = (period.end_us - period.start_us) // MINUTE_US
        self.space = space or Workspace()
        self.state = np.zeros(k.STATE_SIZE, np.int64)
        self.state[[k.S_TIME, k.S_ID, k.S_KEPT_ID, k.S_MINUTE_END]] = k.BEFORE
        self.state[k.S_ROW] = -1
        self.limits = np.array([period.start_us, period.end_us, int(strict)], np.int64)
        self.amounts = np.array([amounts.whale, amounts.retail, amounts.contract])
        self.minutes = (np.zeros((lines, k.INTS), np.int64), np.zeros((lines, k.FLOATS)))
        self.jumps = np.zeros((MOST_ROWS if strict else 1, 2), np.int64)
        self._jumps: list[npt.NDArray[np.int64]] = []

    def add(self, columns: Columns, count: int) -> None:
        """Add the first `count` rows of `columns`, with `strict` at most `MOST_ROWS`."""
        space = self.space
        status = add_rows(
            columns,
            count,
            space.ints,
            space.floats,
            space.flags,
            self.limits,
            self.amounts,
            self.state,
            self.minutes,
            self.jumps,
        )
        self.collect_jumps()
        if status == k.DISORDER:
            raise Disorder

    def collect_jumps(self) -> None:
        """Put aside the jumps of the ids and make room for more."""
        if count := int(self.state[k.S_JUMPS]):
            self._jumps.append(self.jumps[:count].copy())
            self.state[k.S_JUMPS] = 0

    def id_ranges(self) -> npt.NDArray[np.int64]:
        """Ranges of the ids added, in order; only where `strict`. Shape (n, 2)."""
        if not self._jumps:
            return np.empty((0, 2), np.int64)
        jumps = np.concatenate(self._jumps)
        lasts = np.append(jumps[1:, 0], self.state[k.S_KEPT_ID])
        return np.stack((jumps[:, 1], lasts), axis=1)

    def columns(self) -> dict[str, Any]:
        """The minutes so far, by `SCHEMA`'s names; times in microseconds since the epoch."""
        size = int(self.state[k.S_ROW]) + 1
        ints, floats = (array[:size] for array in self.minutes)
        return {
            "minute": ints[:, k.I_MINUTE],
            "trade_count": ints[:, k.I_COUNT],
            "base_volume": floats[:, k.F_BASE],
            "quote_volume": floats[:, k.F_QUOTE],
            "taker_buy_qty": floats[:, k.F_BUY_QTY],
            "taker_sell_qty": floats[:, k.F_SELL_QTY],
            "taker_buy_quote": floats[:, k.F_BUY_QUOTE],
            "taker_sell_quote": floats[:, k.F_SELL_QUOTE],
            "taker_buy_quote_sq": floats[:, k.F_BUY_SQ],
            "taker_sell_quote_sq": floats[:, k.F_SELL_SQ],
            "taker_buy_trade_count": ints[:, k.I_BUYS],
            "taker_sell_trade_count": ints[:, k.I_COUNT] - ints[:, k.I_BUYS],
            "whale_buy_quote": floats[:, k.F_WHALE_BUY],
            "whale_sell_quote": floats[:, k.F_WHALE_SELL],
            "retail_buy_quote": floats[:, k.F_RETAIL_BUY],
            "retail_sell_quote": floats[:, k.F_RETAIL_SELL],
            "first_ts": ints[:, k.I_FIRST_TS],
            "price_first": floats[:, k.F_FIRST],
            "last_ts": ints[:, k.I_LAST_TS],
            "price_last": floats[:, k.F_LAST],
            "price_high": floats[:, k.F_HIGH],
            "price_low": floats[:, k.F_LOW],
            "first_agg_trade_id": ints[:, k.I_FIRST_ID],
            "last_agg_trade_id": ints[:, k.I_LAST_ID],
            "raw_trade_count": ints[:, k.I_RAW],
        }

    def sums(self) -> Sums:
        """The minutes so far."""
        data = self.columns()
        frame = pl.DataFrame({name: np.ascontiguousarray(data[name]) for name in SCHEMA})
        times = [name for name, kind in SCHEMA.items() if kind == UTC_US]
        return Sums(
            frame.with_columns(pl.col(times).cast(UTC_US)),
            int(self.state[k.S_OUTSIDE]),
            int(self.state[k.S_ZERO]),
        )


class MinuteSink:
    """A `Sink` that adds rows to their minutes as they are parsed; raises `Disorder`."""

    def __init__(self, period: Stretch, amounts: Amounts) -> None:
        self.table = MinuteTable(period, amounts, strict=True)
        self.rows = 0
        self._single = new_columns(1)

    def take(self, text: Bytes, start: int, end: int, width: int) -> tuple[int, int]:
        """Add the lines of `text[start:end]`."""
        table, space = self.table, self.table.space
        table.state[k.S_POSITION] = start
        status, rows = scan(
            text,
            end,
            width,
            space.marks,
            space.words,
            space.ints,
            space.floats,
            space.flags,
            table.limits,
            table.amounts,
            table.state,
            table.minutes,
            table.jumps,
        )
        self.rows += int(rows)
        table.collect_jumps()
        if status == k.DISORDER:
            raise Disorder
        return status, int(table.state[k.S_POSITION])

    def take_row(self, row: Row) -> None:
        """Add one row."""
        put_row(self._single, 0, row)
        self.table.add(self._single, 1)
        self.rows += 1
