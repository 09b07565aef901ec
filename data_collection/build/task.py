"""A task of a run, typed: which stage, of what, over which months, and what it needs."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period, Year
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.series_type import SeriesType
from alphaqcm.pipeline.errors import BadName


class Stage(StrEnum):
    """The three stages of a symbol, in order."""

    MONTH = "month"  # fetch a series' files of a month or year, make its month files
    HOURLY = "hourly"  # a symbol's month files of one type -> its hourly CSV
    FACTORS = "factors"  # a symbol's layers -> its stages and its own columns of the wide table


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work.

    `type` is None for FACTORS, `period` is there for MONTH tasks only. `needs` are the ids of the
    tasks that must be settled before; they do not count when tasks are compared.
    """

    stage: Stage
    symbol: str  # exchange name
    type: SeriesType | None = None
    period: Period | Year | None = None
    needs: tuple[str, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        """The task's name in the queue's state and the logs: `month/klines:1m/BTCUSDT/2024-02`."""
        parts = [self.stage.value]
        if self.type is not None:
            parts.append(str(self.type))
        parts.append(self.symbol)
        if self.period is not None:
            parts.append(self.period.stamp)
        return "/".join(parts)

    @classmethod
    def parse(cls, text: str) -> Task:
        """Read an `id` back, without its needs; raises `BadName`."""
        return _parse(text)

    @property
    def series_type(self) -> SeriesType:
        """The type of a MONTH or HOURLY task; raises `BadName` for another."""
        if self.type is None:
            raise BadName(f"task {self.id}", expected="a task of one data type")
        return self.type

    def series(self, market: Market) -> Series:
        """The archive's series of a MONTH or HOURLY task."""
        return self.series_type.series(market, self.symbol)

    def months(self, span: DateRange) -> Iterator[Period]:
        """The months of a MONTH task that have days in `span`."""
        for month in self.period.months() if self.period is not None else ():
            if month.start <= span.end and month.end > span.start:
                yield month


@functools.lru_cache(maxsize=1 << 16)
def _parse(text: str) -> Task:
    stage, *rest = text.split("/")
    try:
        if stage == Stage.FACTORS:
            (symbol,) = rest
            return Task(Stage.FACTORS, symbol)
        if stage == Stage.HOURLY:
            name, symbol = rest
            return Task(Stage.HOURLY, symbol, SeriesType.parse(name))
        name, symbol, stamp = rest
        return Task(Stage(stage), symbol, SeriesType.parse(name), _period(stamp))
    except ValueError:
        raise BadName(f"task {text!r}", expected="{stage}/{type}/{symbol}/{period}") from None


def _period(stamp: str) -> Period | Year:
    return Year(int(stamp)) if len(stamp) == 4 and stamp.isdecimal() else Period.parse(stamp)
