"""Doing one task of a run: the month, hourly and factor steps; and telling what is current."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import polars as pl
from filelock import FileLock

from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from alphaqcm.data_collection.build.settings import RunSettings, parse_typed, series_of, typed
from alphaqcm.data_collection.build.stages.month_inputs import lookup_cached
from alphaqcm.data_collection.build.stages.month_task import MonthTask
from alphaqcm.data_collection.build.stages.reconciliation_cache import reconciled
from alphaqcm.data_collection.queue.task import CommitContext, Outcome, Task, TaskKind, TaskResult
from alphaqcm.pipeline.domain.period import Period, months_between
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import BadName, layer_error
from alphaqcm.pipeline.reading.aggtrades import load_kernels
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, layer_inputs
from alphaqcm.pipeline.tables import hourly
from alphaqcm.pipeline.tables.symbol_table import (
    build_symbol_table,
    current_table,
    read_inputs,
    table_fingerprint,
    write_symbol_table,
)


class _NotCompiled(Exception):
    """Something would have to be compiled."""


def _refuse() -> None:
    raise _NotCompiled


class TaskRunner:
    """Performs the tasks of one run; opens the archive when it is first needed."""

    def __init__(
        self, settings: RunSettings, opener: Callable[[], Archive], say: Callable[[str], None]
    ) -> None:
        self.settings = settings
        self._opener = opener
        self._say = say

    @cached_property
    def archive(self) -> Archive:
        """The run's archive, opened when it is first asked for."""
        return self._opener()

    @property
    def retried_errors(self) -> dict[str, int]:
        """What went wrong in single attempts so far, by kind."""
        return dict(self.archive.retried_errors) if "archive" in self.__dict__ else {}

    @cached_property
    def _kernel(self) -> None:
        """The compiled reading of aggTrades, loaded."""
        try:
            load_kernels(_refuse)
        except _NotCompiled:
            # one at a time: the others then load what the first one compiled
            with FileLock(self.settings.layout.temp / "compile.lock"):
                load_kernels(lambda: self._say("compiling for this machine, once"))

    def perform(self, task: Task, commit: CommitContext) -> Outcome:
        """Do `task`; raises `PipelineError` when it fails."""
        if task.symbol not in self.settings.symbols:  # a name is a path's part as well
            raise BadName(f"task {task.id}", expected="a symbol of the run")
        if task.kind is TaskKind.MONTH:
            if task.data_type is DataType.AGGTRADES:
                _ = self._kernel
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
            outcome = step.current(self.archive.available(step.series), lookup_cached(self.archive))
            if outcome is not None:
                step.record_holes(self.archive, outcome)
            return outcome
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

    def _month(self, task: Task) -> MonthTask:
        settings = self.settings
        data_type, interval = parse_typed(task.type)
        month = Period.parse(task.month)
        return MonthTask(
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

    def _hourly(self, task: Task) -> Artifact:
        """The hourly CSV as it should be."""
        span, layout = self.settings.span, self.settings.layout
        fingerprint = Fingerprint(
            f"hourly/{task.type}",
            hourly.VERSION,
            layer_inputs(self.month_files(task.type, task.symbol)),
            (("start", span.start.isoformat()), ("end", span.end.isoformat())),
        )
        path = layout.hourly_file(task.data_type, task.symbol)
        return Artifact(path, fingerprint, layout.store)

    def _current_hourly(self, task: Task) -> Outcome | None:
        if not self.month_files(task.type, task.symbol):
            return Outcome(TaskResult.ABSENT)
        artifact = self._hourly(task)
        record = artifact.current()
        if record is None:
            return None
        rows = int(record.report["rows"])
        return Outcome(TaskResult.DONE, rows=rows, output=str(artifact.path))

    def _build_hourly(self, task: Task, commit: CommitContext) -> Outcome:
        settings = self.settings
        artifact = self._hourly(task)
        months = [read_layer(file) for _, file in self.month_files(task.type, task.symbol)]
        frame = hourly.hourly_frame(task.data_type, months, settings.span)
        output = str(artifact.path)
        outcome = Outcome(TaskResult.DONE, built=True, rows=frame.height, output=output)
        hourly.write_hourly(
            frame,
            artifact,
            series_of(settings.market, task.type, task.symbol),
            settings.span,
            datetime.now(UTC).isoformat(timespec="seconds"),
            lambda: commit(outcome),
        )
        return outcome

    def _symbol(self, task: Task) -> Symbol:
        return Symbol(self.settings.market, task.symbol)

    def _current_factors(self, task: Task) -> Outcome | None:
        settings, symbol = self.settings, self._symbol(task)
        layout = settings.layout
        if not self.month_files(typed(DataType.KLINES, "1m"), task.symbol):
            return Outcome(TaskResult.ABSENT)
        report = current_table(layout, symbol, settings.span)
        if report is None:
            return None
        path = layout.symbol_table(symbol)
        return Outcome(TaskResult.DONE, rows=report.rows, output=str(path))

    def _build_factors(self, task: Task, commit: CommitContext) -> Outcome:
        settings, symbol = self.settings, self._symbol(task)
        fingerprint = table_fingerprint(settings.layout, symbol, settings.span)
        inputs = read_inputs(settings.layout, symbol, settings.span)
        table = build_symbol_table(symbol, inputs, settings.span)
        for month in months_between(settings.span.start, settings.span.end):
            reconciled(settings.layout, task.symbol, month)  # kept for reports
        outcome = Outcome(
            TaskResult.DONE,
            built=True,
            rows=table.frame.height,
            output=str(settings.layout.symbol_table(symbol)),
        )
        write_symbol_table(table, settings.layout, symbol, fingerprint, lambda: commit(outcome))
        return outcome


def read_layer(path: Path) -> pl.DataFrame:
    """A layer's parquet as a frame; raises `LayerError`."""
    try:
        return pl.read_parquet(path, glob=False)
    except OSError as error:
        raise layer_error(path, error) from error


@contextmanager
def open_task_runner(
    settings: RunSettings,
    *,
    listing_age: float = 0.0,
    alone: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[TaskRunner]:
    """Steps for one process; a listing kept less than `listing_age` seconds ago will do.

    `alone`: the run's other processes fetch nothing meanwhile. `say` hears what takes long.
    """
    with ExitStack() as stack:

        def opener() -> Archive:
            options = FetchOptions(**{"listing_age": listing_age, **settings.fetch})
            archive = Archive.open(
                settings.source,
                cache=settings.layout.cache,
                listing=settings.listing,
                options=options if alone else options.shared_by(settings.shared_by),
            )
            return stack.enter_context(archive)

        yield TaskRunner(settings, opener, say)
