"""The report as one HTML page: no script, no network, readable on a phone and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from data_collection.report import charts
from data_collection.report.model import Report
from data_collection.sources import OFFICIAL_SOURCE
from pipeline.checks.finding import EVERY, Finding, Severity
from pipeline.keys import quote_key

SHOWN = 200
"""Lines of findings on the page; the JSON has all of them."""
NAMED = 4
"""Symbols, series or files named in one line; of more only the number is told."""
OUTAGES = frozenset({"exchange-outage", "missing-bars", "relisted", "metrics-days-absent"})


@dataclass(frozen=True, slots=True)
class _Evidence:
    """A file behind a finding: its short name, and its address where it has one."""

    name: str
    address: str


@dataclass(slots=True)
class Line:
    """Findings that tell the same of several series or symbols, in one line of the page."""

    finding: Finding
    symbols: list[str]
    series: list[str]
    evidence: list[str]


def lines(findings: Sequence[Finding]) -> list[Line]:
    """The findings, those that say the same together, in their order."""
    found: dict[tuple[object, ...], Line] = {}
    for one in findings:
        key = (one.severity, one.check, one.period, one.expected, one.found)
        line = found.setdefault(key, Line(one, [], [], []))
        for value, values in ((one.symbol, line.symbols), (one.series, line.series)):
            if value not in values:
                values.append(value)
        line.evidence += [name for name in one.evidence if name not in line.evidence]
    return list(found.values())


def render(report: Report) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=PackageLoader("data_collection.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "evidence": _evidence,
        "named": _named,
        "percent": _percent,
        "number": _number,
        "worst_share": _worst_share,
        "mean_share": _mean_share,
    }
    outages = [finding for finding in report.findings if finding.check in OUTAGES]
    outages.sort(key=lambda finding: (finding.period, finding.symbol, finding.series))
    told = lines(report.findings)
    return environment.get_template("page.html.j2").render(
        report=report,
        shown=told[:SHOWN],
        told=len(told),
        outages=outages,
        severities=list(Severity),
        drawings=_drawings(report, outages),
    )


def _drawings(report: Report, outages: Sequence[Finding]) -> dict[str, Markup]:
    """Every drawing by its section; a section without data has none."""
    made = {
        f"coverage {one.series}": charts.heat_map(one, f"Coverage of {one.series}")
        for one in report.coverage
        if any(value is not None for row in one.shares.values() for value in row)
    }
    if outages:
        made["outages"] = charts.timeline(
            outages, report.start, report.end, "Timeline of missing rows"
        )
    if any(told.hours + told.one_sided for told in report.reconciled.values()):
        made["reconciliation"] = charts.reconciliation(
            report.reconciled, "aggTrades against klines, hours by agreement"
        )
    if report.table is not None:
        made["nulls"] = charts.null_map(
            report.table.null_shares, "Values there by symbol and column group"
        )
        if report.table.distributions:
            made["distributions"] = charts.distributions(
                report.table.distributions, "Distributions of key factors"
            )
    # our own drawings: text in them is escaped by matplotlib
    return {name: Markup(svg) for name, svg in made.items()}  # noqa: S704


def _named(names: Sequence[str]) -> str:
    told = ["all" if name == EVERY else name for name in names[:NAMED]]
    more = len(names) - NAMED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _evidence(keys: Sequence[str]) -> list[_Evidence]:
    return [
        _Evidence(
            key.rpartition("/")[2],
            f"{OFFICIAL_SOURCE}/{quote_key(key)}" if key.startswith("data/") else "",
        )
        for key in keys
    ]


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
