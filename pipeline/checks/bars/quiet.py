"""Stretches of bars without volume: of one symbol, or of all at once (an outage of the exchange).

The archive goes on with bars of volume 0 while nothing trades, so such a stretch is no gap. Which
stretches are worth telling depends on how often the symbols trade: only those that chance would
hardly ever give, were each bar without volume by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from alphaqcm.pipeline.checks.bars.examine import IDLE_US, QUIET_US, BarMonth, MonthOf
from alphaqcm.pipeline.checks.bars.gaps import COMMON, LISTED_EVIDENCE, length_text
from alphaqcm.pipeline.checks.finding import EVERY, Finding, Severity, TimeRange
from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US

ALONE_US = HOUR_US
"""So long a symbol alone is without volume before it is told; all at once `QUIET_US`."""
CHANCE = 1e-6
"""How many stretches of a length chance may give in all the time for one to be worth telling."""
_LEAST_SHARE = 1e-6


@dataclass(frozen=True, slots=True)
class Quiet:
    """When one symbol's bars of a minute have no volume, or are missing."""

    symbol: str
    span: TimeRange  # from its first bar to its last
    stretches: tuple[TimeRange, ...]  # without volume, months joined
    gaps: tuple[TimeRange, ...]
    share: float  # of its bars that have no volume
    files: tuple[tuple[TimeRange, tuple[str, ...]], ...]  # months, and what they were made from

    @classmethod
    def of(
        cls, symbol: str, months: Sequence[MonthOf[BarMonth]], gaps: Sequence[TimeRange]
    ) -> Quiet | None:
        """Of a symbol's months in order of time; None without bars."""
        if not months:
            return None
        joined: list[TimeRange] = []
        for stretch in (stretch for month in months for stretch in month.view.quiet):
            if joined and joined[-1].end == stretch.start:
                joined[-1] = TimeRange(joined[-1].start, stretch.end)
            else:
                joined.append(stretch)
        return cls(
            symbol,
            TimeRange(months[0].view.first, months[-1].view.last + MINUTE_US),
            tuple(stretch for stretch in joined if stretch.end - stretch.start >= QUIET_US),
            tuple(gaps),
            sum(month.view.without_volume for month in months)
            / sum(month.view.rows for month in months),
            tuple((month.span, month.evidence) for month in months),
        )

    @property
    def log_share(self) -> float:
        """Logarithm of the share of bars without volume, as if there always were some."""
        return math.log(max(self.share, _LEAST_SHARE))

    def evidence(self, span: TimeRange) -> tuple[str, ...]:
        """The files of the months that `span` lies in."""
        return tuple(
            key
            for month, keys in self.files
            if month.start < span.end and span.start < month.end
            for key in keys
        )


def quiet_findings(series: str, symbols: Sequence[Quiet]) -> list[Finding]:
    """Stretches without volume of all symbols at once, told once, and long ones of one symbol.

    Stretches of a day and more are no quiet market but a dead one: `bar_findings` tells them.
    """
    outages = list(_common(symbols))
    findings = [_outage(series, outage, symbols) for outage in outages]
    for one in symbols:
        for stretch in one.stretches:
            minutes = (stretch.end - stretch.start) // MINUTE_US
            told = any(o.span.start < stretch.end and stretch.start < o.span.end for o in outages)
            long = ALONE_US <= stretch.end - stretch.start < IDLE_US
            if long and not told and _hardly_chance(one.span, minutes * one.log_share):
                findings.append(
                    Finding(
                        Severity.WARNING,
                        "bars-without-trades",
                        series,
                        one.symbol,
                        stretch,
                        "trades",
                        f"{length_text(stretch)} without volume",
                        one.evidence(stretch),
                    )
                )
    return findings


@dataclass(frozen=True, slots=True)
class _Piece:
    """A span in which the same symbols trade and the same do not."""

    span: TimeRange
    silent: int  # symbols without volume or bars
    alive: int
    logs: float  # sum of the silent ones' `log_share`, a minute
    bars: bool  # whether one of them has bars there


def _hardly_chance(whole: TimeRange, log_probability: float) -> bool:
    minutes = max(1, (whole.end - whole.start) // MINUTE_US)
    return math.log(minutes) + log_probability < math.log(CHANCE)


def _common(symbols: Sequence[Quiet]) -> Iterator[_Piece]:
    """Stretches in which (nearly) all symbols that live are without volume at the same time."""
    if not symbols:
        return
    whole = TimeRange(min(one.span.start for one in symbols), max(one.span.end for one in symbols))
    joined: list[list[_Piece]] = []
    for piece in _pieces(symbols):
        if piece.alive < 2 or piece.silent < COMMON * piece.alive:
            continue
        if joined and joined[-1][-1].span.end == piece.span.start:
            joined[-1].append(piece)
        else:
            joined.append([piece])
    for pieces in joined:
        span = TimeRange(pieces[0].span.start, pieces[-1].span.end)
        chance = sum(
            piece.logs * ((piece.span.end - piece.span.start) / MINUTE_US) for piece in pieces
        )
        if (
            span.end - span.start >= QUIET_US
            and any(piece.bars for piece in pieces)
            and _hardly_chance(whole, chance)
        ):
            most = max(pieces, key=lambda piece: piece.silent)
            yield _Piece(span, most.silent, most.alive, chance, bars=True)


def _pieces(symbols: Sequence[Quiet]) -> Iterator[_Piece]:
    """All time in order, cut wherever a symbol starts or stops to live or to be without volume."""
    changes: dict[int, list[tuple[int, int, int, float]]] = {}

    def note(span: TimeRange, silent: int, alive: int, bars: int, logs: float) -> None:
        changes.setdefault(span.start, []).append((silent, alive, bars, logs))
        changes.setdefault(span.end, []).append((-silent, -alive, -bars, -logs))

    for one in symbols:
        note(one.span, 0, 1, 0, 0.0)
        for spans, bars_there in ((one.stretches, 1), (one.gaps, 0)):
            for span in spans:
                if span.end - span.start >= IDLE_US:
                    note(span, 0, -1, 0, 0.0)  # dead meanwhile
                else:
                    note(span, 1, 0, bars_there, one.log_share)
    silent = alive = bars = 0
    logs = 0.0
    for start, end in pairwise(sorted(changes)):
        for change in changes[start]:
            silent, alive, bars = silent + change[0], alive + change[1], bars + change[2]
            logs += change[3]
        if silent:
            yield _Piece(TimeRange(start, end), silent, alive, logs, bars > 0)


def _outage(series: str, outage: _Piece, symbols: Sequence[Quiet]) -> Finding:
    keys = sorted({key for one in symbols for key in one.evidence(outage.span)})
    return Finding(
        Severity.WARNING,
        "exchange-outage",
        series,
        EVERY,
        outage.span,
        "trades of some symbol",
        f"{length_text(outage.span)} without volume for {outage.silent} of {outage.alive} symbols, "
        "in bars that are there",
        tuple(keys[:LISTED_EVIDENCE]),
    )
