"""The report as one HTML page: no script, no network, readable on a phone and on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from alphaqcm.data_collection.archive.sources import HttpSource
from alphaqcm.data_collection.reporting.quality import charts, colours
from alphaqcm.data_collection.reporting.quality.model import Coverage, Reconciled, Report
from alphaqcm.data_collection.reporting.text import counted
from alphaqcm.pipeline.checks.finding import EVERY, Finding, Severity, TimeRange
from alphaqcm.pipeline.checks.table import SERIES as FINAL

SHOWN = 200
"""Lines of findings on the page; the JSON has all of them."""
AT_ONCE = 8
"""Lines of one check that stand on the page at once; more of them are behind a fold."""
NAMED = 4
"""Symbols, series or files named in one line; of more only the number is told."""
OUTAGES = frozenset({"exchange-outage", "missing-bars", "relisted", "metrics-days-absent"})
SECTIONS = {
    "findings": "Findings",
    "coverage": "Coverage",
    "outages": "Outages",
    "nulls": "Nulls",
    "reconciliation": "Reconciliation",
    "distributions": "Distributions",
    "provenance": "Provenance",
}
"""Every section by its id: its title, and its name among the links at the top."""
LEGENDS = {
    "coverage": (*colours.COVERAGE, colours.NO_LIFE),
    "outages": (colours.EVERYWHERE, colours.ALONE),
    "nulls": colours.NULLS,
    "reconciliation": (
        colours.DIFFERENT,
        colours.ONE_SIDED,
        colours.ROUNDING,
        colours.EXACT,
    ),
}
"""What the colours of a section's drawings mean."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """A file behind a finding: its name, and its address where it has one."""

    name: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Covered:
    """A series' coverage with its sum in words; `uneven` where a map of it tells more."""

    coverage: Coverage
    words: str
    uneven: bool

    @classmethod
    def of(cls, coverage: Coverage) -> Covered:
        """Look for months that are not complete."""
        every = [share for row in coverage.shares.values() for share in row]
        there = [share for share in every if share is not None]
        lacking = sum(share < 1 for share in there)
        size = (
            f"{counted(len(coverage.shares), 'symbol')} × {counted(len(coverage.months), 'month')}"
        )
        if not there:
            return cls(coverage, f"nothing is expected, {size}", uneven=False)
        if not any(there):
            return cls(coverage, f"nothing is there, {size}", uneven=False)
        if not lacking:
            lives = "" if len(there) == len(every) else " in every symbol's life"
            return cls(coverage, f"complete{lives}, {size}", uneven=False)
        words = f"not complete in {lacking:,} of {counted(len(there), 'symbol month')}"
        return cls(coverage, words, uneven=True)


def _maps(coverage: Sequence[Coverage]) -> list[Covered]:
    """Every series that is even by itself; of the others those that show the same together."""
    found: dict[object, Covered] = {}
    for one in map(Covered.of, coverage):
        series = one.coverage.series
        rows = (one.coverage.months, tuple(one.coverage.shares.items()))
        key = rows if one.uneven else series
        if key in found:
            series = f"{found[key].coverage.series}, {series}"
        found[key] = replace(one, coverage=replace(one.coverage, series=series))
    return list(found.values())


@dataclass(slots=True)
class Line:
    """Findings that tell the same of several series, symbols or columns of the table."""

    finding: Finding
    found: str
    symbols: list[str]
    series: list[str]
    columns: list[str]
    evidence: list[str]


def lines(findings: Sequence[Finding]) -> list[Line]:
    """The findings, those that say the same together, in their order."""
    found: dict[tuple[object, ...], Line] = {}
    for one in findings:
        column, told = _column(one)
        key = (one.severity, one.check, one.period, one.expected, told)
        line = found.setdefault(key, Line(one, told, [], [], [], []))
        for value, values in (
            (one.symbol, line.symbols),
            (one.series, line.series),
            (column, line.columns),
        ):
            if value and value not in values:
                values.append(value)
        line.evidence += [name for name in one.evidence if name not in line.evidence]
    return list(found.values())


def _column(finding: Finding) -> tuple[str, str]:
    """The column of the final table that a finding is about, where it is, and what was found."""
    column, colon, told = finding.found.partition(": ")
    return (column, told) if colon and finding.series == FINAL else ("", finding.found)


def fold(told: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The lines to show at once, the first few of each check, and those behind a fold."""
    shown: list[Line] = []
    folded: list[Line] = []
    seen: Counter[str] = Counter()
    for line in told[:SHOWN]:
        seen[line.finding.check] += 1
        (shown if seen[line.finding.check] <= AT_ONCE else folded).append(line)
    return shown, folded


def _tally(told: Sequence[Line]) -> str:
    counts = Counter(line.finding.check for line in told)
    return ", ".join(f"{count} {check}" for check, count in counts.most_common())


def _tallies(findings: Sequence[Finding]) -> dict[str, dict[str, int]]:
    """How many findings there are of each severity and check, in the order of the worst."""
    return {
        "severity": dict(Counter(str(one.severity) for one in findings)),
        "check": dict(Counter(one.check for one in findings)),
    }


def render(report: Report) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=PackageLoader("alphaqcm.data_collection.reporting.quality", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "evidence": partial(_evidence, source=report.provenance.source),
        "named": _named,
        "counted": counted,
        "tally": _tally,
        "times": _times,
        "moment": _moment,
        "percent": _percent,
        "number": _number,
        "worst_share": _worst_share,
        "mean_share": _mean_share,
    }
    outages = [finding for finding in report.findings if finding.check in OUTAGES]
    outages.sort(key=lambda finding: (finding.period, finding.symbol, finding.series))
    told = lines(report.findings)
    shown, folded = fold(told)
    covered = _maps(report.coverage)
    return environment.get_template("page.html.j2").render(
        report=report,
        sections=SECTIONS,
        legends=LEGENDS,
        shown=shown,
        folded=folded,
        tallies=_tallies(report.findings),
        listed=min(len(told), SHOWN),
        told=len(told),
        covered=covered,
        outages=outages,
        agreement=_total(report.reconciled.values()),
        severities=list(Severity),
        drawings=_drawings(report, covered, outages),
    )


def _drawings(
    report: Report, covered: Sequence[Covered], outages: Sequence[Finding]
) -> dict[str, Markup]:
    """Every drawing by its section; where nothing is amiss, words say so and nothing is drawn."""
    made = {
        f"coverage {one.coverage.series}": charts.heat_map(
            one.coverage, f"Coverage of {one.coverage.series}"
        )
        for one in covered
        if one.uneven
    }
    if outages:
        made["outages"] = charts.timeline(
            outages, report.start, report.end, "Timeline of missing rows"
        )
    if any(told.mismatched + told.one_sided for told in report.reconciled.values()):
        made["reconciliation"] = charts.reconciliation(
            report.reconciled, "aggTrades against klines, hours by agreement"
        )
    if report.table is not None:
        shares = report.table.null_shares
        if any(share for by_symbol in shares.values() for share in by_symbol.values()):
            made["nulls"] = charts.null_map(shares, "Share of nulls by symbol and column group")
        if report.table.distributions:
            made["distributions"] = charts.distributions(
                report.table.distributions, "Distributions of key factors"
            )
    # our own drawings: text in them is escaped by matplotlib
    return {name: Markup(svg) for name, svg in made.items()}  # noqa: S704


def _total(reconciled: Collection[Reconciled]) -> Reconciled:
    """All symbols together."""
    return Reconciled(
        hours=sum(told.hours for told in reconciled),
        exact=sum(told.exact for told in reconciled),
        rounding=sum(told.rounding for told in reconciled),
        mismatched=sum(told.mismatched for told in reconciled),
        one_sided=sum(told.one_sided for told in reconciled),
        months_without=tuple(sorted({m for told in reconciled for m in told.months_without})),
    )


def _named(names: Sequence[str]) -> str:
    told = ["all" if name == EVERY else name for name in names[:NAMED]]
    more = len(names) - NAMED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _evidence(keys: Sequence[str], source: str) -> list[_Evidence]:
    """Archive files with their address at an http(s) source; keys and paths as they are else."""
    http = HttpSource(source.rstrip("/")) if source.startswith(("http://", "https://")) else None
    return [
        _Evidence(key.rpartition("/")[2], http.url(key))
        if http is not None and key.startswith("data/")
        else _Evidence(key)
        for key in keys
    ]


def _times(period: TimeRange) -> list[str]:
    """A period's one or two times, none of which should be broken at the end of a line."""
    return str(period).split(" .. ")


def _moment(iso: str) -> str:
    return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M}"


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    # 100 % is said only of what is complete
    return "100 %" if share >= 1 else f"{min(share * 100, 99.99):.4g} %"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


def _worst_share(row: Sequence[float | None]) -> float | None:
    return min((share for share in row if share is not None), default=None)


def _mean_share(row: Sequence[float | None]) -> float | None:
    there = [share for share in row if share is not None]
    return sum(there) / len(there) if there else None
