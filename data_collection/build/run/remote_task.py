"""A task as it is done in a process of a cluster: errors become answers, the runner is kept.

Where the data root lies in an object store, the process has a passing folder of its own; what it
learns of archive files goes back to the client with the outcome.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from alphaqcm.data_collection.archive.file_record import FileRecord
from alphaqcm.data_collection.build.run.versions import Versions, differing, own_versions
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import LISTING_AGE, PerformTask, no_gate
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner, open_task_runner
from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.process.scratch import scratch_folder
from alphaqcm.data_collection.queue.state import Planned
from alphaqcm.data_collection.queue.task import Outcome
from alphaqcm.data_collection.queue.worker import FINAL_ERRORS, STOP_ERRORS, TASK_ERRORS
from alphaqcm.pipeline.errors import PipelineError


class TaskFailed(Exception):
    """A task failed and may not fail the next time: the engine tries it again."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task elsewhere: an outcome, a failure for good, or why all must stop."""

    outcome: Outcome | None = None
    failure: str = ""
    stop: str = ""
    retried_errors: Mapping[str, int] = field(default_factory=dict)
    records: tuple[FileRecord, ...] = ()  # of archive files, where the ledger is the client's


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """Does tasks of a run in whatever process it is carried to.

    `scratch` is the folder for passing files there. `share`: what a process may take of the
    connections and the rate to the source is one part of so many. `versions` are those of who sent
    it: workers may join a cluster at any time, and one of other versions would write other bytes.
    """

    perform: PerformTask
    scratch: Path | None = None
    share: int = 1
    versions: Versions = field(default_factory=own_versions, hash=False)

    def __call__(self, task: Planned) -> Done:
        """Do one task; raises `TaskFailed`, and what is a fault of the program."""
        other = differing(own_versions(), self.versions)
        if other:
            return Done(stop=other)
        try:
            seat = _SEATS.of(self)
        except PipelineError as error:  # no folder for passing files, no source that can be opened
            return Done(stop=_reason(error))
        runner = seat.runner
        before = Counter(runner.retried_errors)
        try:
            outcome = runner.perform(Task.parse(task.id), no_gate)
        except STOP_ERRORS as error:
            return Done(stop=_reason(error))
        except FINAL_ERRORS as error:
            return Done(failure=_reason(error), records=seat.news(task))
        except TASK_ERRORS as error:
            # by its words: the error itself may be of a kind that cannot be sent
            raise TaskFailed(_reason(error)) from None
        errors = Counter(runner.retried_errors) - before
        output = outcome.output.replace(str(seat.root), str(self.perform.settings.root), 1)
        return Done(replace(outcome, output=output), retried_errors=errors, records=seat.news(task))

    def settings(self, folder: Path) -> RunSettings:
        """The run's settings for one process; without a store all share the data root's limits."""
        run = self.perform.settings
        if not run.store:
            return run
        fetch = dict(run.fetch)
        fetch["connections"] = max(1, int(fetch.get("connections", 16)) // self.share)
        if fetch.get("rate_limit"):
            fetch["rate_limit"] = max(1, int(fetch["rate_limit"]) // self.share)
        return replace(run, root=folder, fetch=fetch)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


class _Seat:
    """What a thread of a cluster's process keeps from task to task of a run."""

    def __init__(self, remote: RemoteTask, stack: ExitStack) -> None:
        run = remote.perform.settings
        self.root = stack.enter_context(scratch_folder(remote.scratch)) if run.store else run.root
        self.runner: TaskRunner = stack.enter_context(
            open_task_runner(remote.settings(self.root), listing_age=LISTING_AGE)
        )
        self._sent: dict[str, int] = {}

    def news(self, planned: Planned) -> tuple[FileRecord, ...]:
        """What the ledger of this process has of a MONTH task's series, and did not send yet."""
        settings, task = self.runner.settings, Task.parse(planned.id)
        if not settings.store or task.stage is not Stage.MONTH:
            return ()
        every = self.runner.archive.ledger.of_series(task.series(settings.market))
        fresh = tuple(one for one in every if self._sent.get(one.key) != hash(one))
        self._sent.update((one.key, hash(one)) for one in fresh)
        return fresh


class _Seats(threading.local):
    """The seat of a thread: its connections and listings serve task after task."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._key = b""
        self._seat: _Seat | None = None

    def of(self, remote: RemoteTask) -> _Seat:
        """The one for this run; that of another is left."""
        key = orjson.dumps(remote.perform.settings.to_dict())
        if self._seat is None or key != self._key:
            self._stack.close()
            self._seat = _Seat(remote, self._stack)
            self._key = key
        return self._seat


_SEATS = _Seats()
