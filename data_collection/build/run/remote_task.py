"""A task as it is done in a process of a cluster: errors become answers, the runner is kept."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import orjson

from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import LISTING_AGE, PerformTask, no_gate
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner, open_task_runner
from alphaqcm.data_collection.build.task import Task
from alphaqcm.data_collection.queue.state import Planned
from alphaqcm.data_collection.queue.task import Outcome
from alphaqcm.data_collection.queue.worker import FINAL_ERRORS, STOP_ERRORS, TASK_ERRORS


class TaskFailed(Exception):
    """A task failed and may not fail the next time: the engine tries it again."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task elsewhere: an outcome, a failure for good, or why all must stop."""

    outcome: Outcome | None = None
    failure: str = ""
    stop: str = ""
    retried_errors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """Does tasks of a run in whatever process it is carried to."""

    perform: PerformTask

    def __call__(self, task: Planned) -> Done:
        """Do one task; raises `TaskFailed`, and what is a fault of the program."""
        runner = _RUNNERS.of(self.perform.settings)
        before = Counter(runner.retried_errors)
        try:
            outcome = runner.perform(Task.parse(task.id), no_gate)
        except STOP_ERRORS as error:
            return Done(stop=_reason(error))
        except FINAL_ERRORS as error:
            return Done(failure=_reason(error))
        except TASK_ERRORS as error:
            # by its words: the error itself may be of a kind that cannot be sent
            raise TaskFailed(_reason(error)) from None
        return Done(outcome, retried_errors=Counter(runner.retried_errors) - before)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


class _Runners(threading.local):
    """The task runner of a thread: its connections and listings serve task after task."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._key = b""
        self._runner: TaskRunner | None = None

    def of(self, settings: RunSettings) -> TaskRunner:
        """The runner for these settings; one for others is closed."""
        key = orjson.dumps(settings.to_dict())
        if self._runner is None or key != self._key:
            self._stack.close()
            self._runner = self._stack.enter_context(
                open_task_runner(settings, listing_age=LISTING_AGE)
            )
            self._key = key
        return self._runner


_RUNNERS = _Runners()
