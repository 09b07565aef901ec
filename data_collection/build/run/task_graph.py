"""The tasks of a run as the queue takes them: with their weight and what they are done for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from datetime import timedelta

import orjson

from alphaqcm.data_collection.build.settings import RunSettings, series_of
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner
from alphaqcm.data_collection.queue.state import Planned
from alphaqcm.data_collection.queue.task import Task, TaskKind
from alphaqcm.pipeline.domain.period import Period


def planned_tasks(steps: TaskRunner, only: Collection[Task] | None = None) -> list[Planned]:
    """Every task of the run, or those of `only`; asks the listing for the sizes of months.

    A month weighs the bytes of its files; the steps after it weigh what they stand on, so that the
    largest symbol is finished as soon as it can be.
    """
    settings = steps.settings
    tasks = [
        task
        for symbol in settings.symbols
        for task in settings.tasks(symbol)
        if only is None or task in only
    ]
    months = [task for task in tasks if task.kind is TaskKind.MONTH]
    if months:
        steps.archive.list_many(series_of(settings.market, t.type, t.symbol) for t in months)
    weights: Counter[tuple[str, str]] = Counter()
    planned = []
    for task in tasks:
        if task.kind is TaskKind.MONTH:
            size = steps.size(task)
            weights[task.symbol, task.type] += size
            weights[task.symbol, ""] += size
        else:
            size = weights[task.symbol, task.type]
        planned.append(Planned(task, size, input_key_of(task, settings)))
    return planned


def input_key_of(task: Task, settings: RunSettings) -> str:
    """What a task is done for: its days of the run, and a digest of source, market and places.

    A month inside of two runs' ranges has the same basis in both.
    """
    start, end = settings.span.start, settings.span.end
    if task.month:
        month = Period.parse(task.month)
        start, end = max(start, month.start), min(end, month.end - timedelta(days=1))
    told = settings.to_dict()
    places = {key: told[key] for key in ("market", "root", "source", "listing", "directories")}
    digest = hashlib.sha256(orjson.dumps(places, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]
    return f"{start}..{end} {digest}"
