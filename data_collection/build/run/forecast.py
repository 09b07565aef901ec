"""What a run would do, before it does it: tasks, bytes to fetch and to read, time, free disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alphaqcm.data_collection.build.stages.task_runner import TaskRunner
from alphaqcm.data_collection.build.task import Stage, Task

BYTES_A_SECOND = 10_000_000.0
"""Bytes of ZIPs that one process turns into layers and tables, a second.

From a run over 16 million trades of 8 symbols, 0.2 GB zipped: 21 s of CPU for the whole pipeline.
Larger months are faster.
"""
_REST = 0.15
"""Work of a symbol's hourly files and factors, as a share of that on its months."""
_LEAST = 100_000  # weight of the smallest task, in bytes


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is left of a run. Sizes in bytes."""

    tasks: int
    current: int  # tasks that are current or absent
    read: int  # of the archive files behind the tasks that are left
    fetch: int  # of those that are not at hand; 0 where nothing is downloaded
    free: int  # on the disk of the data root
    seconds: float  # of work with the processes that there are, besides the download

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @property
    def lines(self) -> list[str]:
        """For people."""
        told = [f"{self.tasks:,} tasks to do, {self.current:,} are current or absent"]
        if self.read:
            told.append(
                f"to fetch {size(self.fetch)} of the {size(self.read)} to read; "
                f"{size(self.free)} free on the disk; roughly {_time(self.seconds)} of work "
                "besides the download"
            )
        if self.fetch > self.free:
            told.append("the disk has no room for that: fewer days or symbols, or another disk")
        return told


def look_ahead(
    runner: TaskRunner,
    left: Sequence[Task],
    current: int,
    sizes: Mapping[str, int],
    workers: int,
    *,
    offline: bool = False,
) -> Forecast:
    """What the tasks `left` come to; `sizes` are those of `TaskRunner.sizes`."""
    read = sum(sizes.values())
    fetch = 0
    if read and not offline:
        fetch = min(read, runner.archive.plan(runner.find_files()).bytes)
    seconds = sum(weights(left, sizes).values()) / BYTES_A_SECOND / max(1, workers)
    free = shutil.disk_usage(_there(runner.settings.root)).free
    return Forecast(len(left), current, read, fetch, free, seconds)


def weights(tasks: Sequence[Task], sizes: Mapping[str, int]) -> dict[str, int]:
    """How much work each task is, by id, as bytes of ZIPs: a month's own, of others a share."""
    months: dict[str, int] = {}
    others: dict[str, int] = {}
    for task in tasks:
        if task.stage is Stage.MONTH:
            months[task.symbol] = months.get(task.symbol, 0) + sizes.get(task.id, 0)
        else:
            others[task.symbol] = others.get(task.symbol, 0) + 1
    return {
        task.id: max(
            _LEAST,
            sizes.get(task.id, 0)
            if task.stage is Stage.MONTH
            else int(_REST * months.get(task.symbol, 0) / others[task.symbol]),
        )
        for task in tasks
    }


def size(number: float) -> str:
    """Bytes in decimal units: `12.5 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _there(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
