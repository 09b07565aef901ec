"""The month files of one symbol as checks read them: cut to the run's range, with evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from data_collection.settings import RunSettings, parse_typed
from pipeline.checks.bars import MonthOf
from pipeline.checks.files import file_findings
from pipeline.checks.finding import DAY_US, Finding, Severity, Span
from pipeline.keys import Period, epoch_us, months_between
from pipeline.layers import read_footer

MonthView = MonthOf[Any]


@dataclass(slots=True)
class SeriesLook:
    """One series of the symbol as it is gathered."""

    name: str
    months: list[MonthView] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MonthFile:
    """A month file that is there, with its footer."""

    path: Path
    month: Period
    span: Span  # the part of the month that the run covers
    inputs: dict[str, str]
    report: Mapping[str, Any]

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Its rows inside the run's range; the first column is the time."""
        frame = pl.read_parquet(self.path, columns=list(columns), use_statistics=False)
        time = pl.col(columns[0]).dt.epoch("us")
        return frame.filter(time >= self.span.start, time < self.span.end)

    def of(self, view: Any) -> MonthView:
        """An examination of it, with its evidence."""
        files: Mapping[str, Any] = self.report.get("files", {})
        return MonthOf(
            self.span,
            view,
            tuple(self.inputs),
            tuple((key, told["outside"]) for key, told in files.items() if told.get("outside")),
        )


def whole_span(settings: RunSettings) -> Span:
    """The run's range in microseconds."""
    return Span(epoch_us(settings.span.start), epoch_us(settings.span.end) + DAY_US)


def month_files(
    settings: RunSettings, name: str, symbol: str, gathered: SeriesLook
) -> Iterator[MonthFile]:
    """The series' month files that are there; a torn one becomes a finding."""
    data_type, interval = parse_typed(name)
    whole = whole_span(settings)
    for month in months_between(settings.span.start, settings.span.end):
        path = settings.layout.month_file(data_type, interval, symbol, month)
        if not path.exists():
            continue
        span = Span(max(whole.start, month.start_us), min(whole.end, month.end_us))
        footer = read_footer(path)
        if footer is None:
            gathered.findings.append(
                Finding(
                    Severity.ERROR,
                    "layer-unreadable",
                    name,
                    symbol,
                    span,
                    "a month file with its fingerprint",
                    f"{path.name}: torn or foreign; the same run rebuilds it",
                    (str(path),),
                )
            )
            continue
        inputs = {str(key): str(sha) for key, sha in footer["fingerprint"]["inputs"]}
        gathered.inputs |= inputs
        gathered.findings += file_findings(name, symbol, span, tuple(inputs), footer["report"])
        yield MonthFile(path, month, span, inputs, footer["report"])
