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
from alphaqcm.data_collection.build.settings import RunSettings, parse_typed, series_of
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner, open_task_runner
from alphaqcm.data_collection.build.update.change_index import month_file
from alphaqcm.data_collection.queue.task import Outcome, Task
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import PipelineError
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
class BatchResult:
    """What one call in the pool did."""

    done: list[SymbolResult]
    downloaded: int  # bytes, brought for all of them at once
    retried_errors: Mapping[str, int]  # attempts gone wrong and mended, by kind


def perform(settings: RunSettings, jobs: Sequence[SymbolJob]) -> BatchResult:
    """Do some jobs in this process, after bringing all their files at once."""
    with open_task_runner(settings, listing_age=LISTING_AGE) as steps:
        downloaded = _bring(steps, jobs)
        table = ExistingTable(settings.layout.final_table())
        done = [_perform_job(steps, table, job) for job in jobs]
        return BatchResult(done, downloaded, steps.retried_errors)


def _bring(steps: TaskRunner, jobs: Sequence[SymbolJob]) -> int:
    """Fetch what the jobs need, many files at once: one by one, each would wait for its answers.

    Gives the bytes that came. What goes wrong the tasks meet themselves, and tell it.
    """
    came: list[int] = []

    def count(_file: ArchiveFile, result: Fetched | Missing) -> None:
        came.append(result.downloaded if isinstance(result, Fetched) else 0)

    with contextlib.suppress(PipelineError):
        files = [file for job in jobs for file in _wanted(steps, job)]
        if files:
            steps.archive.fetch(files, count)
    return sum(came)


def _wanted(steps: TaskRunner, job: SymbolJob) -> Iterator[ArchiveFile]:
    """The files behind a job's tasks; each series is looked up once, however many its months."""
    span = steps.settings.span
    by_type: dict[str, list[Period]] = {}
    for task in job.tasks:
        by_type.setdefault(task.type, []).append(Period.parse(task.month))
    for name, months in by_type.items():
        series = series_of(steps.settings.market, name, job.symbol)
        records = {record.key: record for record in steps.archive.ledger.of_series(series)}
        first = max(span.start, min(month.start for month in months))
        last = min(span.end, max(month.end for month in months) - timedelta(days=1))
        starts = {month.start for month in months}
        for file in wanted_files(series, (first, last), steps.archive.periods(series), records):
            if file.period.start.replace(day=1) in starts:
                yield file


@contextlib.contextmanager
def _commit(_outcome: Outcome) -> Iterator[None]:
    """The root is held alone: nobody else can commit the same file."""
    yield


def _perform_job(steps: TaskRunner, table: ExistingTable, job: SymbolJob) -> SymbolResult:
    settings = steps.settings
    outcomes: dict[Task, Outcome] = {}
    failures: dict[Task, str] = {}
    first: dict[str, date] = {}  # input -> first day that changed, where it is known
    for task in job.tasks:
        path = month_file(settings, task)
        before = read_fingerprint(path)
        try:
            outcomes[task] = steps.perform(task, _commit)
        except PipelineError as error:
            failures[task] = str(error)
            continue
        after = read_fingerprint(path)
        if before is not None and after is not None and before != after:
            _note_change(first, task, before, after, job.inputs)
    if failures:
        return SymbolResult(outcomes, failures, None)
    symbol = Symbol(settings.market, job.symbol)
    if not steps.month_files("klines:1m", job.symbol):
        return SymbolResult(outcomes, failures, None)
    fingerprint = table_fingerprint(settings.layout, symbol, settings.span, job.known)
    since = _since(job, input_digests(fingerprint), first, settings, table)
    growth = compute_append(table, settings.layout, symbol, settings.span, since, fingerprint)
    return SymbolResult(outcomes, failures, growth)


def input_name(task: Task) -> str:
    """A month's name among the inputs of its symbol's rows; empty for a type that is none."""
    field = _FIELD_OF.get(parse_typed(task.type))
    return f"{field}/{task.month}" if field else ""


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
    day = first_change(old, new, Period.parse(task.month))
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
