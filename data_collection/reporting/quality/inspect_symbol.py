"""Look at one symbol: its month files in, what they show and its own findings out.

Runs in worker processes: everything given back is plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl

from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.reconciliation_cache import reconciled
from alphaqcm.data_collection.reporting.quality.lives import BASE, STEPS, lives_of
from alphaqcm.data_collection.reporting.quality.model import Reconciled
from alphaqcm.data_collection.reporting.quality.month_files import (
    MonthFile,
    MonthView,
    Seen,
    SeriesLook,
    month_files,
    whole_span,
)
from alphaqcm.data_collection.reporting.quality.partition_compare import partition_findings
from alphaqcm.pipeline.checks import cross, openinterest, settlements
from alphaqcm.pipeline.checks.bars import examine
from alphaqcm.pipeline.checks.bars.findings import bar_findings, idle_spans
from alphaqcm.pipeline.checks.bars.gaps import Life
from alphaqcm.pipeline.checks.bars.quiet import Quiet
from alphaqcm.pipeline.checks.finding import Finding, TimeRange
from alphaqcm.pipeline.checks.reconcile import reconciliation_findings
from alphaqcm.pipeline.checks.trades import TradeMonth, trade_findings
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.domain.series_type import parse_typed
from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US
from alphaqcm.pipeline.errors import BadName

_OWN_HOURS = "klines:1h"
REFERENCES = ("markPriceKlines:1h", "indexPriceKlines:1h")
LISTED_EVIDENCE = 6
_BAR_COLUMNS = ("open", "high", "low", "close")
_Frames = dict[str, dict[str, pl.DataFrame]]  # series -> month stamp -> rows


@dataclass(frozen=True, slots=True)
class SymbolLook:
    """What one symbol's layers show.

    `covered` is how much time its rows cover (microseconds), by series and month stamp; `traded`
    the share of the hours with trades that aggTrades have, by month stamp.
    """

    symbol: str
    covered: Mapping[str, Mapping[str, int]]
    traded: Mapping[str, float]
    lives: Mapping[str, Life]
    quiet: Quiet | None  # minutes without volume
    alive: TimeRange | None  # from the first trade to the last, as the minutes tell it
    findings: tuple[Finding, ...]
    reconciled: Reconciled
    inputs: Mapping[str, Mapping[str, str]]  # series -> archive key -> sha256


def look_at(settings: RunSettings, symbol: str, *, deep: bool = False) -> SymbolLook:
    """Read and examine every month file of `symbol` that the settings name.

    `deep` compares monthly with daily archive files, and fetches those that are not at hand.
    """
    series = {name: SeriesLook(name, symbol) for name in settings.types}
    files = {name: list(month_files(settings, gathered)) for name, gathered in series.items()}
    frames: _Frames = {name: {} for name in settings.types}
    for name, gathered in series.items():
        look = _examiner(name, frames[name])
        for file in files[name]:
            gathered.examine(file, look)
    compared = _reconcile(settings, symbol, files.get(DataType.AGGTRADES, []))
    lives = lives_of(symbol, series, compared.beyond)
    traded = _traded(series[BASE].months, lives[BASE].silent) if BASE in lives else []
    findings = [
        *(finding for gathered in series.values() for finding in gathered.findings),
        *compared.findings,
        *_own_findings(symbol, series, traded),
        *_cross(symbol, files, frames),
        *partition_findings(settings, symbol, files, deep=deep),
    ]
    whole = whole_span(settings)
    return SymbolLook(
        symbol,
        {name: gathered.covered for name, gathered in series.items()},
        compared.shares,
        lives,
        Quiet.of(symbol, series[BASE].months, lives[BASE].gaps) if BASE in lives else None,
        TimeRange(traded[0].start, traded[-1].end) if traded else None,
        tuple(
            narrowed(finding)
            for finding in findings
            if finding.period.start < whole.end and whole.start < finding.period.end
        ),
        compared.total,
        {name: gathered.inputs for name, gathered in series.items()},
    )


def _examiner(name: str, frames: dict[str, pl.DataFrame]) -> Callable[[MonthFile], Seen | None]:
    """How to look at a month file of a series; `frames` takes the hours that are compared later."""
    data_type, _ = parse_typed(name)
    if data_type is DataType.AGGTRADES:
        return _examine_aggtrades
    if data_type is DataType.FUNDING:
        return _examine_settlements
    if data_type is DataType.METRICS:
        return _examine_metrics
    return partial(_examine_bars, name, frames)


def _examine_bars(name: str, frames: dict[str, pl.DataFrame], file: MonthFile) -> Seen | None:
    data_type, interval = parse_typed(name)
    time = "minute" if name == BASE else "open_time"
    volume = ("volume",) if data_type is DataType.KLINES else ()
    frame = file.read((time, *_BAR_COLUMNS, *volume))
    frames[file.month.stamp] = cross.hours_of_minutes(frame) if name == BASE else frame
    view = examine.examine_bars(frame, time, STEPS[interval])
    return None if view is None else Seen(view, view.rows * STEPS[interval])


def _examine_aggtrades(file: MonthFile) -> Seen | None:
    """The month's ends from the parquet's own statistics, its counters from the footer."""
    if file.metadata.num_rows == 0:
        return None
    group = file.metadata.row_group(0)
    found = {
        column.path_in_schema: column.statistics
        for column in (group.column(index) for index in range(group.num_columns))
    }
    minute = found["minute"]
    month = TradeMonth(
        int(minute.min.timestamp()) * 1_000_000,
        int(minute.max.timestamp()) * 1_000_000,
        int(found["first_agg_trade_id"].min),
        int(found["last_agg_trade_id"].max),
        {} if file.report.counters is None else file.report.counters.to_dict(),
    )
    return Seen(month, 0)  # what should be there is known from the klines: see _reconcile


def _examine_settlements(file: MonthFile) -> Seen:
    frame = file.read(("calc_time", "funding_interval_hours"))
    view = settlements.examine_settlements(frame)
    return Seen(view, sum(item.interval for item in view) * HOUR_US)


def _examine_metrics(file: MonthFile) -> Seen:
    # a day's file belongs to the day whole: its last row is known at the next midnight
    frame = file.read_all(("known_time", "file_date", "sum_open_interest"))
    day = pl.col("file_date").cast(pl.Datetime("us")).dt.epoch("us")
    view = openinterest.examine_metrics(frame.filter(day >= file.span.start, day < file.span.end))
    return Seen(view, sum(day.distinct for day in view) * openinterest.STEP_US)


def _hours_in(pairs: Sequence[Sequence[int]]) -> int:
    return sum(end - start for start, end in pairs) // HOUR_US


@dataclass(frozen=True, slots=True)
class _Reconciliation:
    """A symbol's aggTrades against its klines: the total, shares by month, and findings."""

    total: Reconciled
    shares: Mapping[str, float]
    findings: list[Finding]
    beyond: list[TimeRange]  # hours with trades that the klines lack


def _reconcile(settings: RunSettings, symbol: str, files: Sequence[MonthFile]) -> _Reconciliation:
    """Roll up what is kept of each month's comparison; it is made where none is kept."""
    kept: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {}
    without = []
    for file in files:
        compared = reconciled(settings.layout, symbol, file.month)
        if compared is None:
            without.append(file.month.stamp)
        else:
            kept[file.month.stamp] = (compared, tuple(file.inputs))
    months = [told for told, _ in kept.values()]
    one_sided = {
        stamp: (_hours_in(told["only_klines"]), _hours_in(told["only_aggtrades"]))
        for stamp, (told, _) in kept.items()
    }
    total = Reconciled(
        hours=sum(told["hours"] for told in months),
        exact=sum(told["exact"] for told in months),
        rounding=sum(told["rounding"] for told in months),
        mismatched=sum(told["mismatched"] for told in months),
        one_sided=sum(lacking + beyond for lacking, beyond in one_sided.values()),
        months_without=tuple(without),
    )
    shares = {}
    for stamp, (told, _) in kept.items():
        wanted = told["hours"] + one_sided[stamp][0]
        shares[stamp] = told["hours"] / wanted if wanted else 1.0
    beyond = [TimeRange(*span) for told, _ in kept.values() for span in told["only_aggtrades"]]
    findings = reconciliation_findings(symbol, list(kept.values()))
    return _Reconciliation(total, shares, findings, beyond)


def _own_findings(
    symbol: str, series: Mapping[str, SeriesLook], traded: Sequence[TimeRange]
) -> list[Finding]:
    """Everything that this symbol's series show by themselves."""
    findings: list[Finding] = []
    for name, gathered in series.items():
        data_type, interval = parse_typed(name)
        if data_type is DataType.AGGTRADES:
            findings += trade_findings(symbol, gathered.months)
        elif data_type is DataType.FUNDING:
            findings += settlements.funding_findings(symbol, gathered.months, traded)
        elif data_type is DataType.METRICS:
            findings += openinterest.metrics_findings(symbol, gathered.months, traded)
        else:
            findings += bar_findings(name, symbol, gathered.months, STEPS[interval])
    return findings


def _traded(months: Sequence[MonthView], silent_gaps: Collection[TimeRange]) -> list[TimeRange]:
    """The spans with trades: the life without silent gaps and idle spans of a day or more."""
    whole = examine.life(months, STEPS["1m"])
    if whole is None:
        return []
    silent = [*silent_gaps, *idle_spans(months)]
    spans, start = [], whole.start
    for span in sorted(span for span in silent if span.end - span.start >= DAY_US):
        if span.start > start:
            spans.append(TimeRange(start, span.start))
        start = max(start, span.end)
    return [*spans, TimeRange(start, whole.end)] if start < whole.end else spans


def _cross(symbol: str, files: Mapping[str, Sequence[MonthFile]], frames: _Frames) -> list[Finding]:
    """Mark and index prices, and the archive's own 1h bars, against the minutes' hours."""
    others = {
        name: {file.month.stamp: file for file in files[name] if file.month.stamp in frames[name]}
        for name in (_OWN_HOURS, *REFERENCES)
        if name in files
    }
    findings: list[Finding] = []
    for stamp, own in frames.get(BASE, {}).items():
        used = {name: months[stamp] for name, months in others.items() if stamp in months}
        there = {name: frames[name][stamp] for name in used}
        view = cross.examine_cross(own, there.pop(_OWN_HOURS, None), there)
        if view:
            evidence = tuple(key for file in used.values() for key in file.inputs)
            month = examine.MonthOf(next(iter(used.values())).span, view, evidence)
            findings += cross.cross_findings(symbol, month)
    return findings


def narrowed(finding: Finding) -> Finding:
    """The finding with only the archive files of its own span as evidence.

    Where there is none of that span (it is missing), the last before and the first after it.
    """
    others: list[str] = []
    near: list[str] = []
    before: list[tuple[int, str]] = []
    after: list[tuple[int, str]] = []
    for key in finding.evidence:
        try:
            period = ArchiveFile.parse(key).period
        except BadName:
            others.append(key)  # a path, not an archive key
            continue
        if period.end_us <= finding.period.start:
            before.append((period.end_us, key))
        elif finding.period.end <= period.start_us:
            after.append((period.start_us, key))
        else:
            near.append(key)
    around = [key for _, key in sorted(before)[-1:] + sorted(after)[:1]]
    return replace(finding, evidence=(*others, *(near[:LISTED_EVIDENCE] or around)))
