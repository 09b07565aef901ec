"""Performs one task of a run (month, hourly, factors), and tells what is current."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from alphaqcm.data_collection.archive.selection import Selection, find_files
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.month_task import MADE_AGAIN, MonthTask
from alphaqcm.data_collection.build.stages.period_task import current_months, make_months
from alphaqcm.data_collection.build.stages.reconciliation_cache import reconciled
from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.queue.task import CommitContext, Outcome, TaskResult
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.period import months_between
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.domain.series_type import SeriesType
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import BadName
from alphaqcm.pipeline.reading.aggtrades import load_kernels
from alphaqcm.pipeline.reading.month_sources import by_month, month_sources
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, layer_inputs, read_frame
from alphaqcm.pipeline.storage.file_digest import Proof
from alphaqcm.pipeline.storage.layout import month_name
from alphaqcm.pipeline.storage.verified_read import examine
from alphaqcm.pipeline.tables import hourly
from alphaqcm.pipeline.tables.symbol_table import (
    build_symbol_table,
    current_table,
    read_inputs,
    table_fingerprint,
    write_symbol_table,
)

COMPILE_LOCK = "compile.lock"
"""Below `_tmp`: who holds it compiles what reads the trades, and others wait."""


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

    @property
    def brought(self) -> int:
        """Bytes that have come from the source so far, also of files that are not whole yet."""
        return self.archive.brought if "archive" in self.__dict__ else 0

    @cached_property
    def _kernel(self) -> None:
        """The compiled reading of aggTrades, loaded."""
        try:
            load_kernels(_refuse)
        except _NotCompiled:
            # one at a time: the others then load what the first one compiled
            with FileLock(self.settings.layout.temp / COMPILE_LOCK):
                load_kernels(lambda: self._say("compiling for this machine, once"))

    def perform(self, task: Task, commit: CommitContext) -> Outcome:
        """Do `task`; raises `PipelineError` when it fails."""
        if task.symbol not in self.settings.symbols:  # a name is a path's part as well
            raise BadName(f"task {task.id}", expected="a symbol of the run")
        if task.stage is Stage.MONTH:
            if task.series_type.type is DataType.AGGTRADES:
                _ = self._kernel
            with self._passing() as used:
                return make_months(self._months(task), self.archive, commit, used)
        outcome = self.current(task)
        if outcome is not None:
            with commit(outcome):
                return outcome
        if task.stage is Stage.HOURLY:
            return self._build_hourly(task, commit)
        return self._build_factors(task, commit)

    @contextmanager
    def _passing(self) -> Iterator[set[Path]]:
        """Archive files that a task used; where the data root is no disk they are not kept on one.

        With `keep_zips` they are put into its cache before.
        """
        used: set[Path] = set()
        try:
            yield used
        finally:
            store = self.settings.layout.store
            for path in used if self.settings.store else ():
                if self.settings.keep_zips and path.exists():
                    store.upload(path, path)
                path.unlink(missing_ok=True)

    def perform_by_id(self, name: str, commit: CommitContext) -> Outcome:
        """Do the task of this id, as the queue knows it; raises `PipelineError`."""
        return self.perform(Task.parse(name), commit)

    def current(self, task: Task) -> Outcome | None:
        """The task's outcome where nothing is to be fetched or built; None where something is."""
        if task.stage is Stage.MONTH:
            return current_months(self._months(task), self.archive)
        if task.stage is Stage.HOURLY:
            return self._current_hourly(task)
        return self._current_factors(task)

    def is_damaged(self, task: Task) -> bool:
        """Whether a month file of a MONTH task lies there and is not what was written."""
        return any(
            examine(one.path, one.store).proof is Proof.DAMAGED for one in self._months(task)
        )

    def sizes(self, tasks: Iterable[Task]) -> dict[str, int]:
        """Bytes of archive ZIPs behind MONTH tasks, by id; asks the listing."""
        series = {task: task.series(self.settings.market) for task in tasks}
        listing = self.archive.list_many(series.values())
        months = {one: by_month(periods) for one, periods in listing.items()}
        return {
            task.id: sum(
                listing[one][file.period].size
                for month in task.months(self.settings.span)
                for file in month_sources(
                    one, month, months[one].get(month.start, ()), (), (), self.settings.span
                )
                if file.period in listing[one]
            )
            for task, one in series.items()
        }

    def find_files(self) -> list[ArchiveFile]:
        """Every archive file of the run; raises `UsageError` for symbols of which there is none."""
        run = self.settings
        return find_files(self.archive, Selection(run.market, run.symbols, run.types, run.span))

    def _months(self, task: Task) -> list[MonthTask]:
        settings, one = self.settings, task.series_type
        series = task.series(settings.market)
        folder = settings.layout.months(one.type, one.interval) / task.symbol
        return [
            MonthTask(
                series, month, settings.span, folder / month_name(month), settings.layout.store
            )
            for month in task.months(settings.span)
        ]

    def month_files(self, one: SeriesType, symbol: str) -> list[tuple[str, Path]]:
        """(input key, path) of the month files of the run that are there, in order."""
        span = self.settings.span
        folder = self.settings.layout.months(one.type, one.interval) / symbol
        found = []
        for month in months_between(span.start, span.end):
            path = folder / month_name(month)
            if self.settings.layout.store.stat(path) is not None:
                found.append((f"{one}/{symbol}/{month.stamp}", path))
        return found

    def _hourly(self, task: Task) -> Artifact:
        """The hourly CSV as it should be."""
        span, layout = self.settings.span, self.settings.layout
        fingerprint = Fingerprint(
            f"hourly/{task.type}",
            hourly.VERSION,
            layer_inputs(self.month_files(task.series_type, task.symbol), layout.store),
            (("start", span.start.isoformat()), ("end", span.end.isoformat())),
        )
        path = layout.hourly_file(task.series_type.type, task.symbol)
        return Artifact(path, fingerprint, layout.store)

    def _current_hourly(self, task: Task) -> Outcome | None:
        if not self.month_files(task.series_type, task.symbol):
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
        months = [
            read_frame(file, store=settings.layout.store)
            for _, file in self.month_files(task.series_type, task.symbol)
        ]
        frame = hourly.hourly_frame(task.series_type.type, months, settings.span)
        notes = (MADE_AGAIN,) if artifact.is_damaged() else ()
        output = str(artifact.path)
        outcome = Outcome(TaskResult.DONE, built=1, rows=frame.height, output=output, notes=notes)
        hourly.write_hourly(
            frame,
            artifact,
            task.series(settings.market),
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
        if not self.month_files(SeriesType(DataType.KLINES, "1m"), task.symbol):
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
            built=1,
            rows=table.frame.height,
            output=str(settings.layout.symbol_table(symbol)),
            notes=(MADE_AGAIN,) if _was_damaged(settings, symbol, fingerprint) else (),
        )
        write_symbol_table(table, settings.layout, symbol, fingerprint, lambda: commit(outcome))
        return outcome


def _was_damaged(settings: RunSettings, symbol: Symbol, fingerprint: Fingerprint) -> bool:
    """Whether a symbol's table is built again for its bytes or its stages' and nothing else."""
    layout = settings.layout
    artifact = Artifact(layout.symbol_table(symbol), fingerprint, layout.store)
    return artifact.is_damaged() or artifact.is_current()


@contextmanager
def open_task_runner(
    settings: RunSettings,
    *,
    listing_age: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
    looks_only: bool = False,
) -> Iterator[TaskRunner]:
    """The task runner of one process; a listing kept less than `listing_age` seconds ago will do.

    `say` hears what takes long. `looks_only`: it tells what is current and fetches nothing itself.
    """
    with ExitStack() as stack:

        def opener() -> Archive:
            archive = Archive.open(
                settings.source,
                cache=settings.layout.cache,
                listing=settings.listing,
                ledger_dir=settings.layout.ledger_dir,
                files_may_be_gone=looks_only and bool(settings.store),
                options=FetchOptions(**{"listing_age": listing_age, **settings.fetch}),
            )
            return stack.enter_context(archive)

        yield TaskRunner(settings, opener, say)
