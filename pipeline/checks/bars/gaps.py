"""Missing bars, judged with all symbols side by side: an outage of the exchange, or only here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from alphaqcm.pipeline.checks.bars.examine import RELISTED_US
from alphaqcm.pipeline.checks.bars.findings import relisted
from alphaqcm.pipeline.checks.finding import EVERY, Finding, Severity, TimeRange
from alphaqcm.pipeline.domain.time import MINUTE_US

COMMON = 0.9
"""An outage is common when this share of the symbols alive at the time miss the same bars."""
LISTED_EVIDENCE = 5


@dataclass(frozen=True, slots=True)
class Life:
    """One symbol's bars of one series: from first to last, and what is missing in between."""

    symbol: str
    span: TimeRange
    gaps: tuple[TimeRange, ...]
    evidence: Mapping[TimeRange, tuple[str, ...]]  # of each gap
    prices: Mapping[TimeRange, tuple[float, float] | None]  # closes around each long gap
    silent: frozenset[TimeRange] = frozenset()  # gaps in which other series show no market either


@dataclass(frozen=True, slots=True)
class Outage:
    """A span in which several symbols alive miss their bars."""

    span: TimeRange
    missing: tuple[str, ...]
    alive: int

    @property
    def common(self) -> bool:
        """Whether (nearly) all symbols miss it."""
        return self.alive > 1 and len(self.missing) >= COMMON * self.alive


def segments(lives: Sequence[Life]) -> list[Outage]:
    """Cut all gaps at all their ends: each piece with who misses it and how many were alive."""
    opening: dict[int, list[str]] = {}
    closing: dict[int, list[str]] = {}
    for life in lives:
        for gap in life.gaps:
            opening.setdefault(gap.start, []).append(life.symbol)
            closing.setdefault(gap.end, []).append(life.symbol)
    edges = sorted(opening.keys() | closing.keys())
    missing: set[str] = set()
    pieces = []
    for start, end in pairwise(edges):
        missing.difference_update(closing.get(start, ()))
        missing.update(opening.get(start, ()))
        if missing:
            alive = sum(life.span.start <= start and end <= life.span.end for life in lives)
            pieces.append(Outage(TimeRange(start, end), tuple(sorted(missing)), alive))
    return pieces


def gap_findings(series: str, lives: Sequence[Life]) -> list[Finding]:
    """Common outages once for all symbols, and what a symbol misses alone."""
    pieces = segments(lives)
    return [
        *_common(series, [piece for piece in pieces if piece.common], lives),
        *_alone(series, pieces, lives),
    ]


def _common(series: str, pieces: Sequence[Outage], lives: Sequence[Life]) -> Iterator[Finding]:
    joined: list[Outage] = []
    for piece in pieces:
        if joined and joined[-1].span.end == piece.span.start:
            last = joined[-1]
            who = tuple(sorted({*last.missing, *piece.missing}))
            joined[-1] = Outage(TimeRange(last.span.start, piece.span.end), who, last.alive)
        else:
            joined.append(piece)
    for outage in joined:
        evidence = [
            key
            for life in lives
            for gap in life.gaps
            if gap.start < outage.span.end and outage.span.start < gap.end
            for key in life.evidence.get(gap, ())
        ]
        yield Finding(
            Severity.INFO,
            "exchange-outage",
            series,
            EVERY,
            outage.span,
            "bars without a gap",
            f"{length_text(outage.span)} missing for {len(outage.missing)} of {outage.alive} "
            "symbols",
            tuple(sorted(set(evidence)))[:LISTED_EVIDENCE],
        )


def _alone(series: str, pieces: Sequence[Outage], lives: Sequence[Life]) -> Iterator[Finding]:
    own: dict[str, list[Outage]] = {}
    for piece in pieces:
        if not piece.common:
            for symbol in piece.missing:
                mine = own.setdefault(symbol, [])
                if mine and mine[-1].span.end == piece.span.start:
                    span = TimeRange(mine[-1].span.start, piece.span.end)
                    mine[-1] = Outage(span, (symbol,), min(piece.alive, mine[-1].alive))
                else:
                    mine.append(piece)
    by_symbol = {life.symbol: life for life in lives}
    for symbol, outages in own.items():
        for outage in outages:
            yield _missing(series, by_symbol[symbol], outage)


def _missing(series: str, life: Life, outage: Outage) -> Finding:
    gap = next(
        gap for gap in life.gaps if gap.start <= outage.span.start and outage.span.end <= gap.end
    )
    evidence = life.evidence.get(gap, ())
    silent = gap in life.silent
    if silent and outage.span.end - outage.span.start >= RELISTED_US:
        prices = life.prices.get(gap) or (None, None)
        return relisted(series, life.symbol, outage.span, prices, evidence)
    known = "while other symbols have them" if outage.alive > 1 else "no other symbol to compare"
    if silent:
        known = "and the symbol's other files show no market either"
    return Finding(
        Severity.WARNING if silent else Severity.ERROR,
        "missing-bars",
        series,
        life.symbol,
        outage.span,
        "bars without a gap",
        f"{length_text(outage.span)} missing, {known}",
        evidence,
    )


def length_text(span: TimeRange) -> str:
    """How long it is, in words."""
    minutes = (span.end - span.start) // MINUTE_US
    return f"{minutes / 60:.4g} h" if minutes >= 60 else f"{minutes} min"


def traded_findings(
    series: str, lives: Mapping[str, TimeRange | None], traded: Mapping[str, TimeRange], slack: int
) -> list[Finding]:
    """Trades before the first and after the last bar: bars are missing there, too.

    `traded` is from each symbol's first trade to its last; `slack` (microseconds) may be missing.
    """
    findings = []
    for symbol, trades in traded.items():
        span = lives.get(symbol)
        if span is None:
            missing = [trades]
        else:
            missing = [
                TimeRange(trades.start, min(span.start, trades.end)),
                TimeRange(max(span.end, trades.start), trades.end),
            ]
        findings += [
            Finding(
                Severity.ERROR,
                "missing-bars",
                series,
                symbol,
                part,
                "bars from the first trade to the last",
                f"{length_text(part)} missing, in which the symbol traded",
            )
            for part in missing
            if part.end - part.start > slack
        ]
    return findings


def life_findings(
    series: str, lives: Mapping[str, TimeRange | None], wanted: Mapping[str, TimeRange], slack: int
) -> list[Finding]:
    """Symbols whose rows begin or end elsewhere than wanted, or that have none.

    `wanted` is the range of the run for the base bars, and the base bars' life for other series;
    `slack` is how far (microseconds) the ends may lie inside it.
    """
    findings = []
    for symbol, should in wanted.items():
        span = lives.get(symbol)
        if span is None:
            findings.append(_fact(series, symbol, "series-absent", should, "rows", "none at all"))
            continue
        if span.start > should.start + slack:
            missing = TimeRange(should.start, span.start)
            findings.append(
                _fact(series, symbol, "starts-late", missing, "rows from its start", str(span))
            )
        if span.end < should.end - slack:
            missing = TimeRange(span.end, should.end)
            findings.append(
                _fact(series, symbol, "ends-early", missing, "rows to its end", str(span))
            )
    return findings


def _fact(
    series: str, symbol: str, check: str, period: TimeRange, expected: str, found: str
) -> Finding:
    text = found if check == "series-absent" else f"rows only in {found}"
    return Finding(Severity.INFO, check, series, symbol, period, expected, text)
