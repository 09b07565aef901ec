"""The tasks of a run and what each needs: month files, then hourly CSVs, then factors. Pure.

Minutes and trades are a task a month: reading one takes long. The small types are a task a calendar
year, which makes the month files of that year: for them the bookkeeping of a task costs more than
its work.

    month/klines:1m/BTCUSDT/2024-01 ────────────────────────────┐
    month/aggTrades/BTCUSDT/2024-01 ──> hourly/aggTrades/BTCUSDT ├──> factors/BTCUSDT
    month/metrics/BTCUSDT/2024 ───────> hourly/metrics/BTCUSDT ──┘
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import orjson

from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.queue.state import Planned
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period, Year, months_between
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.series_type import SeriesType, types_of

MINUTES = SeriesType(DataType.KLINES, "1m")
TRADES = SeriesType(DataType.AGGTRADES)
BY_MONTH = frozenset({MINUTES, TRADES})
"""Types whose months are a task each; of all others a calendar year is one."""


def run_tasks(settings: RunSettings) -> Iterator[Task]:
    """Every task of a run, symbol by symbol, each after those that it needs."""
    for symbol in settings.symbols:
        yield from symbol_tasks(settings, symbol)


def symbol_tasks(settings: RunSettings, symbol: str) -> tuple[Task, ...]:
    """Every task of one symbol, each after those that it needs.

    The hourly CSV of a type needs all its months; 1m klines have none. The factors are made where
    the run takes every type of um, and need the minutes and all hourly CSVs.
    """
    months: list[Task] = []
    hourly: list[Task] = []
    minutes: list[str] = []
    for one in map(SeriesType.parse, settings.types):
        own = [
            Task(Stage.MONTH, symbol, one, period) for period in task_periods(one, settings.span)
        ]
        names = tuple(task.id for task in own)
        months += own
        if one == MINUTES:
            minutes += names
        else:
            hourly.append(Task(Stage.HOURLY, symbol, one, needs=names))
    tasks = [*months, *hourly]
    if settings.market is Market.UM and set(settings.types) == set(types_of(settings.market)):
        needs = (*minutes, *(task.id for task in hourly))
        tasks.append(Task(Stage.FACTORS, symbol, needs=needs))
    return tuple(tasks)


def task_periods(one: SeriesType, span: DateRange) -> list[Period | Year]:
    """How the span of a type is cut into tasks: months, or calendar years."""
    if one in BY_MONTH:
        return list(months_between(span.start, span.end))
    return [Year(number) for number in range(span.start.year, span.end.year + 1)]


def month_tasks(one: SeriesType, symbol: str, span: DateRange) -> Iterator[Task]:
    """The months of a series as a task each, whatever the type: the grain of an update."""
    for month in months_between(span.start, span.end):
        yield Task(Stage.MONTH, symbol, one, month)


def planned(
    tasks: Iterable[Task], sizes: Mapping[str, int], settings: RunSettings
) -> list[Planned]:
    """The tasks as the queue takes them; `sizes` are the bytes behind MONTH tasks, by id.

    Other tasks weigh what they need, so that the largest symbol is finished as soon as it can be.
    """
    weights: defaultdict[str, int] = defaultdict(int, sizes)
    place = _place(settings)
    found = []
    for task in tasks:
        if task.needs:
            weights[task.id] = sum(weights[name] for name in task.needs)
        found.append(
            Planned(task.id, weights[task.id], _input_key(task, settings, place), task.needs)
        )
    return found


def input_key(task: Task, settings: RunSettings) -> str:
    """What a task is done for: its days of the run, and a digest of source, market and places.

    A month inside of two runs' ranges has the same key in both.
    """
    return _input_key(task, settings, _place(settings))


def _input_key(task: Task, settings: RunSettings, place: str) -> str:
    start, end = settings.span.start, settings.span.end
    months = list(task.months(settings.span))
    if months:
        start, end = max(start, months[0].start), min(end, months[-1].last)
    return f"{start}..{end} {place}"


def _place(settings: RunSettings) -> str:
    written = settings.to_dict()
    places = {key: written[key] for key in ("market", "root", "source", "listing", "directories")}
    return hashlib.sha256(orjson.dumps(places, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]
