"""A data root made in this process: the road's own steps, one after another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from alphaqcm.data_collection.build.publish import publish_full
from alphaqcm.data_collection.build.run.local_executor import RunProgress, save_settings
from alphaqcm.data_collection.build.settings import RunSettings, types_of
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.queue.task import Outcome, TaskKind
from alphaqcm.data_collection.reporting.quality.build_report import gather
from alphaqcm.data_collection.reporting.quality.model import Provenance, Report
from alphaqcm.data_collection.simulation.sample import SampleSpec
from alphaqcm.pipeline.domain.date_range import DateRange

NOWHERE = Provenance("a test", {}, "a sample", 0, "", {})


def settings_of(spec: SampleSpec, source: Path, root: Path, end: date | None = None) -> RunSettings:
    """A run of everything that `spec` simulates, up to `end` or to its last day."""
    return RunSettings(
        spec.market,
        spec.symbols,
        DateRange(spec.first, end or spec.last),
        root,
        str(source),
        types=types_of(spec.market),
    )


@contextlib.contextmanager
def _commit(_outcome: Outcome) -> Iterator[None]:
    yield


def walk(settings: RunSettings, *, months_only: bool = False) -> None:
    """Make the layers of the settings, and the table unless `months_only`."""
    progress = RunProgress()
    with open_task_runner(settings) as steps:
        save_settings(settings)
        for symbol in settings.symbols:
            for task in settings.tasks(symbol):
                if task.kind is TaskKind.MONTH or not months_only:
                    progress.outcomes[task] = steps.perform(task, _commit)
    if not months_only:
        publish_full(settings, progress)


def checked(settings: RunSettings, *, deep: bool = False) -> Report:
    """The report over what `walk` made."""
    return gather(settings, NOWHERE, "2024-03-01T00:00:00+00:00", deep=deep)
