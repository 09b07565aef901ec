"""Every symbol looked at side by side, judged together, and rolled up into one report."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import partial

from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.process.process_pool import process_pool
from alphaqcm.data_collection.reporting.quality.inspect_symbol import SymbolLook, look_at, narrowed
from alphaqcm.data_collection.reporting.quality.lives import BASE, STEPS
from alphaqcm.data_collection.reporting.quality.model import Coverage, Provenance, Report
from alphaqcm.data_collection.reporting.quality.month_files import whole_span
from alphaqcm.data_collection.reporting.quality.table_report import TableLook, look_at_table
from alphaqcm.pipeline.checks.bars.gaps import gap_findings, life_findings, traded_findings
from alphaqcm.pipeline.checks.bars.quiet import quiet_findings
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, worst_first
from alphaqcm.pipeline.domain.period import months_between
from alphaqcm.pipeline.domain.registry import DataType, HourRule, spec_of
from alphaqcm.pipeline.domain.series_type import parse_typed
from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US

_FEW = 3
"""Up to so many symbols a pool of processes costs more than it gives."""


def gather(
    settings: RunSettings, provenance: Provenance, created_at: str, *, deep: bool = False
) -> Report:
    """Look at everything the settings name; `provenance` is completed with the inputs.

    `deep` also compares every monthly file with its daily files, which may download those.
    """
    looks, table = _looks(settings, deep=deep)
    findings = [finding for look in looks for finding in look.findings]
    for name in settings.types:
        findings += map(narrowed, _together(name, looks, settings))
    if table is not None:
        findings += table.findings
    return Report(
        created_at=created_at,
        market=settings.market.value,
        start=settings.span.start.isoformat(),
        end=settings.span.end.isoformat(),
        symbols=settings.symbols,
        findings=worst_first(findings),
        coverage=tuple(_coverage(name, looks, settings) for name in settings.types),
        reconciled={look.symbol: look.reconciled for look in looks},
        provenance=_with_inputs(provenance, looks),
        table=None if table is None else table.summary,
    )


def _looks(settings: RunSettings, *, deep: bool) -> tuple[list[SymbolLook], TableLook | None]:
    look = partial(look_at, settings, deep=deep)
    workers = min(len(os.sched_getaffinity(0)), len(settings.symbols))
    if workers < 2 or len(settings.symbols) <= _FEW:
        return [look(symbol) for symbol in settings.symbols], look_at_table(settings)
    with process_pool(workers) as pool:
        table = pool.submit(look_at_table, settings)  # the longest piece goes first
        return list(pool.map(look, settings.symbols)), table.result()


def _together(name: str, looks: Sequence[SymbolLook], settings: RunSettings) -> list[Finding]:
    """What only shows with the other symbols, or the base bars, beside it."""
    data_type, interval = parse_typed(name)
    bars = spec_of(data_type).hour_rule is HourRule.BAR
    lives = {look.symbol: look.lives.get(name) for look in looks}
    spans = {symbol: None if life is None else life.span for symbol, life in lives.items()}
    whole = whole_span(settings)
    if name == BASE or BASE not in settings.types:
        wanted = dict.fromkeys(spans, whole)
    else:
        wanted = {look.symbol: look.alive for look in looks if look.alive is not None}
    slack = _slack(data_type, interval)
    found = life_findings(name, spans, wanted, slack)
    if name == BASE:
        found += traded_findings(name, spans, _trading(looks, whole), slack)
        found += quiet_findings(name, [look.quiet for look in looks if look.quiet is not None])
    if bars:
        there = [life for life in lives.values() if life is not None]
        found += gap_findings(name, there)
    return found


def _trading(looks: Sequence[SymbolLook], whole: TimeRange) -> dict[str, TimeRange]:
    """From each symbol's first trade to its last inside the run's range, where it has trades."""
    found = {}
    for look in looks:
        if (trades := look.lives.get(DataType.AGGTRADES)) is not None:
            start = max(whole.start, trades.span.start)
            end = min(whole.end, trades.span.end)
            if start < end:
                found[look.symbol] = TimeRange(start, end)
    return found


def _slack(data_type: DataType, interval: str) -> int:
    """How far from the life's ends the first and last row may lie."""
    if data_type is DataType.FUNDING:
        return 8 * HOUR_US
    if data_type is DataType.METRICS:
        return DAY_US
    return STEPS[interval] if interval else HOUR_US


def _coverage(name: str, looks: Sequence[SymbolLook], settings: RunSettings) -> Coverage:
    """Of every month the share that is there, of the days on which the symbol was alive."""
    months = tuple(months_between(settings.span.start, settings.span.end))
    whole = whole_span(settings)
    shares = {}
    for look in looks:
        alive = look.alive or whole
        row: list[float | None] = []
        for month in months:
            start = max(whole.start, alive.start, month.start_us)
            wanted = min(whole.end, alive.end, month.end_us) - start
            covered = look.covered[name].get(month.stamp)
            if name == DataType.AGGTRADES and month.stamp in look.traded:
                row.append(look.traded[month.stamp])
            elif wanted <= 0:
                row.append(None if covered is None else 1.0)
            else:
                row.append(min(1.0, (covered or 0) / wanted))
        shares[look.symbol] = tuple(row)
    return Coverage(name, tuple(month.stamp for month in months), shares)


def _with_inputs(provenance: Provenance, looks: Iterable[SymbolLook]) -> Provenance:
    every: dict[str, str] = {}
    by_series: dict[str, int] = {}
    for look in looks:
        for name, inputs in look.inputs.items():
            every |= inputs
            by_series[name] = by_series.get(name, 0) + len(inputs)
    lines = "".join(f"{key} {every[key]}\n" for key in sorted(every))
    return Provenance(
        command=provenance.command,
        versions=provenance.versions,
        source=provenance.source,
        inputs=len(every),
        inputs_sha256=hashlib.sha256(lines.encode()).hexdigest(),
        by_series=by_series,
        table_sha256=provenance.table_sha256,
    )


def failing(report: Report, severities: Sequence[Severity]) -> list[Finding]:
    """The findings of the chosen severities."""
    return [finding for finding in report.findings if finding.severity in severities]
