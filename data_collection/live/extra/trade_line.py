"""The trades of one symbol by their ids: what came early waits, what came twice is dropped.

Ids of aggregated trades follow each other without gaps, so that a missing one shows by itself.
Nothing here knows of time or network.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from alphaqcm.data_collection.live.events import LiveTrade

MINUTE_US = 60_000_000
_MINUTES_KEPT = 180


@dataclass(slots=True)
class TradeLine:
    """`expected` is the id that must come next; None before the first trade."""

    expected: int | None = None
    waiting: dict[int, LiveTrade] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)  # trades by the start of their minute, µs
    since_us: int = 0  # start of the first minute of which every trade can be there

    def offer(self, trade: LiveTrade) -> list[LiveTrade]:
        """Take a trade over; gives back those whose turn it is now."""
        if self.expected is None:
            self.expected = trade.agg_id
        if trade.agg_id > self.expected:
            self.waiting.setdefault(trade.agg_id, trade)
            return []
        if trade.agg_id < self.expected:
            return []
        ready = [trade]
        self.expected += 1
        while (follower := self.waiting.pop(self.expected, None)) is not None:
            ready.append(follower)
            self.expected += 1
        if not self.since_us:
            self.since_us = trade.time_us // MINUTE_US * MINUTE_US + MINUTE_US
        for one in ready:
            minute = one.time_us // MINUTE_US * MINUTE_US
            self.counts[minute] = self.counts.get(minute, 0) + one.last_id - one.first_id + 1
        while len(self.counts) > _MINUTES_KEPT:
            del self.counts[next(iter(self.counts))]
        return ready

    def skip_to(self, agg_id: int) -> int:
        """The exchange has no trade before this id: how many ids are left out."""
        left_out = max(0, agg_id - (self.expected or agg_id))
        self.expected = max(agg_id, self.expected or agg_id)
        return left_out
