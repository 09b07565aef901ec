"""A data root made in this process: the pipeline's own stages, one after another."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from alphaqcm.data_collection.build.last_run import save_settings
from alphaqcm.data_collection.build.publish import publish_full
from alphaqcm.data_collection.build.run.progress import RunProgress
from alphaqcm.data_collection.build.run.task_graph import symbol_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import no_gate
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.build.task import Stage
from alphaqcm.data_collection.reporting.quality.build_report import gather
from alphaqcm.data_collection.reporting.quality.model import Provenance, Report
from alphaqcm.data_collection.simulation.sample import SampleSpec
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.series_type import types_of

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


def walk(settings: RunSettings, *, months_only: bool = False) -> None:
    """Make the layers of the settings, and the table unless `months_only`."""
    progress = RunProgress()
    with open_task_runner(settings) as runner:
        save_settings(settings)
        for symbol in settings.symbols:
            for task in symbol_tasks(settings, symbol):
                if task.stage is Stage.MONTH or not months_only:
                    progress.outcomes[task] = runner.perform(task, no_gate)
    if not months_only:
        publish_full(settings, progress)


def checked(settings: RunSettings, *, deep: bool = False) -> Report:
    """The report over what `walk` made."""
    return gather(settings, NOWHERE, "2024-03-01T00:00:00+00:00", deep=deep)
