"""Doing one task of a run: the month, hourly and factor steps; and telling what is current."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from data_collection.archive import Archive, FetchOptions
from data_collection.month_step import MonthStep
from data_collection.settings import RunSettings, parse_typed, series_of
from data_collection.tasks import Committing, Outcome, Result, Task, TaskKind
from pipeline import hourly
from pipeline.errors import layer_error
from pipeline.keys import Period, months_between
from pipeline.layers import Fingerprint, layer_inputs


class Steps:
    """Performs the tasks of one run; opens the archive when it is first needed."""

    def __init__(self, settings: RunSettings, archive: Archive) -> None:
        self.settings = settings
        self.archive = archive

    def perform(self, task: Task, commit: Committing) -> Outcome:
        """Do `task`; raises `PipelineError` when it fails."""
        if task.kind is TaskKind.MONTH:
            return self._month(task).perform(self.archive, commit)
        outcome = self.current(task)
        if outcome is not None:
            with commit(outcome):
                return outcome
        if task.kind is TaskKind.HOURLY:
            return self._build_hourly(task, commit)
        return self._build_factors(task, commit)

    def current(self, task: Task) -> Outcome | None:
        """The task's outcome where nothing is to be fetched or built; None where something is."""
        if task.kind is TaskKind.MONTH:
            step = self._month(task)
            return step.current(self.archive.periods(step.series), self.archive.peek)
        if task.kind is TaskKind.HOURLY:
            return self._current_hourly(task)
        return self._current_factors(task)

    def size(self, task: Task) -> int:
        """Bytes of archive ZIPs behind a task, for the largest-first order."""
        if task.kind is not TaskKind.MONTH:
            return 0
        series = series_of(self.settings.market, task.type, task.symbol)
        available = self.archive.periods(series)
        month = Period.parse(task.month)
        if month in available:
            return available[month].size
        return sum(available[day].size for day in map(Period.day, month.days()) if day in available)

    def _month(self, task: Task) -> MonthStep:
        settings = self.settings
        data_type, interval = parse_typed(task.type)
        month = Period.parse(task.month)
        return MonthStep(
            series=series_of(settings.market, task.type, task.symbol),
            month=month,
            span=settings.span,
            path=settings.layout.month_file(data_type, interval, task.symbol, month),
        )

    def month_files(self, type_name: str, symbol: str) -> list[tuple[str, Path]]:
        """(input key, path) of the month files of the run that are there, in order."""
        data_type, interval = parse_typed(type_name)
        span, layout = self.settings.span, self.settings.layout
        found = []
        for month in months_between(span.start, span.end):
            path = layout.month_file(data_type, interval, symbol, month)
            if path.exists():
                found.append((f"{type_name}/{symbol}/{month.stamp}", path))
        return found

    def _hourly_fingerprint(self, task: Task) -> Fingerprint:
        span = self.settings.span
        return Fingerprint(
            f"hourly/{task.type}",
            hourly.VERSION,
            layer_inputs(self.month_files(task.type, task.symbol)),
            (("start", span.start.isoformat()), ("end", span.end.isoformat())),
        )

    def _current_hourly(self, task: Task) -> Outcome | None:
        path = self.settings.layout.hourly_file(task.data_type, task.symbol)
        if not self.month_files(task.type, task.symbol):
            return Outcome(Result.ABSENT)
        meta = hourly.read_meta(path)
        if meta is None or meta.fingerprint != self._hourly_fingerprint(task):
            return None
        return Outcome(Result.DONE, rows=meta.rows, output=str(path))

    def _build_hourly(self, task: Task, commit: Committing) -> Outcome:
        settings = self.settings
        path = settings.layout.hourly_file(task.data_type, task.symbol)
        fingerprint = self._hourly_fingerprint(task)
        months = [read_layer(file) for _, file in self.month_files(task.type, task.symbol)]
        frame = hourly.hourly_frame(task.data_type, months, settings.span)
        outcome = Outcome(Result.DONE, built=True, rows=frame.height, output=str(path))
        hourly.write_hourly(
            frame,
            path,
            series_of(settings.market, task.type, task.symbol),
            settings.span,
            fingerprint,
            datetime.now(UTC).isoformat(timespec="seconds"),
            lambda: commit(outcome),
        )
        return outcome


def read_layer(path: Path) -> pl.DataFrame:
    """A layer's parquet as a frame; raises `LayerError`."""
    try:
        return pl.read_parquet(path)
    except OSError as error:
        raise layer_error(path, error) from error


@contextmanager
def open_steps(settings: RunSettings) -> Iterator[Steps]:
    """Steps with their archive open, for one process."""
    with Archive.open(
        settings.source,
        cache=settings.layout.cache,
        listing=settings.listing,
        options=FetchOptions(**settings.fetch),
    ) as archive:
        yield Steps(settings, archive)
