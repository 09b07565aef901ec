"""The process that brings files ahead of the workers of a large run."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.file_record import FileState
from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.series_type import types_of
from tests.conftest import PROJECT

pytestmark = pytest.mark.process


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A queue's state for one symbol and the three days of a sample."""
    write_sample(tmp_path / "source", SampleSpec(symbols=universe(1), trades_per_day=1_000))
    settings = RunSettings(
        market=Market.UM,
        symbols=("BTCUSDT",),
        span=DateRange(Period.parse("2024-02-27").start, Period.parse("2024-02-29").start),
        root=tmp_path / "root",
        source=str(tmp_path / "source"),
        types=types_of(Market.UM),
    )
    path = settings.layout.temp / "state.json"
    path.parent.mkdir(parents=True)
    Queue.open(path).sync([], settings.to_dict())
    return path


def start(state: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "alphaqcm.data_collection.build.run.prefetch", str(state)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
    )


def test_every_file_of_the_run_is_brought_and_verified(state: Path) -> None:
    with start(state) as process:
        assert process.wait(120) == 0
    cache = state.parent / "binance_vision"
    keys = [str(path.relative_to(cache)) for path in cache.rglob("*.zip")]
    types = {key.split("/")[4] for key in keys}
    assert types == {name.partition(":")[0] for name in types_of(Market.UM)}
    with Ledger(cache) as ledger:
        assert {record.state for record in ledger.get_many(keys).values()} == {FileState.OK}


def test_it_ends_when_the_run_that_started_it_does(state: Path) -> None:
    process = start(state)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == -signal.SIGTERM
