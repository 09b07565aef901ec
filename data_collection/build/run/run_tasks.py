"""A run: which of its tasks are current already, and an executor for those that are left."""

from __future__ import annotations

from collections.abc import Callable

from alphaqcm.data_collection.archive.sources import is_remote
from alphaqcm.data_collection.build.damaged_files import adopt_once
from alphaqcm.data_collection.build.run.dask_executor import DaskExecutor
from alphaqcm.data_collection.build.run.forecast import Forecast, look_ahead, weights
from alphaqcm.data_collection.build.run.local_executor import LocalExecutor
from alphaqcm.data_collection.build.run.progress import ProgressBar, RunProgress
from alphaqcm.data_collection.build.run.task_graph import planned, run_tasks
from alphaqcm.data_collection.build.stages.perform import PerformTask
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner
from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.queue.task import TaskResult

_MANY = 100  # month files to make from which on small files are brought ahead


def nothing() -> None:
    """Nothing is to be done."""


def find_pending(runner: TaskRunner, *, offline: bool = False) -> tuple[RunProgress, list[Task]]:
    """What is current already, and the tasks that are left, with all that need one of these.

    `offline` leaves the month files as they are, but for damaged ones, and asks no source.
    """
    with runner.settings.layout.store.as_listed():
        return _find_pending(runner, offline=offline)


def _find_pending(runner: TaskRunner, *, offline: bool) -> tuple[RunProgress, list[Task]]:
    progress = RunProgress()
    left: list[Task] = []
    pending: set[str] = set()
    for task in run_tasks(runner.settings):
        if offline and task.stage is Stage.MONTH and not runner.is_damaged(task):
            continue
        outcome = runner.current(task) if pending.isdisjoint(task.needs) else None
        if outcome is None:
            left.append(task)
            pending.add(task.id)
        else:
            progress.outcomes[task] = outcome
    return progress, left


def forecast_run(runner: TaskRunner, workers: int) -> Forecast:
    """What `execute` would do; writes nothing."""
    progress, left = find_pending(runner)
    months = [task for task in left if task.stage is Stage.MONTH]
    sizes = runner.sizes(months) if months else {}
    return look_ahead(runner, left, len(progress.outcomes), sizes, workers)


def execute(
    runner: TaskRunner,
    workers: int,
    lock: int,
    say: Callable[[str], None] = print,
    *,
    offline: bool = False,
    cluster: DaskExecutor | None = None,
    each: Callable[[], None] = nothing,
) -> RunProgress:
    """Do what is left of a run with `workers` processes; `lock` is the root's descriptor.

    With a `cluster` the tasks are done there. `each` is called after every task.
    """
    settings = runner.settings
    adopt_once(settings.layout)
    progress, left = find_pending(runner, offline=offline)
    if not left:
        nothing = all(outcome.result is TaskResult.ABSENT for outcome in progress.outcomes.values())
        current = "everything is current: nothing to download, nothing to build"
        say("the source has nothing for these symbols and days" if nothing else current)
        return progress
    months = [task for task in left if task.stage is Stage.MONTH]
    sizes = runner.sizes(months) if months else {}
    ahead = look_ahead(runner, left, len(progress.outcomes), sizes, workers, offline=offline)
    for line in ahead.lines:
        say(line)
    many = sum(len(list(task.months(settings.span))) for task in months) >= _MANY
    # nothing is to gather in a passing folder, and a directory answers at once
    many = many and not settings.store and is_remote(settings.source)
    executor = cluster or LocalExecutor(workers, lock, prefetch=many)
    held = 0 if offline else runner.archive.ledger.verified_bytes()
    by_id = {task.id: task for task in left}
    under_way = executor.under_way if isinstance(executor, LocalExecutor) else None
    with ProgressBar(weights(left, sizes), ahead.read, under_way) as bar:
        for finished in executor.run(planned(left, sizes, settings), PerformTask(settings)):
            each()
            task, outcome = by_id[finished.task.id], finished.outcome
            if outcome is not None:
                progress.outcomes[task] = outcome
                progress.built += outcome.built
                progress.downloaded += outcome.downloaded
            elif finished.failure:
                progress.failures[task] = finished.failure
            else:
                progress.blocked += 1
                continue
            bar.add(task.id, outcome)
    progress.retried_errors += executor.retried_errors
    if not offline:  # what was brought ahead of the workers is in none of their counts
        progress.retried_errors.update(runner.retried_errors)
        brought = runner.archive.ledger.verified_bytes() - held
        progress.downloaded = max(progress.downloaded, brought)
    return progress
