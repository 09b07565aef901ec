"""UTC months and days: what one archive file covers."""

from __future__ import annotations

import calendar
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from alphaqcm.pipeline.domain.registry import Partition
from alphaqcm.pipeline.domain.time import epoch_us
from alphaqcm.pipeline.errors import BadName


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A UTC month or day: what one archive file covers."""

    start: date
    partition: Partition

    @classmethod
    def month(cls, day: date) -> Period:
        """The month that holds `day`."""
        return cls(day.replace(day=1), Partition.MONTHLY)

    @classmethod
    def day(cls, day: date) -> Period:
        """The single day `day`."""
        return cls(day, Partition.DAILY)

    @classmethod
    def parse(cls, stamp: str) -> Period:
        """Read `YYYY-MM` or `YYYY-MM-DD`; raises `BadName`."""
        try:
            if stamp.startswith(f"{date.max.year}"):
                raise ValueError  # its end is no date any more
            if re.fullmatch(r"\d{4}-\d{2}", stamp):
                return cls(date.fromisoformat(f"{stamp}-01"), Partition.MONTHLY)
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", stamp):
                return cls(date.fromisoformat(stamp), Partition.DAILY)
        except ValueError:
            pass
        raise BadName(f"period {stamp!r}", expected="YYYY-MM or YYYY-MM-DD")

    @property
    def stamp(self) -> str:
        """`YYYY-MM` or `YYYY-MM-DD`, as in the file's name."""
        day = self.start.isoformat()
        return day[:7] if self.partition is Partition.MONTHLY else day

    @property
    def end(self) -> date:
        """The first day after the period."""
        return _end_of(self.start, self.partition)

    @property
    def last(self) -> date:
        """The last day of the period."""
        return self.end - timedelta(days=1)

    @property
    def start_us(self) -> int:
        """The period's first microsecond since the epoch."""
        return epoch_us(self.start)

    @property
    def end_us(self) -> int:
        """The first microsecond after the period."""
        return epoch_us(self.end)

    def days(self) -> Iterator[date]:
        """Every day of the period, in order."""
        yield from days_between(self.start, self.last)

    def months(self) -> Iterator[Period]:
        """The month itself, or the month of the day."""
        yield Period.month(self.start)


@functools.lru_cache(maxsize=20_000)  # asked for again by every series
def _end_of(start: date, partition: Partition) -> date:
    if partition is Partition.DAILY:
        return start + timedelta(days=1)
    return start + timedelta(days=calendar.monthrange(start.year, start.month)[1])


@dataclass(frozen=True, slots=True, order=True)
class Year:
    """A UTC calendar year; no archive file covers one, tasks do."""

    number: int

    @property
    def stamp(self) -> str:
        """`YYYY`."""
        return f"{self.number:04}"

    @property
    def start(self) -> date:
        """The first day."""
        return date(self.number, 1, 1)

    @property
    def end(self) -> date:
        """The first day after the year."""
        return date(self.number + 1, 1, 1)

    def months(self) -> Iterator[Period]:
        """Its twelve months, in order."""
        yield from months_between(self.start, self.end - timedelta(days=1))


def days_between(start: date, end: date) -> Iterator[date]:
    """Every day from `start` to `end`, both included."""
    for step in range((end - start).days + 1):
        yield start + timedelta(days=step)


def months_between(start: date, end: date) -> Iterator[Period]:
    """Every month that `start`..`end` (both included) touches."""
    month = Period.month(start)
    while month.start <= end:
        yield month
        month = Period.month(month.end)
