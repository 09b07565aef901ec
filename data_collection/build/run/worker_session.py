"""One worker's session: its settings, the queue made to be about them, the work, the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alphaqcm.data_collection.archive.adoption import adopt_cache
from alphaqcm.data_collection.build.run.task_graph import planned, run_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.settings_json import settings_of_queue
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner, open_task_runner
from alphaqcm.data_collection.build.task import Stage
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.data_collection.queue.liveness import STALE_AFTER
from alphaqcm.data_collection.queue.options import QueueOptions
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import QueueState, TaskState
from alphaqcm.data_collection.queue.worker import work
from alphaqcm.pipeline.domain.series_type import SeriesType, types_of
from alphaqcm.pipeline.storage.atomic_write import clean_temps

_SHOWN = 10  # failures named one by one when a worker ends


@dataclass(frozen=True, slots=True)
class Session:
    """What a worker was started with. `settings` None: work on the queue as it is."""

    worker: str
    state: Path
    settings: RunSettings | None = None
    root: Path | None = None  # the data root that was named
    stale: float = STALE_AFTER  # seconds
    skip_existing: bool = False
    retry_failed: bool = False

    def run(self) -> int:
        """Work until the queue is over; returns the exit code."""
        log = Log(self.worker)
        queue = Queue.open(self.state, options=QueueOptions(stale=self.stale, say=log.say))
        settings = self.settings or settings_of_queue(queue.join(), self.state, self.root)
        adopt_cache(settings.layout, log.say)
        with (
            hold_root(settings.layout.temp, exclusive=False),
            open_task_runner(settings, say=log.say) as runner,
        ):
            _clean(settings)
            if self.settings is not None or not queue.snapshot().knows_needs:
                log.event("queue", text=self._make(queue, settings, runner))
            if self.retry_failed:
                log.event("queue", text=f"{queue.retry_failed()} failed tasks brought back")
            summary = work(
                queue, self.worker, runner.perform_by_id, log=log, brought=lambda: runner.brought
            )
        if summary.exit_code in (1, 3):
            _tell_failures(queue.snapshot(), log)
        return summary.exit_code

    def _make(self, queue: Queue, settings: RunSettings, runner: TaskRunner) -> str:
        """Make the queue be about the settings; says what became of an older one.

        What the source did not have is looked at again each time; what is done only without
        `skip_existing` (where its layer is current, that costs a look).
        """
        if set(settings.types) == set(types_of(settings.market)):
            runner.find_files()  # names unknown symbols
        written, again = settings.to_dict(), not self.skip_existing
        resumed = queue.resume(written, look_again=again)
        if resumed is not None:
            return str(resumed)
        tasks = list(run_tasks(settings))
        months = [task for task in tasks if task.stage is Stage.MONTH]
        plan = planned(tasks, runner.sizes(months), settings)
        return str(queue.sync(plan, written, look_again=again))


def _clean(settings: RunSettings) -> None:
    """Remove what killed workers left half-written."""
    for one in map(SeriesType.parse, settings.types):
        clean_temps(settings.layout.months(one.type, one.interval))
        clean_temps(settings.layout.hourly(one.type))


def _tell_failures(state: QueueState, log: Log) -> None:
    failed = [entry for entry in state.entries if entry.state is TaskState.FAILED]
    for entry in failed[:_SHOWN]:
        log.event("still-failed", task=entry.id, attempts=entry.attempts, reason=entry.reason)
    if len(failed) > _SHOWN:
        log.event("note", text=f"{len(failed) - _SHOWN} more; `alphaqcm monitor --once` has all")
    if failed:
        log.event("note", text="--retry-failed brings failed tasks back")
    for entry in state.entries:
        for problem in entry.problems:
            log.event("problem", task=entry.id, text=problem)
