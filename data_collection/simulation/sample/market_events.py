"""What happens to one symbol on the market: a sample's events, sorted out for its simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from alphaqcm.data_collection.simulation.sample.defects import (
    Delisted,
    Frozen,
    FundingChange,
    IdGap,
    Jump,
    Listed,
    Outage,
    Relisted,
    RepeatedIds,
    Trap,
    ZeroQuantity,
)
from alphaqcm.data_collection.simulation.sample.table import Ints, Mask

FOREVER = np.iinfo(np.int64).max

Span = tuple[int, int]


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch; a moment without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000_000)


@dataclass(frozen=True, slots=True)
class MarketEvents:
    """One symbol's events; times in us."""

    listed: int
    dead: tuple[Span, ...]  # from a delisting to a relisting
    bars_go_on: bool
    funding_goes_on: bool
    outages: tuple[Span, ...]
    frozen: tuple[Span, ...]
    jumps: tuple[tuple[int, float], ...]
    funding: tuple[tuple[int, int], ...]  # from when, hours; in order
    id_gaps: tuple[tuple[int, int], ...]
    zero_days: tuple[tuple[date, int], ...]
    repeated_days: tuple[date, ...]

    @classmethod
    def of(cls, symbol: str, funding_hours: int, traps: Sequence[Trap]) -> MarketEvents:
        """The events of `traps` that concern `symbol`."""
        listed, bars, funding_on = 0, True, True
        ends: list[int] = []
        returns: list[int] = []
        outages: list[Span] = []
        frozen: list[Span] = []
        jumps: list[tuple[int, float]] = []
        funding = [(0, funding_hours)]
        gaps: list[tuple[int, int]] = []
        zero: list[tuple[date, int]] = []
        repeated: list[date] = []
        for trap in traps:
            if getattr(trap, "symbol", None) not in (symbol, ""):
                continue
            match trap:
                case Outage(start, end):
                    outages.append((to_us(start), to_us(end)))
                case Listed(at=at):
                    listed = to_us(at)
                case Delisted(at=at):
                    ends.append(to_us(at))
                    bars, funding_on = trap.bars_go_on, trap.funding_goes_on
                case Relisted(at=at, factor=factor):
                    returns.append(to_us(at))
                    jumps.append((to_us(at), factor))
                case Frozen(start=start, end=end):
                    frozen.append((to_us(start), to_us(end)))
                case Jump(at=at, factor=factor):
                    jumps.append((to_us(at), factor))
                case FundingChange(at=at, hours=hours):
                    funding.append((to_us(at), hours))
                case IdGap(at=at, ids=ids):
                    gaps.append((to_us(at), ids))
                case ZeroQuantity(day=day, count=count):
                    zero.append((day, count))
                case RepeatedIds(day=day):
                    repeated.append(day)
        dead = tuple(
            (end, min((back for back in returns if back > end), default=FOREVER))
            for end in sorted(ends)
        )
        return cls(
            listed=listed,
            dead=dead,
            bars_go_on=bars,
            funding_goes_on=funding_on,
            outages=tuple(outages),
            frozen=tuple(frozen),
            jumps=tuple(jumps),
            funding=tuple(sorted(funding)),
            id_gaps=tuple(sorted(gaps)),
            zero_days=tuple(zero),
            repeated_days=tuple(repeated),
        )

    def trading(self, at: Ints) -> Mask:
        """Whether the symbol trades at these moments."""
        return self.open(at) & ~inside(at, self.dead)

    def open(self, at: Ints) -> Mask:
        """Whether the symbol is listed and the exchange up, be the symbol dead or not."""
        return (at >= self.listed) & ~inside(at, self.outages)

    def has_bars(self, at: Ints) -> Mask:
        """Whether there are bars of these moments."""
        return self.open(at) if self.bars_go_on else self.trading(at)

    def funding_hours(self, at: Ints) -> Ints:
        """Hours between settlements that hold at these moments."""
        starts = np.array([start for start, _ in self.funding], dtype=np.int64)
        hours = np.array([hours for _, hours in self.funding], dtype=np.int64)
        return np.asarray(hours[np.searchsorted(starts, at, side="right") - 1], dtype=np.int64)


def inside(at: Ints, spans: Sequence[Span]) -> Mask:
    """Whether each moment lies in one of the spans [start, end)."""
    result = np.zeros(len(at), dtype=np.bool_)
    for start, end in spans:
        result |= (at >= start) & (at < end)
    return result
