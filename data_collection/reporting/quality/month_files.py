"""The month files of one symbol as checks read them: cut to the run's range, with evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.pipeline.checks.bars.examine import MonthOf
from alphaqcm.pipeline.checks.files import file_findings
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange
from alphaqcm.pipeline.domain.period import Period, months_between
from alphaqcm.pipeline.domain.series_type import parse_typed
from alphaqcm.pipeline.domain.time import DAY_US, epoch_us
from alphaqcm.pipeline.errors import LayerError, layer_error
from alphaqcm.pipeline.reading.month_report import MonthReport
from alphaqcm.pipeline.storage.artifact import record_in

MonthView = MonthOf[Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What an examination of a month file gives: a view, and how much time its rows cover (us)."""

    view: Any
    covered: int


@dataclass(slots=True)
class SeriesLook:
    """One series of the symbol as it is gathered."""

    name: str
    symbol: str
    months: list[MonthView] = field(default_factory=list)
    covered: dict[str, int] = field(default_factory=dict)  # month stamp -> microseconds
    inputs: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def examine(self, file: MonthFile, look: Callable[[MonthFile], Seen | None]) -> None:
        """Take in what `look` sees in `file`; one that cannot be read is a finding."""
        try:
            seen = look(file)
        except LayerError as error:
            self.unreadable(file.path, file.span, error.found)
            return
        if seen is not None:
            self.months.append(file.of(seen.view))
            self.covered[file.month.stamp] = seen.covered

    def unreadable(self, path: Path, span: TimeRange, found: str) -> None:
        """A month file that is torn or foreign."""
        self.findings.append(
            Finding(
                Severity.ERROR,
                "layer-unreadable",
                self.name,
                self.symbol,
                span,
                "a month file with its fingerprint",
                f"{path.name}: {found}; the same run rebuilds it",
                (str(path),),
            )
        )


@dataclass(frozen=True, slots=True)
class MonthFile:
    """A month file that is there, with what its footer says."""

    path: Path
    month: Period
    span: TimeRange  # the part of the month that the run covers
    metadata: pq.FileMetaData
    inputs: dict[str, str]
    report: MonthReport

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Its rows inside the run's range; the first column is the time. Raises `LayerError`."""
        frame = self.read_all(columns)
        if self.span == TimeRange(self.month.start_us, self.month.end_us):
            return frame
        time = pl.col(columns[0]).dt.epoch("us")
        return frame.filter(time >= self.span.start, time < self.span.end)

    def read_all(self, columns: Sequence[str]) -> pl.DataFrame:
        """All its rows; raises `LayerError`."""
        try:
            return self._read(columns, self.metadata)
        except (OSError, ValueError):
            pass  # or a new file took its place since its footer was read
        try:
            return self._read(columns, None)
        except (OSError, ValueError) as error:
            raise layer_error(self.path, error) from error

    def _read(self, columns: Sequence[str], metadata: pq.FileMetaData | None) -> pl.DataFrame:
        with pq.ParquetFile(self.path, metadata=metadata) as file:
            return pl.DataFrame(file.read(list(columns), use_threads=False))

    def of(self, view: Any) -> MonthView:
        """An examination of it, with its evidence."""
        files = self.report.files or {}
        return MonthOf(
            self.span,
            view,
            tuple(self.inputs),
            tuple((key, told.outside) for key, told in files.items() if told.outside),
        )


def whole_span(settings: RunSettings) -> TimeRange:
    """The run's range in microseconds."""
    return TimeRange(epoch_us(settings.span.start), epoch_us(settings.span.end) + DAY_US)


def month_files(settings: RunSettings, gathered: SeriesLook) -> Iterator[MonthFile]:
    """The series' month files that are there; a torn one becomes a finding."""
    name, symbol = gathered.name, gathered.symbol
    data_type, interval = parse_typed(name)
    whole = whole_span(settings)
    for month in months_between(settings.span.start, settings.span.end):
        path = settings.layout.month_file(data_type, interval, symbol, month)
        span = TimeRange(max(whole.start, month.start_us), min(whole.end, month.end_us))
        try:
            metadata = pq.read_metadata(path)
            record = record_in(metadata)
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            record = None
        if record is None:
            gathered.unreadable(path, span, "torn or foreign")
            continue
        inputs = {one.key: one.sha256 for one in record.fingerprint.inputs}
        report = MonthReport.from_dict(record.report)
        gathered.inputs |= inputs
        gathered.findings += file_findings(name, symbol, span, tuple(inputs), report)
        yield MonthFile(path, month, span, metadata, inputs, report)
