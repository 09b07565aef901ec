"""The tasks of a run, their grain, and what each needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from alphaqcm.data_collection.build.run.task_graph import (
    input_key,
    month_tasks,
    planned,
    run_tasks,
    symbol_tasks,
)
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.series_type import SeriesType, types_of
from alphaqcm.pipeline.errors import BadName

RUN = RunSettings(
    Market.UM,
    ("BTCUSDT",),
    DateRange(date(2023, 12, 15), date(2024, 2, 10)),
    Path("root"),
    types=types_of(Market.UM),
)


def ids(settings: RunSettings = RUN) -> list[str]:
    return [task.id for task in symbol_tasks(settings, "BTCUSDT")]


def named(name: str, settings: RunSettings = RUN) -> Task:
    return next(task for task in symbol_tasks(settings, "BTCUSDT") if task.id == name)


def test_minutes_and_trades_are_a_task_a_month() -> None:
    for name in ("klines:1m", "aggTrades"):
        found = [one for one in ids() if one.startswith(f"month/{name}/")]
        assert found == [f"month/{name}/BTCUSDT/{m}" for m in ("2023-12", "2024-01", "2024-02")]


def test_the_small_types_are_a_task_a_calendar_year() -> None:
    for name in ("klines:1h", "markPriceKlines:1h", "fundingRate", "metrics"):
        found = [one for one in ids() if one.startswith(f"month/{name}/")]
        assert found == [f"month/{name}/BTCUSDT/2023", f"month/{name}/BTCUSDT/2024"]


def test_the_task_of_a_year_is_about_its_months_of_the_run() -> None:
    task = named("month/metrics/BTCUSDT/2024")
    assert [month.stamp for month in task.months(RUN.span)] == ["2024-01", "2024-02"]


def test_an_hourly_csv_needs_all_months_of_its_type() -> None:
    assert named("hourly/metrics/BTCUSDT").needs == (
        "month/metrics/BTCUSDT/2023",
        "month/metrics/BTCUSDT/2024",
    )


def test_the_factors_need_the_minutes_and_every_hourly_csv() -> None:
    needs = named("factors/BTCUSDT").needs
    minutes = {one for one in ids() if one.startswith("month/klines:1m/")}
    hourly = {one for one in ids() if one.startswith("hourly/")}
    assert set(needs) == minutes | hourly
    assert "hourly/klines:1m/BTCUSDT" not in hourly


def test_every_task_comes_after_what_it_needs() -> None:
    seen: set[str] = set()
    for task in run_tasks(replace(RUN, symbols=("BTCUSDT", "ETHUSDT"))):
        assert seen.issuperset(task.needs)
        seen.add(task.id)


def test_a_run_of_some_types_or_of_another_market_has_no_factors() -> None:
    some = replace(RUN, types=("klines:1m", "metrics"))
    spot = replace(RUN, market=Market.SPOT, types=types_of(Market.SPOT))
    assert not any(name.startswith("factors/") for name in (*ids(some), *ids(spot)))


def test_a_task_weighs_what_it_needs() -> None:
    tasks = [named(name) for name in ("month/metrics/BTCUSDT/2023", "month/metrics/BTCUSDT/2024")]
    hourly = named("hourly/metrics/BTCUSDT")
    found = planned([*tasks, hourly], {tasks[0].id: 3, tasks[1].id: 4}, RUN)
    assert [one.size for one in found] == [3, 4, 7]


def test_a_month_inside_of_two_runs_has_the_same_input_key_in_both() -> None:
    wider = replace(RUN, span=DateRange(date(2023, 11, 1), date(2024, 2, 29)))
    name = "month/klines:1m/BTCUSDT/2024-01"
    assert input_key(named(name), RUN) == input_key(named(name, wider), wider)
    cut = "month/klines:1m/BTCUSDT/2024-02"
    assert input_key(named(cut), RUN) != input_key(named(cut, wider), wider)


def test_the_input_key_is_the_one_that_earlier_releases_wrote() -> None:
    task = named("month/klines:1m/BTCUSDT/2024-02")
    assert input_key(task, replace(RUN, root=Path("/r"), source="/s")).startswith(
        "2024-02-01..2024-02-10 "
    )


@pytest.mark.parametrize("name", ids())
def test_an_id_is_read_back(name: str) -> None:
    assert Task.parse(name) == named(name)


@pytest.mark.parametrize("name", ["", "month/metrics/BTCUSDT", "week/metrics/BTCUSDT/2024-01"])
def test_what_is_no_id_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        Task.parse(name)


def test_an_update_takes_every_type_by_the_month() -> None:
    tasks = list(month_tasks(SeriesType(DataType.METRICS), "BTCUSDT", RUN.span))
    assert [task.id for task in tasks] == [
        f"month/metrics/BTCUSDT/{month}" for month in ("2023-12", "2024-01", "2024-02")
    ]
    assert {task.stage for task in tasks} == {Stage.MONTH}
