"""A range of UTC days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from alphaqcm.pipeline.domain.time import DAY_US, epoch_us


@dataclass(frozen=True, slots=True)
class DateRange:
    """UTC days from `start` to `end`, both included."""

    start: date
    end: date

    @property
    def start_us(self) -> int:
        """The first microsecond since the epoch."""
        return epoch_us(self.start)

    @property
    def end_us(self) -> int:
        """The first microsecond after the last day."""
        return epoch_us(self.end) + DAY_US
