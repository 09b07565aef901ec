"""The executors keep their protocol: every task once, those that are needed first, and cancel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from alphaqcm.data_collection.build.run.executor import Executor, Finished
from alphaqcm.data_collection.build.run.local_executor import LocalExecutor
from alphaqcm.data_collection.build.run.pool_executor import PoolExecutor
from alphaqcm.data_collection.build.run.task_graph import planned, symbol_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import PerformTask
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.data_collection.queue.state import Planned
from alphaqcm.data_collection.queue.task import Outcome
from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from alphaqcm.pipeline.domain.registry import DataType
from tests.helpers.built_root import settings_of


@dataclass(frozen=True)
class Square:
    """A task that stands alone."""

    number: int


def squared(task: Square) -> int:
    return task.number**2


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.process)])
def test_a_pool_does_every_task_once(count: int) -> None:
    tasks = [Square(number) for number in range(7)]
    with PoolExecutor[Square, int](count) as pool:
        executor: Executor[Square, int] = pool
        found = {one.task.number: one.outcome for one in executor.run(tasks, squared)}
    assert found == {number: number**2 for number in range(7)}


def test_a_cancelled_pool_begins_nothing_more() -> None:
    with PoolExecutor[Square, int](1) as executor:
        finished = executor.run([Square(1), Square(2), Square(3)], squared)
        assert next(finished) == Finished(Square(1), 1)
        executor.cancel()
        assert list(finished) == []


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    spec = SampleSpec(symbols=universe(1), days=1, trades_per_day=300)
    write_sample(tmp_path / "source", spec)
    whole = settings_of(spec, tmp_path / "source", tmp_path / "root")
    return replace(whole, types=("klines:1h", "metrics"))


def run(settings: RunSettings) -> Iterator[Finished[Planned, Outcome]]:
    tasks = symbol_tasks(settings, settings.symbols[0])
    with hold_root(settings.layout.temp, exclusive=True) as lock:
        executor: Executor[Planned, Outcome] = LocalExecutor(1, lock)
        yield from executor.run(planned(tasks, {}, settings), PerformTask(settings))


@pytest.mark.process
def test_the_local_executor_gives_every_task_after_those_it_needs(settings: RunSettings) -> None:
    seen: set[str] = set()
    for finished in run(settings):
        assert finished.outcome is not None
        assert seen.issuperset(finished.task.needs)
        seen.add(finished.task.id)
    assert seen == {task.id for task in symbol_tasks(settings, settings.symbols[0])}


@pytest.mark.process
def test_what_needs_a_failure_is_given_as_blocked(settings: RunSettings) -> None:
    months = settings.layout.months(DataType.METRICS) / settings.symbols[0]
    months.parent.mkdir(parents=True)
    months.write_text("a file in the place of a folder")
    given = {one.task.id: one for one in run(settings)}
    symbol = settings.symbols[0]
    assert given[f"month/metrics/{symbol}/2024"].failure
    assert given[f"hourly/metrics/{symbol}"].blocked
    assert given[f"hourly/klines:1h/{symbol}"].outcome is not None
