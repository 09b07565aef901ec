"""Bytes of a file that is on its way are seen before it is whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from alphaqcm.data_collection.queue.liveness import Heartbeat, read_heartbeats
from alphaqcm.data_collection.simulation.mirror import Mirror
from alphaqcm.data_collection.simulation.mirror.faults import Fault, FaultKind, FaultPlan
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.data_collection.simulation.sample.instruments import universe
from tests.conftest import PROJECT
from tests.data_collection.queue.test_storms import until

pytestmark = pytest.mark.process


def test_a_heartbeat_counts_what_has_come_of_a_file(tmp_path: Path) -> None:
    spec = SampleSpec(symbols=universe(1), trades_per_day=40_000)
    write_sample(tmp_path / "archive", spec)
    drip = FaultPlan((Fault(FaultKind.DRIP, "*aggTrades*.zip", times=0, rate=20_000),))
    with Mirror(tmp_path / "archive", faults=drip) as mirror:
        words = ["run", "--symbols", "BTCUSDT", "--start", spec.first, "--end", spec.last]
        words += ["--source", mirror.url, "--data-root", tmp_path / "root", "--workers", 1]
        command = [sys.executable, "-m", "alphaqcm", *map(str, words)]
        with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL) as run:
            try:
                until(lambda: any(beat.task_bytes > 10_000 for beat in beats(tmp_path / "root")))
                found = [beat.task for beat in beats(tmp_path / "root") if beat.task_bytes > 10_000]
                assert found == ["month/aggTrades/BTCUSDT/2024-02"]
                assert not list((tmp_path / "root").rglob("*aggTrades*.zip"))
            finally:
                run.terminate()


def beats(root: Path) -> list[Heartbeat]:
    folders = {path.parent for path in root.rglob("run-*.json")}
    return [beat for folder in folders for beat in read_heartbeats(folder)]
