"""Whether a symbol's other series show that it did not trade while its bars are missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from alphaqcm.pipeline.checks.bars.examine import MonthOf
from alphaqcm.pipeline.checks.finding import TimeRange
from alphaqcm.pipeline.checks.trades import TradeMonth
from alphaqcm.pipeline.domain.time import MINUTE_US


@dataclass(frozen=True, slots=True)
class Presence:
    """When a series has rows that tell of a market: from its first to its last, but for `absent`.

    A series tells nothing of a time before its first row or after its last one.
    """

    span: TimeRange
    absent: tuple[TimeRange, ...]

    @classmethod
    def at(cls, rows: Sequence[TimeRange]) -> Presence | None:
        """Of rows that each stand for some time, in order; None without rows."""
        if not rows:
            return None
        absent = [
            TimeRange(one.end, other.start)
            for one, other in pairwise(rows)
            if one.end < other.start
        ]
        return cls(TimeRange(rows[0].start, rows[-1].end), tuple(absent))

    def silent(self, gap: TimeRange) -> bool | None:
        """Whether it has no row in `gap`; None where it cannot tell."""
        if not (self.span.start < gap.start and gap.end < self.span.end):
            return None
        return any(one.start <= gap.start and gap.end <= one.end for one in self.absent)


@dataclass(frozen=True, slots=True)
class Trading:
    """What aggTrades tell: their months, and when they have trades that the bars lack."""

    months: Sequence[MonthOf[TradeMonth]]
    beyond: Sequence[TimeRange]

    def silent(self, gap: TimeRange) -> bool | None:
        """Whether nothing was traded in `gap`: False with trades in it, None where ids are missing.

        Trade ids that go on over the gap show that there was none.
        """
        if any(span.start < gap.end and gap.start < span.end for span in self.beyond):
            return False
        before = [n for n, month in enumerate(self.months) if month.view.first < gap.start]
        after = [n for n, month in enumerate(self.months) if month.view.last >= gap.end - MINUTE_US]
        if not before or not after:
            return None
        around = self.months[before[-1] : after[0] + 1]
        whole = all(
            counters.get("id_gaps", 0) == counters.get("single_skips", 0)
            for counters in (month.view.counters for month in around)
        )
        steps = (other.view.first_id - one.view.last_id - 1 for one, other in pairwise(around))
        return True if around and whole and all(step in (0, 1) for step in steps) else None


def silent_gaps(
    gaps: Iterable[TimeRange], trading: Trading, others: Sequence[Presence]
) -> frozenset[TimeRange]:
    """The gaps of which the archive itself shows that nothing was traded.

    Trades decide; where they do not tell, all other series that tell must be without a row, and
    there must be one.
    """
    silent = set()
    for gap in gaps:
        told = trading.silent(gap)
        if told is None:
            said = [one for other in others if (one := other.silent(gap)) is not None]
            told = bool(said) and all(said)
        if told:
            silent.add(gap)
    return frozenset(silent)
