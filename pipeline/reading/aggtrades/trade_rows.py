"""Trades that are rows already (REST, live) to minutes: bit for bit those of the archive's file.

The compiled code that adds the rows of a file adds these too, in the same order: sorted by time
and id, equal ones counted once. A minute's sums depend on its own rows alone, so that it does not
matter how the rows were cut into answers and messages, or when they came.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import EPOCH_US_FROM
from alphaqcm.pipeline.domain.time import DAY_US, MINUTE_US
from alphaqcm.pipeline.errors import BadRow
from alphaqcm.pipeline.reading.aggtrades.compiled import buffers as k
from alphaqcm.pipeline.reading.aggtrades.minutes import (
    MOST_ROWS,
    Columns,
    MinuteTable,
    Stretch,
    Workspace,
)
from alphaqcm.pipeline.reading.aggtrades.model import (
    AggMinutes,
    Amounts,
    Counters,
    Thresholds,
    count_ids,
    empty_minutes,
    join_ranges,
)
from alphaqcm.pipeline.reading.aggtrades.reader import Disorder
from alphaqcm.pipeline.reading.aggtrades.sorted_path import RowSink, sum_sorted

TRADE_SCHEMA: Final[dict[str, pl.DataType]] = {
    "agg_trade_id": pl.Int64(),
    "price": pl.Float64(),
    "quantity": pl.Float64(),
    "first_trade_id": pl.Int64(),
    "last_trade_id": pl.Int64(),
    "transact_time": pl.Int64(),
    "is_buyer_maker": pl.Boolean(),
}
"""Columns of trades as the archive names them; transact_time in ms, or us where it is so large."""

_INTS: Final = ("agg_trade_id", "first_trade_id", "last_trade_id", "transact_time")  # as C_* go
_FLOATS: Final = ("price", "quantity")
_TOO_LARGE: Final = 1e38  # as in files
_LONGEST_DAYS: Final = 366  # every minute between the first and the last takes memory


class Trade(Protocol):
    """One aggregated trade."""

    @property
    def agg_id(self) -> int:
        """Its id."""

    @property
    def first_id(self) -> int:
        """Id of the first trade in it."""

    @property
    def last_id(self) -> int:
        """Id of the last one."""

    @property
    def time_us(self) -> int:
        """Microseconds since the epoch."""

    @property
    def price(self) -> float:
        """Quote per base."""

    @property
    def quantity(self) -> float:
        """Base units, or contracts."""

    @property
    def buyer_is_maker(self) -> bool:
        """Whether the taker sold."""


@dataclass(frozen=True, slots=True)
class MinuteRange:
    """Whole minutes, from `start_us` to before `end_us`."""

    start_us: int
    end_us: int


def trade_frame(trades: Iterable[Trade]) -> pl.DataFrame:
    """The trades as a frame of `TRADE_SCHEMA`."""
    rows = [
        (t.agg_id, t.price, t.quantity, t.first_id, t.last_id, t.time_us, t.buyer_is_maker)
        for t in trades
    ]
    return pl.DataFrame(rows, TRADE_SCHEMA, orient="row")


def aggregate_rows(
    rows: pl.DataFrame,
    series: Series,
    thresholds: Thresholds | None = None,
    *,
    within: Stretch | None = None,
    space: Workspace | None = None,
) -> AggMinutes:
    """Condense trades of `series` to minutes, as `aggregate_file` does the rows of a ZIP.

    `rows` has `TRADE_SCHEMA`'s columns in any order of rows; prices and quantities may be the
    exchange's decimal texts. Rows outside of `within` are left out and counted. `space` is used
    again by who aggregates often. Raises `BadRow`.
    """
    columns, count = _columns(rows)
    if count == 0:
        return empty_minutes()
    amounts = Amounts.of(series, thresholds or Thresholds())
    times = columns[0][k.C_TIME * count : (k.C_TIME + 1) * count]
    stretch = within or _range_of(int(times.min()), int(times.max()))
    table = MinuteTable(stretch, amounts, strict=True, space=space)
    try:
        for at in range(0, count, MOST_ROWS):
            part = _slice(columns, at, min(at + MOST_ROWS, count))
            table.add(part, len(part[2]))
    except Disorder:
        return _aggregate_sorted(columns, count, stretch, amounts)
    sums = table.sums()
    ids = join_ranges(table.id_ranges())
    counters = Counters(
        rows=count, outside_period=sums.outside, zero_quantities=sums.zero_quantities
    )
    return AggMinutes(
        sums.frame, dataclasses.replace(counters, **count_ids(ids, counters.kept)), ids
    )


def _aggregate_sorted(
    columns: Columns, count: int, stretch: Stretch, amounts: Amounts
) -> AggMinutes:
    with closing(RowSink(stretch, None, count)) as sink:
        sink.take_columns(columns, count)
        sums, ids, duplicates = sum_sorted(sink, stretch, amounts)
    counters = Counters(
        rows=count,
        outside_period=sink.outside,
        duplicates=duplicates,
        out_of_order=sink.out_of_order,
        zero_quantities=sums.zero_quantities,
        sorted_files=1,
    )
    return AggMinutes(
        sums.frame, dataclasses.replace(counters, **count_ids(ids, counters.kept)), ids
    )


def _columns(rows: pl.DataFrame) -> tuple[Columns, int]:
    """The rows as the compiled code has them; raises `BadRow`."""
    try:
        frame = rows.select(list(TRADE_SCHEMA)).cast(pl.Schema(TRADE_SCHEMA))
    except pl.exceptions.PolarsError as error:
        raise BadRow(
            "trades",
            expected=", ".join(f"{name} ({kind})" for name, kind in TRADE_SCHEMA.items()),
            found=str(error).splitlines()[0],
        ) from error
    time = pl.col("transact_time")
    span = pl.col("last_trade_id") - pl.col("first_trade_id")
    good = span.is_between(0, k.SPAN_LIMIT, closed="left") & (time >= 0)
    for name in _FLOATS:
        good &= pl.col(name).is_between(0.0, _TOO_LARGE, closed="left")
    wrong = frame.filter(~good.fill_null(value=False) | pl.col("is_buyer_maker").is_null())
    if wrong.height:
        raise BadRow(
            f"{wrong.height} of {frame.height} trades",
            expected="times and amounts that are not negative, first_trade_id up to last_trade_id",
            found=str(wrong.row(0, named=True)),
        )
    micros = pl.when(time >= EPOCH_US_FROM).then(time).otherwise(time * 1000)
    frame = frame.with_columns(micros.alias("transact_time"))
    ints = [frame[name].to_numpy() for name in _INTS]
    floats = [frame[name].to_numpy() for name in _FLOATS]
    maker: npt.NDArray[np.uint8] = frame["is_buyer_maker"].to_numpy().astype(np.uint8)
    return (np.concatenate(ints), np.concatenate(floats), maker * np.uint8(k.MAKER)), frame.height


def _range_of(first_us: int, last_us: int) -> MinuteRange:
    if last_us - first_us > _LONGEST_DAYS * DAY_US:
        raise BadRow(
            "trades",
            expected=f"trades of at most {_LONGEST_DAYS} days at a time",
            found=f"{(last_us - first_us) // DAY_US} days between the first and the last",
        )
    return MinuteRange(
        first_us // MINUTE_US * MINUTE_US, last_us // MINUTE_US * MINUTE_US + MINUTE_US
    )


def _slice(columns: Columns, start: int, stop: int) -> Columns:
    """Some of the rows, their columns one behind the other again."""
    ints, floats, flags = columns
    if start == 0 and stop == len(flags):
        return columns
    size = len(flags)
    return (
        ints.reshape(-1, size)[:, start:stop].ravel(),
        floats.reshape(-1, size)[:, start:stop].ravel(),
        flags[start:stop],
    )


class MinuteBuilder:
    """The trades of one symbol as they come, and its minutes as they end.

    Trades may come late or twice as long as their minute is open. Give `space` to many of them:
    they then share what the compiled code works in.
    """

    def __init__(
        self, series: Series, thresholds: Thresholds | None = None, space: Workspace | None = None
    ) -> None:
        self._series = series
        self._thresholds = thresholds
        self._space = space
        self._open: list[Trade] = []
        self._closed_us = 0
        self.refused = 0  # trades of minutes that were closed

    def push(self, trade: Trade) -> None:
        """Add one trade; one of a closed minute is refused and counted."""
        if trade.time_us < self._closed_us:
            self.refused += 1
        else:
            self._open.append(trade)

    @property
    def waiting(self) -> int:
        """Trades of open minutes."""
        return len(self._open)

    def close(self, until_us: int) -> AggMinutes:
        """The minutes that end at or before `until_us`; trades of them can come no more."""
        ended = self._take(until_us)
        if not ended:
            return empty_minutes()
        return aggregate_rows(trade_frame(ended), self._series, self._thresholds, space=self._space)

    def close_columns(self, until_us: int) -> dict[str, Any]:
        """What `close` gives as arrays by name, at a tenth of the cost; empty for no minute."""
        ended = self._take(until_us)
        if not ended:
            return {}
        rows = sorted(
            {
                (t.time_us, t.agg_id, t.first_id, t.last_id, t.price, t.quantity, t.buyer_is_maker)
                for t in ended
            }
        )
        times, ids, firsts, lasts, prices, quantities, makers = zip(*rows, strict=True)
        self._space = self._space or Workspace()
        stretch = _range_of(times[0], times[-1])
        amounts = Amounts.of(self._series, self._thresholds or Thresholds())
        table = MinuteTable(stretch, amounts, strict=False, space=self._space)
        columns = (
            np.array((ids, firsts, lasts, times), np.int64).ravel(),
            np.array((prices, quantities), np.float64).ravel(),
            np.array(makers, np.uint8) * np.uint8(k.MAKER),
        )
        table.add(columns, len(rows))
        return table.columns()

    def _take(self, until_us: int) -> list[Trade]:
        until = until_us // MINUTE_US * MINUTE_US
        self._closed_us = max(self._closed_us, until)
        ended = [trade for trade in self._open if trade.time_us < until]
        if ended:
            self._open = [trade for trade in self._open if trade.time_us >= until]
        return ended
