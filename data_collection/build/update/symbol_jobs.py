"""An update's work on single symbols: their month files, then their new rows.

Runs in worker processes: everything given and given back is plain data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from alphaqcm.data_collection.archive.archive import Fetched, Missing
from alphaqcm.data_collection.archive.plan import wanted_files
from alphaqcm.data_collection.build.run.task_graph import MINUTES, symbol_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import no_gate
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner, open_task_runner
from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.build.update.change_index import month_file
from alphaqcm.data_collection.queue.task import Outcome
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.series_type import SeriesType
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import LayerError, PipelineError
from alphaqcm.pipeline.storage.artifact import Fingerprint, read_fingerprint
from alphaqcm.pipeline.tables.append_rows import (
    ExistingTable,
    SymbolAppend,
    changed_months,
    compute_append,
    first_change,
)
from alphaqcm.pipeline.tables.symbol_table import INPUT_TYPES, table_fingerprint

LISTING_AGE = 3600.0
"""Seconds: the pool's processes use the listing that was just made."""
_FIELD_OF = {kind: name for name, kind in INPUT_TYPES.items()}


@dataclass(frozen=True, slots=True)
class SymbolJob:
    """One symbol: what is known of it from the last time."""

    symbol: str  # exchange name
    tasks: tuple[Task, ...]  # MONTH tasks that may have something to do
    inputs: Mapping[str, str] | None  # what its rows of the table were made of; None: unknown
    known: Mapping[str, str]  # input (field/YYYY-MM) -> digest, of month files as they were


@dataclass(frozen=True, slots=True)
class SymbolResult:
    """What became of a job."""

    outcomes: dict[Task, Outcome]
    failures: dict[Task, str]
    growth: SymbolAppend | None  # None: failed, or no minutes at all


@dataclass(frozen=True, slots=True)
class SymbolBatch:
    """Some symbols, as one task for an executor."""

    id: str
    jobs: tuple[SymbolJob, ...]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch."""

    done: list[SymbolResult]
    downloaded: int  # bytes, brought for all of them at once
    retried_errors: Mapping[str, int]  # attempts gone wrong and mended, by kind


@dataclass(frozen=True, slots=True)
class PerformBatch:
    """Does batches of an update; it can be pickled."""

    settings: RunSettings

    def __call__(self, batch: SymbolBatch) -> BatchResult:
        """Do the jobs in this process, after bringing all their files at once."""
        return perform(self.settings, batch.jobs)


def perform(settings: RunSettings, jobs: Sequence[SymbolJob]) -> BatchResult:
    """Do some jobs in this process, after bringing all their files at once."""
    with open_task_runner(settings, listing_age=LISTING_AGE) as runner:
        downloaded = _bring(runner, jobs)
        table = ExistingTable(settings.layout.final_table())
        done = [_perform_job(runner, table, job) for job in jobs]
        return BatchResult(done, downloaded, runner.retried_errors)


def _bring(runner: TaskRunner, jobs: Sequence[SymbolJob]) -> int:
    """Fetch what the jobs need, many files at once: one by one, each would wait for its answers.

    Gives the bytes that came. What goes wrong the tasks meet themselves, and tell it.
    """
    came: list[int] = []

    def count(_file: ArchiveFile, result: Fetched | Missing) -> None:
        came.append(result.downloaded if isinstance(result, Fetched) else 0)

    with contextlib.suppress(PipelineError):
        files = [file for job in jobs for file in _wanted(runner, job)]
        if files:
            runner.archive.fetch(files, count)
    return sum(came)


def _wanted(runner: TaskRunner, job: SymbolJob) -> Iterator[ArchiveFile]:
    """The files behind a job's tasks; each series is looked up once, however many its months."""
    span, archive = runner.settings.span, runner.archive
    by_type: dict[SeriesType, list[Period]] = {}
    for task in job.tasks:
        by_type.setdefault(task.series_type, []).extend(task.months(span))
    for one, months in by_type.items():
        series = one.series(runner.settings.market, job.symbol)
        available, gaps = archive.available(series), archive.known_gaps(series)
        yield from wanted_files(series, months, available, gaps, span)


def _perform_job(runner: TaskRunner, table: ExistingTable, job: SymbolJob) -> SymbolResult:
    settings = runner.settings
    outcomes: dict[Task, Outcome] = {}
    failures: dict[Task, str] = {}
    first: dict[str, date] = {}  # input -> first day that changed, where it is known
    for task in job.tasks:
        path = month_file(settings, task)
        before = read_fingerprint(path)
        try:
            outcomes[task] = runner.perform(task, no_gate)
        except PipelineError as error:
            failures[task] = str(error)
            continue
        after = read_fingerprint(path)
        if before is not None and after is not None and before != after:
            _note_change(first, task, before, after, job.inputs)
    if failures:
        return SymbolResult(outcomes, failures, None)
    if not runner.month_files(MINUTES, job.symbol):
        return SymbolResult(outcomes, failures, None)
    try:
        growth = _growth(runner, table, job, first)
    except LayerError:
        # a month file that had nothing to do is damaged: it is made again, then once more
        for task in symbol_tasks(settings, job.symbol):
            if task.stage is Stage.MONTH and runner.is_damaged(task):
                outcomes[task] = runner.perform(task, no_gate)
        growth = _growth(runner, table, job, first)
    return SymbolResult(outcomes, failures, growth)


def _growth(
    runner: TaskRunner, table: ExistingTable, job: SymbolJob, first: Mapping[str, date]
) -> SymbolAppend:
    """The new rows of a symbol; raises `LayerError` for a month file that cannot be read."""
    settings = runner.settings
    symbol = Symbol(settings.market, job.symbol)
    fingerprint = table_fingerprint(settings.layout, symbol, settings.span, job.known)
    since = _since(job, input_digests(fingerprint), first, settings, table)
    return compute_append(table, settings.layout, symbol, settings.span, since, fingerprint)


def input_name(task: Task) -> str:
    """A month's name among the inputs of its symbol's rows; empty for a type that is none."""
    one = task.series_type
    field = _FIELD_OF.get((one.type, one.interval))
    return f"{field}/{task.period.stamp}" if field and task.period else ""


def _note_change(
    first: dict[str, date],
    task: Task,
    before: Fingerprint,
    after: Fingerprint,
    inputs: Mapping[str, str] | None,
) -> None:
    """Remember from which day on a month file differs from the one the table was made of."""
    key = input_name(task)
    if not key or inputs is None:
        return
    if inputs.get(key) != before.digest:
        return  # the table was made of yet another version of it
    old, new = (
        {item.key: item.sha256 for item in fingerprint.inputs} for fingerprint in (before, after)
    )
    day = first_change(old, new, Period.parse(key.partition("/")[2]))
    if day is not None:
        first[key] = day


def _since(
    job: SymbolJob,
    now: Mapping[str, str],
    first: Mapping[str, date],
    settings: RunSettings,
    table: ExistingTable,
) -> date | None:
    """The first day whose rows must be computed; None where none must."""
    if job.inputs is None:
        return settings.span.start
    changed = changed_months(job.inputs, now) - {"digest"}
    if not changed:
        # a file read before can tell of the first moment of a day that is new
        end = date.fromisoformat(dict(table.fingerprint.parameters)["end"])  # type: ignore[union-attr]
        return None if end >= settings.span.end else end + timedelta(days=1)
    days = (first.get(key) or Period.parse(key.partition("/")[2]).start for key in changed)
    return max(settings.span.start, min(days))


def input_digests(fingerprint: Fingerprint) -> dict[str, str]:
    """The inputs' digests, and under `digest` that of all of them."""
    found = {item.key: item.sha256 for item in fingerprint.inputs}
    return {**found, "digest": fingerprint.digest}
