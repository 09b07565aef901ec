"""What an update remembers: a mark of each month, and what the table's rows were made of.

A month whose mark is the same needs no look: its listing, its days of the run and its file on disk
are as they were.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alphaqcm.data_collection.build.run.progress import RunProgress
from alphaqcm.data_collection.build.run.task_graph import month_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner
from alphaqcm.data_collection.build.task import Task
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.series_type import SeriesType
from alphaqcm.pipeline.storage.artifact import read_fingerprint, read_json
from alphaqcm.pipeline.storage.atomic_write import write_bytes
from alphaqcm.pipeline.storage.file_digest import sealed_json
from alphaqcm.pipeline.storage.layout import month_name

MonthStamp = list[Any]
"""[digest of the listing, the month file's mtime in ns, its size, digest of its fingerprint]"""


@dataclass(slots=True)
class ChangeIndex:
    """`_tmp/update.json`: marks of the month files, and what the table was made of."""

    marks: dict[str, MonthStamp] = field(default_factory=dict)
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)  # symbol -> input -> digest

    @classmethod
    def read(cls, path: Path) -> ChangeIndex:
        """What was kept; nothing where there is none or it is damaged."""
        data = read_json(path)
        try:
            return cls() if data is None else cls(dict(data["marks"]), dict(data["inputs"]))
        except (ValueError, KeyError, TypeError):
            return cls()  # everything is looked at again

    def write(self, path: Path) -> None:
        """Keep it."""
        write_bytes(path, sealed_json({"marks": self.marks, "inputs": self.inputs}))


def listing_marks(runner: TaskRunner) -> dict[Task, str]:
    """Of every month of the run a digest of what the source lists for it, and of its days."""
    settings = runner.settings
    every: list[tuple[Task, Series]] = []
    for symbol in settings.symbols:
        for one in map(SeriesType.parse, settings.types):
            series = one.series(settings.market, symbol)
            every += [(task, series) for task in month_tasks(one, symbol, settings.span)]
    listed = runner.archive.list_many(series for _, series in every)
    lines: dict[Any, dict[str, list[str]]] = {}
    for series, periods in listed.items():
        months = lines.setdefault(series, {})
        for period, entry in sorted(periods.items()):
            line = f"{period.stamp} {entry.size} {entry.etag} {entry.last_modified}"
            months.setdefault(f"{period.start:%Y-%m}", []).append(line)
    return {
        task: _digest([_days_of(settings, month), *lines[series].get(month.stamp, ())])
        for task, series in every
        for month in task.months(settings.span)
    }


def _days_of(settings: RunSettings, month: Period) -> str:
    span = settings.span
    return f"{max(span.start, month.start)} {min(span.end.isoformat(), month.end.isoformat())}"


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def month_file(settings: RunSettings, task: Task) -> Path:
    """Where the month file of a MONTH task lies."""
    (month,) = task.months(settings.span)
    one = task.series_type
    return settings.layout.month_file(one.type, one.interval, task.symbol, month)


def months_on_disk(settings: RunSettings, tasks: Iterable[Task]) -> Iterator[tuple[int, int]]:
    """`on_disk` of the tasks' month files, each folder's path made once."""
    folders: dict[tuple[SeriesType, str], str] = {}
    for task in tasks:
        series = (task.series_type, task.symbol)
        if series not in folders:
            folders[series] = str(month_file(settings, task).parent)
        for month in task.months(settings.span):
            yield on_disk(f"{folders[series]}/{month_name(month)}")


def on_disk(path: Path | str) -> tuple[int, int]:
    """(mtime in ns, size) of a file; zeros where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  -- thousands of names, which need not be paths
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def mark_of(listed: str, path: Path) -> MonthStamp:
    """The mark of a month: its listing's digest, its file's place in time, its fingerprint's."""
    own = read_fingerprint(path)
    return [listed, *on_disk(path), "" if own is None else own.digest]


def fresh_marks(
    settings: RunSettings, marks: Mapping[Task, str], index: ChangeIndex, progress: RunProgress
) -> dict[str, MonthStamp]:
    """The marks to keep: not of what failed, nor of what has a problem that may heal."""
    kept = {}
    for task, mark in marks.items():
        outcome = progress.outcomes.get(task)
        if task in progress.failures or (outcome is not None and outcome.problems):
            continue
        known = index.marks.get(task.id)
        # a month that was not looked at has the file it had
        looked_at = outcome is not None or known is None
        kept[task.id] = mark_of(mark, month_file(settings, task)) if looked_at else known or []
    return kept
