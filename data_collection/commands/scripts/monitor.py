"""Watches a part of the queue, for the scripts that monitor."""

from __future__ import annotations

import argparse

from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.commands.build import monitor
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.domain.series_type import SeriesType


def run(arguments: argparse.Namespace, title: str) -> int:
    """Watch the tasks of aggTrades, or of the factors where `title` says so."""
    shown = _of_aggtrades if title == DataType.AGGTRADES else _of_factors
    return monitor.run(arguments, title, shown)


def _of_aggtrades(task: Task) -> bool:
    return task.type == SeriesType(DataType.AGGTRADES)


def _of_factors(task: Task) -> bool:
    return task.stage is Stage.FACTORS
