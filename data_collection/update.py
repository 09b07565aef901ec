"""Bring a data root up to date: only what is new or changed at the source, and the new table.

Month files that nothing changed for are not even opened: a mark of the listing and of the file on
disk is kept for each. Every symbol is one job for a pool of processes: its month files, then its
new rows. The table is then written in the old one's place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

from data_collection.catalogue import describe, write_catalogue
from data_collection.errors import UsageError
from data_collection.pool import process_pool
from data_collection.road import Progress, travel
from data_collection.settings import RunSettings, parse_typed
from data_collection.steps import Steps, open_steps
from data_collection.tasks import Outcome, Task, TaskKind
from data_collection.update_marks import Memory, fresh_marks, listing_marks, month_file, on_disk
from pipeline.columns import VERSION
from pipeline.errors import PipelineError
from pipeline.growth import (
    Growth,
    OldTable,
    changed_months,
    first_change,
    grow,
    write_grown,
)
from pipeline.keys import Period, Symbol
from pipeline.layers import (
    Fingerprint,
    Layout,
    read_fingerprint,
)
from pipeline.symbol_table import INPUT_TYPES, require_wide, table_fingerprint
from pipeline.wide import DEFAULTS, WideTable, build_final

_LISTING_AGE = 3600.0  # seconds: the pool's processes use the listing that was just made
_FEW = 4  # symbols: for so few a pool costs more than it gives
_FIELD_OF = {kind: name for name, kind in INPUT_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Job:
    """One symbol: what is known of it from the last time."""

    symbol: str  # exchange name
    tasks: tuple[Task, ...]  # MONTH tasks that may have something to do
    inputs: Mapping[str, str] | None  # what its rows of the table were made of; None: unknown
    known: Mapping[Path, str]  # digests of the month files that are as they were


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a job."""

    outcomes: dict[Task, Outcome]
    failures: dict[Task, str]
    growth: Growth | None  # None: failed, or no minutes at all


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did; the table is None where nothing changed or something failed."""

    progress: Progress
    looked_at: int  # month files that may have had something to do
    table: WideTable | None


def update(settings: RunSettings, workers: int, lock: int) -> Updated:
    """Do it; the caller holds the data root, `lock` is its descriptor.

    Raises `UsageError`, `PipelineError`.
    """
    require_wide(settings.market)
    layout = settings.layout
    if not layout.final_table().exists():
        raise UsageError(
            layout.final_table(),
            expected="the table of an earlier run",
            found="none",
            next_step="alphaqcm run makes it",
        )
    memory = Memory.read(layout.temp / "update.json")
    with open_steps(settings) as steps:
        marks = listing_marks(steps)
    held = OldTable(layout.final_table()).fingerprint
    jobs = _jobs(settings, memory, marks, held)
    lost = sum(job.inputs is None for job in jobs)
    if not _can_grow(held, settings) or lost > max(_FEW, len(jobs) // 4):
        return _rebuild(settings, workers, lock)
    results = _perform(settings, jobs, workers)
    progress = Progress()
    for done in results:
        progress.outcomes |= done.outcomes
        progress.failures |= done.failures
    progress.built = sum(outcome.built for outcome in progress.outcomes.values())
    progress.downloaded = sum(outcome.downloaded for outcome in progress.outcomes.values())
    looked_at = sum(len(job.tasks) for job in jobs)
    table = None if progress.failures else _publish(settings, results)
    memory.marks = fresh_marks(settings, marks, memory, progress)
    if not progress.failures:
        growths = [done.growth for done in results if done.growth is not None]
        memory.inputs = {growth.symbol: input_digests(growth.fingerprint) for growth in growths}
    memory.write(layout.temp / "update.json")
    return Updated(progress, looked_at, table)


def _rebuild(settings: RunSettings, workers: int, lock: int) -> Updated:
    """The whole road, where the table's rows are of no use: all of them do not fit into memory."""
    with open_steps(settings, listing_age=_LISTING_AGE) as steps:
        progress = travel(steps, workers, lock)
    symbols = [
        Symbol(settings.market, task.symbol)
        for task, outcome in progress.outcomes.items()
        if task.kind is TaskKind.FACTORS and outcome.rows
    ]
    table = None
    if not progress.failures:
        table = build_final(settings.layout, symbols, settings.span)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_catalogue(table.path, describe(settings, table.path, now))
    return Updated(progress, len(progress.outcomes), table)


def _can_grow(held: Fingerprint | None, settings: RunSettings) -> bool:
    """Whether the table's rows are of this version and begin where they should."""
    start = settings.span.start.isoformat()
    return held is not None and held.version == VERSION and dict(held.parameters)["start"] == start


def _jobs(
    settings: RunSettings, memory: Memory, marks: Mapping[Task, str], held: Fingerprint | None
) -> list[Job]:
    layout = settings.layout
    open_tasks: dict[str, list[Task]] = {}
    known: dict[str, dict[Path, str]] = {}
    for task, mark in marks.items():
        path, kept = month_file(settings, task), memory.marks.get(task.id)
        if kept is None or kept[:3] != [mark, *on_disk(path)]:
            open_tasks.setdefault(task.symbol, []).append(task)
        elif kept[3]:
            known.setdefault(task.symbol, {})[path] = kept[3]
    made_of = {one.key: one.sha256 for one in held.inputs} if held else {}
    jobs = []
    for name in settings.symbols:
        symbol = Symbol(settings.market, name)
        inputs = _known_inputs(layout, symbol, memory, made_of.get(symbol.table))
        tasks = tuple(open_tasks.get(name, ()))
        jobs.append(Job(name, tasks, inputs, known.get(name, {})))
    return jobs


def _known_inputs(
    layout: Layout, symbol: Symbol, memory: Memory, digest: str | None
) -> Mapping[str, str] | None:
    """What the table's rows of `symbol` were made of, from the last update or the symbol's table.

    Both are believed only where they give the digest that the table itself carries.
    """
    if digest is None:
        return None
    own = read_fingerprint(layout.symbol_table(symbol))
    if own is not None and own.digest == digest:
        return input_digests(own)
    kept = memory.inputs.get(symbol.table)
    return kept if kept is not None and kept.get("digest") == digest else None


def input_digests(fingerprint: Fingerprint) -> dict[str, str]:
    """The inputs' digests, and under `digest` that of all of them."""
    found = {item.key: item.sha256 for item in fingerprint.inputs}
    return {**found, "digest": fingerprint.digest}


def _perform(settings: RunSettings, jobs: Sequence[Job], workers: int) -> list[Done]:
    do = partial(perform, settings)
    if workers < 2 or len(jobs) <= _FEW:
        with open_steps(settings, listing_age=_LISTING_AGE) as steps:
            return _perform_jobs(steps, jobs)
    count = min(workers, len(jobs), os.cpu_count() or 1)
    with process_pool(count) as pool:
        chunk = max(1, len(jobs) // (2 * count))
        groups = [jobs[start : start + chunk] for start in range(0, len(jobs), chunk)]
        return [done for group in pool.map(do, groups) for done in group]


def perform(settings: RunSettings, jobs: Sequence[Job]) -> list[Done]:
    """Do some jobs in this process."""
    with open_steps(settings, listing_age=_LISTING_AGE) as steps:
        return _perform_jobs(steps, jobs)


def _perform_jobs(steps: Steps, jobs: Sequence[Job]) -> list[Done]:
    table = OldTable(steps.settings.layout.final_table())
    return [_perform_job(steps, table, job) for job in jobs]


@contextlib.contextmanager
def _commit(_outcome: Outcome) -> Iterator[None]:
    """The root is held alone: nobody else can commit the same file."""
    yield


def _perform_job(steps: Steps, table: OldTable, job: Job) -> Done:
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
        return Done(outcomes, failures, None)
    symbol = Symbol(settings.market, job.symbol)
    if not steps.month_files("klines:1m", job.symbol):
        return Done(outcomes, failures, None)
    fingerprint = table_fingerprint(settings.layout, symbol, settings.span, job.known)
    since = _since(job, input_digests(fingerprint), first, settings, table)
    growth = grow(table, settings.layout, symbol, settings.span, since, fingerprint)
    return Done(outcomes, failures, growth)


def _note_change(
    first: dict[str, date],
    task: Task,
    before: Fingerprint,
    after: Fingerprint,
    inputs: Mapping[str, str] | None,
) -> None:
    """Remember from which day on a month file differs from the one the table was made of."""
    kind = parse_typed(task.type)
    if kind not in _FIELD_OF or inputs is None:
        return
    key = f"{_FIELD_OF[kind]}/{task.month}"
    if inputs.get(key) != before.digest:
        return  # the table was made of yet another version of it
    old, new = (
        {item.key: item.sha256 for item in fingerprint.inputs} for fingerprint in (before, after)
    )
    day = first_change(old, new, Period.parse(task.month))
    if day is not None:
        first[key] = day


def _since(
    job: Job,
    now: Mapping[str, str],
    first: Mapping[str, date],
    settings: RunSettings,
    table: OldTable,
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


def _publish(settings: RunSettings, results: Sequence[Done]) -> WideTable | None:
    growths = [done.growth for done in results if done.growth is not None]
    held = read_fingerprint(settings.layout.final_table())
    unchanged = all(growth.since is None for growth in growths)
    parameters = dict(held.parameters) if held else {}
    if unchanged and parameters.get("end") == settings.span.end.isoformat():
        return None
    grown = write_grown(settings.layout, growths, settings.span, DEFAULTS)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    path = grown.table.path
    write_catalogue(path, describe(settings, path, now, grown.sha256))
    return grown.table
