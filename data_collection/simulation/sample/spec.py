"""What to simulate: the frozen description from which every byte of a sample follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.sample.defects import (
    Frozen,
    IdGap,
    RepeatedIds,
    Trap,
    ZeroQuantity,
)
from alphaqcm.data_collection.simulation.sample.instruments import universe
from alphaqcm.pipeline.domain.period import Period, days_between
from alphaqcm.pipeline.domain.registry import REGISTRY, DataType, Market, Partition

LAST_DAY = date(2024, 2, 29)
"""Where a sample ends when no start is given: the end of a finished month."""

BAR_TYPES = (DataType.KLINES, DataType.MARK, DataType.INDEX, DataType.PREMIUM)
SIMULATED = (*BAR_TYPES, DataType.AGGTRADES, DataType.FUNDING, DataType.METRICS)


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """One simulated archive.

    A day's trades depend on the seed, the symbol, the start and the days before it only: more
    days, more symbols or a later `published` date leave the files of the days before as they are.
    Raises `UsageError` for words that do not fit.
    """

    symbols: tuple[str, ...] = universe(3)
    days: int = 3
    seed: int = 7
    start: date | None = None  # None: so that the last day is 2024-02-29
    market: Market = Market.UM
    trades_per_day: int = 40_000  # aggTrades rows of the busiest symbol, about
    types: tuple[DataType, ...] = SIMULATED
    published: date | None = None  # what the source holds on this day; None: the day after the last
    daily_since: date | None = None  # no daily files before, where a monthly one exists
    running_month_funding: bool = False  # a fundingRate file for a month that is not over
    minutes_only: bool = False  # no trades, klines 1m drawn directly, the others 1h: long ranges
    compression: int = 1  # zlib's level: the archive has 6, which takes three times as long
    traps: tuple[Trap, ...] = ()

    def __post_init__(self) -> None:
        if self.days < 1 or not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise UsageError(
                "sample",
                expected="at least one day and one symbol, no symbol twice",
                found=f"{self.days} days, symbols {', '.join(self.symbols) or 'none'}",
            )
        if self.trades_per_day < 1 or not 0 <= self.compression <= 9 or self.seed < 0:
            raise UsageError(
                "sample",
                expected="trades per day from 1 on, compression 0 to 9, a seed from 0 on",
                found=f"{self.trades_per_day}, {self.compression}, {self.seed}",
            )
        of_trades = (Frozen, IdGap, RepeatedIds, ZeroQuantity)
        if self.minutes_only and any(isinstance(trap, of_trades) for trap in self.traps):
            raise UsageError(
                "sample",
                expected="no traps of trades in a sample of minutes only",
                found=", ".join(
                    type(trap).__name__ for trap in self.traps if isinstance(trap, of_trades)
                ),
            )

    @property
    def first(self) -> date:
        """The first day."""
        return self.start or LAST_DAY - timedelta(days=self.days - 1)

    @property
    def last(self) -> date:
        """The last day, included."""
        return self.first + timedelta(days=self.days - 1)

    @property
    def today(self) -> date:
        """The day on which the source is seen: what ended before it is published."""
        return self.published or self.last + timedelta(days=1)

    @property
    def simulated(self) -> tuple[DataType, ...]:
        """The types that this market has and that are asked for."""
        return tuple(
            data_type
            for data_type in self.types
            if self.market in REGISTRY[data_type].markets
            and not (self.minutes_only and data_type is DataType.AGGTRADES)
        )

    def all_days(self) -> Iterator[date]:
        """Every simulated day that is published."""
        yield from days_between(self.first, min(self.last, self.today - timedelta(days=1)))

    def has_month(self, data_type: DataType, month: Period) -> bool:
        """Whether the source holds the monthly file of `month`."""
        if Partition.MONTHLY not in REGISTRY[data_type].partitions:
            return False
        if data_type is DataType.FUNDING and self.running_month_funding:
            return True
        return month.end <= self.today

    def has_day(self, data_type: DataType, day: date) -> bool:
        """Whether the source holds the daily file of `day`."""
        if Partition.DAILY not in REGISTRY[data_type].partitions:
            return False
        if self.daily_since is None or day >= self.daily_since:
            return True
        return not self.has_month(data_type, Period.month(day))
