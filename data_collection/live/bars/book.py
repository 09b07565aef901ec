"""What is known of one symbol: its candles up to the first that is missing, and those after it.

A candle is taken over once. One that comes again with the same values changes nothing; with other
values the better source counts, and the change is a revision. Nothing here knows of time, network
or files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from alphaqcm.data_collection.live.bars.series import Row, Series, Sources
from alphaqcm.data_collection.live.events import BarSource
from alphaqcm.data_collection.live.files.tables import Numbers, Times


class Outcome(StrEnum):
    """What an offered candle has done."""

    TAKEN = "taken"  # the next ones are in place
    WAITING = "waiting"  # an earlier one is missing
    SAME = "same"  # it was known
    REVISED = "revised"  # it changed one that was known
    REFUSED = "refused"  # it differs from one of a better source
    TOO_OLD = "too old"  # before everything that is kept


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed candle on its way."""

    open_ms: int
    values: Row
    source: BarSource
    received_ns: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """What became of a candle; `taken` are those now in place, in order of time."""

    outcome: Outcome
    taken: tuple[Candle, ...] = ()
    before: tuple[Row, BarSource] | None = None  # what was known, where it differs


@dataclass(slots=True)
class Book:
    """One symbol. `expected_ms` is the open time of the candle that must come next."""

    interval_ms: int
    series: Series
    expected_ms: int
    waiting: dict[int, Candle] = field(default_factory=dict)
    gaps: set[int] = field(default_factory=set)  # open times of which the exchange has no candle

    @property
    def complete_to_ms(self) -> int:
        """Every candle that ends up to here is in place, or known not to exist."""
        return self.expected_ms

    def offer(self, candle: Candle) -> Offer:
        """Take a candle over, keep it for later, or hold it against the one that is known."""
        if candle.open_ms == self.expected_ms:
            self._append(candle)
            return Offer(Outcome.TAKEN, (candle, *self._follow()))
        if candle.open_ms > self.expected_ms:
            return self._wait(candle)
        index = self.series.index(candle.open_ms)
        if index is None:
            return Offer(Outcome.TOO_OLD)
        known = self.series.at(index)
        if known[0] == candle.values:
            if candle.source > known[1]:
                self.series.replace(index, candle.values, candle.source)
            return Offer(Outcome.SAME)
        if candle.source < known[1]:
            return Offer(Outcome.REFUSED, before=known)
        self.series.replace(index, candle.values, candle.source)
        return Offer(Outcome.REVISED, before=known)

    def absent(
        self, until_ms: int, *, flat: bool = False
    ) -> tuple[tuple[int, ...], tuple[Candle, ...]]:
        """The exchange has none of the expected candles before `until_ms` that are not known.

        Returns the open times that are gaps from now on, and the candles that are in place now.
        What lies before the very first candle is no gap. With `flat` a gap gets a candle without
        volume at the close before it.
        """
        gaps: list[int] = []
        taken: list[Candle] = []
        while self.expected_ms < until_ms:
            open_ms = self.expected_ms
            if open_ms not in self.waiting:
                if len(self.series):
                    gaps.append(open_ms)
                if flat and len(self.series):
                    candle = flat_candle(open_ms, self.series.at(len(self.series) - 1)[0])
                    self._append(candle)
                    taken.append(candle)
                else:
                    self.expected_ms += self.interval_ms
            taken += self._follow()
        self.gaps.update(gaps)
        return tuple(gaps), tuple(taken)

    def begin(
        self, open_ms: Times, values: Numbers, sources: Sources, expected_ms: int
    ) -> tuple[Candle, ...]:
        """Take over history; holes in it are gaps. Returns the waiting candles now in place."""
        self.series.extend(open_ms, values, sources)
        self.expected_ms = expected_ms
        for known in [known for known in self.waiting if known < expected_ms]:
            del self.waiting[known]
        return tuple(self._follow())

    def _append(self, candle: Candle) -> None:
        self.series.append(candle.open_ms, candle.values, candle.source)
        self.expected_ms = candle.open_ms + self.interval_ms

    def _follow(self) -> list[Candle]:
        """What has waited for its turn."""
        found = []
        while (candle := self.waiting.pop(self.expected_ms, None)) is not None:
            self._append(candle)
            found.append(candle)
        return found

    def _wait(self, candle: Candle) -> Offer:
        known = self.waiting.get(candle.open_ms)
        if known is None or candle.source > known.source:
            self.waiting[candle.open_ms] = candle
        if known is None:
            return Offer(Outcome.WAITING)
        if known.values == candle.values:
            return Offer(Outcome.SAME)
        before = (known.values, known.source)
        if candle.source < known.source:
            return Offer(Outcome.REFUSED, before=before)
        self.waiting[candle.open_ms] = candle
        return Offer(Outcome.REVISED, before=before)


def flat_candle(open_ms: int, before: Row) -> Candle:
    """A candle in which nothing was traded, after one with these values."""
    close = before[3]
    return Candle(open_ms, (close, close, close, close, 0.0, 0.0, 0.0, 0.0, 0.0), BarSource.FLAT)
