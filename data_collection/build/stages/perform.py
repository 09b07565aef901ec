"""Doing a task anywhere: what an executor carries to its processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.build.task import Task
from alphaqcm.data_collection.queue.state import Planned
from alphaqcm.data_collection.queue.task import Outcome

LISTING_AGE = 86_400.0
"""Seconds: who started the run listed the source anew, so its listing is at hand."""


@dataclass(frozen=True, slots=True)
class PerformTask:
    """Does tasks of a run. It can be pickled; the local executor's workers take its settings."""

    settings: RunSettings

    def __call__(self, task: Planned) -> Outcome:
        """Do one task, where nobody else can do the same; raises `PipelineError`."""
        with open_task_runner(self.settings, listing_age=LISTING_AGE) as runner:
            return runner.perform(Task.parse(task.id), no_gate)


@contextlib.contextmanager
def no_gate(_outcome: Outcome) -> Iterator[None]:
    """The commit of who holds the data root alone: nobody else can commit the same files."""
    yield
