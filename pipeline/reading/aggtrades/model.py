"""What aggTrades become: the minutes of a file or of several, and what was seen on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import contract_usd
from alphaqcm.pipeline.errors import RawError

UTC_US = pl.Datetime("us", "UTC")

SCHEMA: dict[str, pl.DataType] = {
    "minute": UTC_US,
    "trade_count": pl.Int64(),
    "base_volume": pl.Float64(),
    "quote_volume": pl.Float64(),
    "taker_buy_qty": pl.Float64(),
    "taker_sell_qty": pl.Float64(),
    "taker_buy_quote": pl.Float64(),
    "taker_sell_quote": pl.Float64(),
    "taker_buy_quote_sq": pl.Float64(),
    "taker_sell_quote_sq": pl.Float64(),
    "taker_buy_trade_count": pl.Int64(),
    "taker_sell_trade_count": pl.Int64(),
    "whale_buy_quote": pl.Float64(),
    "whale_sell_quote": pl.Float64(),
    "retail_buy_quote": pl.Float64(),
    "retail_sell_quote": pl.Float64(),
    "first_ts": UTC_US,
    "price_first": pl.Float64(),
    "last_ts": UTC_US,
    "price_last": pl.Float64(),
    "price_high": pl.Float64(),
    "price_low": pl.Float64(),
    "first_agg_trade_id": pl.Int64(),
    "last_agg_trade_id": pl.Int64(),
    "raw_trade_count": pl.Int64(),
}
"""Columns of the 1-minute aggTrades layer, in order."""

FLOW_SUMS = tuple(SCHEMA)[1 : tuple(SCHEMA).index("first_ts")]
"""Those that add up over minutes: counts, volumes and amounts, sides and sizes apart."""

IdRanges = npt.NDArray[np.int64]
"""Shape (n, 2): ranges of ids, first and last included, sorted, apart by at least one id."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Quote amounts of one aggTrade: at least `whale` is a whale's, at most `retail` is retail."""

    whale: float = 50_000.0
    retail: float = 1_000.0


@dataclass(frozen=True, slots=True)
class Amounts:
    """How a file's quantities become amounts, and how large ones are told from small ones.

    `contract` is the quote amount of one contract where quantities are contracts: a row is then
    worth quantity * contract in quote and that / price in base units. 0 where quantities are base
    units.
    """

    whale: float = 50_000.0
    retail: float = 1_000.0
    contract: float = 0.0

    @classmethod
    def of(cls, series: Series, thresholds: Thresholds) -> Amounts:
        """Of the archive's files of `series`."""
        contract = contract_usd(series.market, series.symbol) or 0.0
        return cls(thresholds.whale, thresholds.retail, contract)


@dataclass(frozen=True, slots=True)
class Counters:
    """What a file holds besides its sums.

    `rows` counts every row; `outside_period` and `duplicates` (rows equal in every field, numbers
    as doubles, to one already counted) are left out of the minutes; what remains are the kept rows,
    and the other numbers but `out_of_order` speak of those.
    """

    rows: int = 0
    outside_period: int = 0
    duplicates: int = 0
    out_of_order: int = 0  # rows before their predecessor by (transact_time, agg_trade_id)
    zero_quantities: int = 0
    shared_ids: int = 0  # kept rows that share their id with another one: different trades
    id_gaps: int = 0  # places where ids between the lowest and the highest are missing
    single_skips: int = 0  # of these, places where one id is missing, which is ordinary
    missing_ids: int = 0
    largest_gap: int = 0  # ids missing at one place
    sorted_files: int = 0  # files whose rows had to be sorted first

    @property
    def kept(self) -> int:
        """Rows that are in the minutes."""
        return self.rows - self.outside_period - self.duplicates

    def to_dict(self) -> dict[str, int]:
        """The JSON form for reports and file footers."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AggMinutes:
    """The minutes of one or more files: `frame` has SCHEMA's columns, one row a minute, sorted."""

    frame: pl.DataFrame
    counters: Counters
    ids: IdRanges = field(repr=False, compare=False)

    @property
    def days(self) -> tuple[date, ...]:
        """UTC days that have at least one row, in order."""
        return tuple(self.frame["minute"].dt.date().unique().sort())


def empty_minutes() -> AggMinutes:
    """No minutes at all."""
    return AggMinutes(pl.DataFrame(schema=SCHEMA), Counters(), np.empty((0, 2), np.int64))


def ranges_of(ids: npt.NDArray[np.int64]) -> IdRanges:
    """Ranges of ids in any order; shape (rows,) to (n, 2)."""
    ids = np.sort(ids)
    opens = np.flatnonzero(np.diff(ids) > 1) + 1
    ends = np.append(opens, len(ids)) - 1
    return np.stack((ids[np.insert(opens, 0, 0)], ids[ends]), axis=1)


def join_ranges(ranges: npt.NDArray[np.int64]) -> IdRanges:
    """Ranges in any order and overlap, as the fewest sorted ones; shape (n, 2) both."""
    if len(ranges) == 0:
        return ranges.reshape(0, 2)
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reached = np.maximum.accumulate(ranges[:, 1])
    opens = np.flatnonzero(ranges[1:, 0] > reached[:-1] + 1) + 1
    firsts = ranges[np.concatenate(([0], opens)), 0]
    lasts = reached[np.concatenate((opens - 1, [len(ranges) - 1]))]
    return np.stack((firsts, lasts), axis=1)


def count_ids(ids: IdRanges, kept: int) -> dict[str, int]:
    """The counters that follow from the ids of `kept` rows."""
    gaps = ids[1:, 0] - ids[:-1, 1] - 1
    return {
        "shared_ids": kept - int((ids[:, 1] - ids[:, 0] + 1).sum()),
        "id_gaps": len(gaps),
        "single_skips": int((gaps == 1).sum()),
        "missing_ids": int(gaps.sum()),
        "largest_gap": int(gaps.max(initial=0)),
    }


def merge(parts: Sequence[AggMinutes]) -> AggMinutes:
    """The minutes of several files of one symbol, for a month from its days or a patched month.

    Every file's rows lie inside its own period, so a minute comes from one file alone, unless two
    files of the same day are given: then the same trades would count twice, which raises
    `RawError`. The ids are counted anew over all parts: a gap that a part fills is none.
    """
    seen: set[date] = set()
    for part in parts:
        days = set(part.days)
        if both := seen & days:
            raise RawError(
                "aggTrades of " + ", ".join(str(day) for day in sorted(both)),
                expected="rows of a day from one file only",
                found="two parts with rows of that day",
                next_step="patch a day from its daily file only when the month's file lacks it",
            )
        seen |= days
    if not parts:
        return empty_minutes()
    frame = pl.concat([part.frame for part in parts]).sort("minute")
    ids = join_ranges(np.concatenate([part.ids for part in parts]))
    summed: dict[str, Any] = {
        item.name: sum(getattr(part.counters, item.name) for part in parts)
        for item in fields(Counters)
    }
    return AggMinutes(
        frame, Counters(**summed | count_ids(ids, int(frame["trade_count"].sum()))), ids
    )
