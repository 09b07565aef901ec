"""Bring a data root up to date: only what is new or changed at the source, and the new table.

Month files that nothing changed for are not even opened: a mark of the listing and of the file on
disk is kept for each. Every symbol is one job, batches of them are the tasks of an executor: month
files, then new rows. The table is then written in the old one's place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from alphaqcm.data_collection.build.damaged_files import adopt_once
from alphaqcm.data_collection.build.manifest import (
    describe,
    is_described,
    manifest_path,
    proven_manifest,
    write_manifest,
)
from alphaqcm.data_collection.build.publish import publish_full
from alphaqcm.data_collection.build.run.pool_executor import PoolExecutor
from alphaqcm.data_collection.build.run.progress import RunProgress
from alphaqcm.data_collection.build.run.run_tasks import execute
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.build.task import Task
from alphaqcm.data_collection.build.update.change_index import (
    ChangeIndex,
    fresh_marks,
    listing_marks,
    months_on_disk,
)
from alphaqcm.data_collection.build.update.symbol_jobs import (
    LISTING_AGE,
    BatchResult,
    PerformBatch,
    SymbolBatch,
    SymbolJob,
    SymbolResult,
    input_digests,
    input_name,
)
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.features.columns import VERSION
from alphaqcm.pipeline.storage.artifact import Fingerprint, read_fingerprint
from alphaqcm.pipeline.storage.file_digest import Proof
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.storage.verified_read import examine
from alphaqcm.pipeline.tables.append_rows import (
    ExistingTable,
    write_appended,
)
from alphaqcm.pipeline.tables.wide_table import DEFAULTS, WideTable

_FEW = 4  # symbols: for so few a pool costs more than it gives


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did; the table is None where nothing changed or something failed."""

    progress: RunProgress
    looked_at: int  # month files that may have had something to do
    table: WideTable | None
    healed: str = ""  # what was damaged on the disk, besides month files


def update(settings: RunSettings, workers: int, lock: int) -> Updated:
    """Do it; the caller holds the data root, `lock` is its descriptor.

    Raises `UsageError`, `PipelineError`.
    """
    if settings.market is not Market.UM:
        return _layers_only(settings, workers, lock)
    layout = settings.layout
    if layout.store.stat(layout.final_table()) is None:
        raise UsageError(
            layout.final_table(),
            expected="the table of an earlier run",
            found="none",
            next_step="alphaqcm run makes it",
        )
    if settings.store:
        return _whole(settings, workers, lock)
    adopt_once(layout)
    healed = _held_against_manifest(layout)
    index = ChangeIndex.read(layout.temp / "update.json")
    held = ExistingTable(layout.final_table()).fingerprint
    few = len(settings.symbols) <= _FEW
    count = 1 if few else min(workers, len(settings.symbols))
    perform = PerformBatch(settings)
    # no job: but all that one needs is imported while this process asks for the listing
    warm_up = partial(perform, SymbolBatch("warm-up", ()))
    executor: PoolExecutor[SymbolBatch, BatchResult] = PoolExecutor(count, warm_up)
    with executor:
        with open_task_runner(settings) as runner:
            marks = listing_marks(runner)
            retried_errors = Counter(runner.retried_errors)
        jobs = _jobs(settings, index, marks, held)
        lost = sum(job.inputs is None for job in jobs)
        if _can_grow(held, settings) and lost <= max(_FEW, len(jobs) // 4):
            batches = _batches(jobs, count)
            finished = {done.task.id: done.outcome for done in executor.run(batches, perform)}
            in_order = (finished[batch.id] for batch in batches)
            shares = [result for result in in_order if result is not None]
        else:
            shares = None
    if shares is None:
        return replace(_rebuild(settings, workers, lock), healed=healed)
    progress = RunProgress(retried_errors=retried_errors)
    for share in shares:
        progress.retried_errors.update(share.retried_errors)
    results = [done for share in shares for done in share.done]
    for done in results:
        progress.outcomes |= done.outcomes
        progress.failures |= done.failures
    progress.built = sum(outcome.built for outcome in progress.outcomes.values())
    progress.downloaded = sum(outcome.downloaded for outcome in progress.outcomes.values())
    progress.downloaded += sum(share.downloaded for share in shares)
    looked_at = sum(len(job.tasks) for job in jobs)
    table = None if progress.failures else _publish(settings, results)
    index.marks = fresh_marks(settings, marks, index, progress)
    if not progress.failures:
        growths = [done.growth for done in results if done.growth is not None]
        index.inputs = {growth.symbol: input_digests(growth.fingerprint) for growth in growths}
    index.write(layout.temp / "update.json")
    if table is None and not is_described(layout.final_table()):
        _write_manifest(settings, layout, None)
    return Updated(progress, looked_at, table, healed)


def _held_against_manifest(layout: Layout) -> str:
    """Prove the table before rows are added to it; what is to be told of it, empty where all holds.

    A table that does not hold gives no rows: it is made anew. A manifest is written anew only
    beside a table that proves itself.
    """
    table = layout.final_table()
    if examine(table).proof is Proof.DAMAGED:
        return f"{table} was damaged on the disk: made again"
    if manifest_path(table).exists() and proven_manifest(table) is None:
        return f"{manifest_path(table)} was damaged on the disk: written again"
    return ""


def _write_manifest(settings: RunSettings, layout: Layout, sha256: str | None) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    table = layout.final_table()
    write_manifest(table, describe(settings, table, now, sha256))


def _rebuild(settings: RunSettings, workers: int, lock: int) -> Updated:
    """A whole run, where the table's rows are of no use: all of them do not fit into memory."""
    with open_task_runner(settings, listing_age=LISTING_AGE) as runner:
        progress = execute(runner, workers, lock)
    table = None if progress.failures else publish_full(settings, progress)
    return Updated(progress, len(progress.outcomes), table)


def _whole(settings: RunSettings, workers: int, lock: int) -> Updated:
    """A whole run in an object store: what is current there is neither fetched nor built."""
    with open_task_runner(settings, looks_only=True) as runner:
        runner.find_files()
        progress = execute(runner, workers, lock)
    table = None if progress.failures else publish_full(settings, progress)
    return Updated(progress, len(progress.outcomes), table if table and table.built else None)


def _layers_only(settings: RunSettings, workers: int, lock: int) -> Updated:
    """A whole run of a market without a table: what is current already is left as it is."""
    with open_task_runner(settings, listing_age=LISTING_AGE, looks_only=True) as runner:
        progress = execute(runner, workers, lock)
    return Updated(progress, len(progress.outcomes), None)


def _can_grow(held: Fingerprint | None, settings: RunSettings) -> bool:
    """Whether the table's rows are of this version and begin where they should."""
    start = settings.span.start.isoformat()
    return held is not None and held.version == VERSION and dict(held.parameters)["start"] == start


def _jobs(
    settings: RunSettings, index: ChangeIndex, marks: Mapping[Task, str], held: Fingerprint | None
) -> list[SymbolJob]:
    layout = settings.layout
    open_tasks: dict[str, list[Task]] = {}
    known: dict[str, dict[str, str]] = {}
    for (task, mark), there in zip(marks.items(), months_on_disk(settings, marks), strict=True):
        kept = index.marks.get(task.id)
        if kept is None or kept[:3] != [mark, *there]:
            open_tasks.setdefault(task.symbol, []).append(task)
        elif kept[3] and (key := input_name(task)):
            known.setdefault(task.symbol, {})[key] = kept[3]
    made_of = {one.key: one.sha256 for one in held.inputs} if held else {}
    jobs = []
    for name in settings.symbols:
        symbol = Symbol(settings.market, name)
        inputs = _known_inputs(layout, symbol, index, made_of.get(symbol.table))
        tasks = tuple(open_tasks.get(name, ()))
        jobs.append(SymbolJob(name, tasks, inputs, known.get(name, {})))
    return jobs


def _known_inputs(
    layout: Layout, symbol: Symbol, index: ChangeIndex, digest: str | None
) -> Mapping[str, str] | None:
    """What the table's rows of `symbol` were made of, from the last update or the symbol's table.

    Both are believed only where they give the digest that the table itself carries.
    """
    if digest is None:
        return None
    own = read_fingerprint(layout.symbol_table(symbol))
    if own is not None and own.digest == digest:
        return input_digests(own)
    kept = index.inputs.get(symbol.table)
    return kept if kept is not None and kept.get("digest") == digest else None


def _batches(jobs: Sequence[SymbolJob], count: int) -> list[SymbolBatch]:
    """The jobs for `count` processes: two batches each, or one for this process."""
    size = len(jobs) if count == 1 else max(1, len(jobs) // (2 * count))
    return [
        SymbolBatch(f"symbols/{start}", tuple(jobs[start : start + size]))
        for start in range(0, len(jobs), max(1, size))
    ]


def _publish(settings: RunSettings, results: Sequence[SymbolResult]) -> WideTable | None:
    growths = [done.growth for done in results if done.growth is not None]
    held = read_fingerprint(settings.layout.final_table())
    unchanged = all(growth.since is None for growth in growths)
    parameters = dict(held.parameters) if held else {}
    if unchanged and parameters.get("end") == settings.span.end.isoformat():
        return None
    grown = write_appended(settings.layout, growths, settings.span, DEFAULTS)
    _write_manifest(settings, settings.layout, grown.sha256)
    return grown.table
