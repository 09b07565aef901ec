"""A run on Dask gives the bytes of the local one, whatever dies; bad clusters are told."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from alphaqcm._version import __version__
from alphaqcm.data_collection.build.run.dask_executor import resources_of
from alphaqcm.data_collection.queue.state import Planned
from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from tests.conftest import PROJECT
from tests.helpers.built_root import settings_of, walk
from tests.helpers.command import alphaqcm, copy_packages
from tests.helpers.layer_bytes import layer_bytes

pytestmark = pytest.mark.process

SPEC = SampleSpec(symbols=universe(2), days=2, trades_per_day=3_000, compression=1)
MANY_FAILURES = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "100"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_sample(folder, SPEC)
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the tasks give one after another in one process."""
    root = tmp_path_factory.mktemp("expected")
    walk(settings_of(SPEC, source, root))
    return layer_bytes(root)


def words(source: Path, root: Path, *more: object) -> list[object]:
    return [
        "run", "--symbols", ",".join(SPEC.symbols), "--start", SPEC.first, "--end", SPEC.last,
        "--source", source, "--data-root", root, "--executor", "dask", *more,
    ]  # fmt: skip


@contextmanager
def started(arguments: list[object]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "alphaqcm", *map(str, arguments)]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=PROJECT,
        env={**os.environ, **MANY_FAILURES},
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def same(found: dict[str, str], expected: dict[str, str]) -> None:
    """Every file of the one-process build is there with the same bytes."""
    assert {name for name in expected if found.get(name) != expected[name]} == set()


def busy_children(client: psutil.Process) -> list[psutil.Process]:
    """The processes below a run, once its workers are there."""
    children = client.children(recursive=True)
    return children if len(children) > 2 else []


def wait_for_month(root: Path, client: subprocess.Popen[str]) -> None:
    """Until the run has made a month file."""
    while not any((root / "_tmp" / "months" / "um").glob("*/*/*.parquet")):
        assert client.poll() is None, client.communicate()[0]
        time.sleep(0.05)


def kill_children(client: psutil.Process, count: int, seed: int) -> int:
    """SIGKILL `count` processes below the run, one now and then; gives how many it were."""
    chosen, killed = random.Random(seed), 0
    while killed < count and client.is_running() and client.status() != psutil.STATUS_ZOMBIE:
        children = busy_children(client)
        if children:
            try:
                chosen.choice(children).kill()
                killed += 1
            except psutil.NoSuchProcess:
                continue
        time.sleep(chosen.uniform(0.1, 1.0))
    return killed


def storm(source: Path, root: Path, kills: int, seed: int = 5) -> None:
    with started(words(source, root)) as client:
        killed = kill_children(psutil.Process(client.pid), kills, seed)
        text, _ = client.communicate(timeout=240)
    assert client.returncode == 0, text
    assert killed == kills


def test_killed_workers_cost_time_and_nothing_else(
    source: Path, tmp_path: Path, expected: dict[str, str]
) -> None:
    storm(source, tmp_path / "root", kills=3)
    same(layer_bytes(tmp_path / "root"), expected)


@pytest.mark.soak
def test_thirty_killed_workers(source: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    storm(source, tmp_path / "root", kills=30)
    same(layer_bytes(tmp_path / "root"), expected)


@pytest.mark.soak  # and into an object store, in every run: tests/data_collection/build/
def test_a_killed_client_goes_on_with_the_same_command(
    source: Path, tmp_path: Path, expected: dict[str, str]
) -> None:
    root = tmp_path / "root"
    with started(words(source, root)) as client:
        wait_for_month(root, client)
        children = psutil.Process(client.pid).children(recursive=True)
        client.send_signal(signal.SIGKILL)
        client.wait()
        _, left = psutil.wait_procs(children, timeout=30)
        assert left == []
    done = alphaqcm(*words(source, root))
    assert done.returncode == 0, done.stderr
    assert "0 are current" not in done.stderr + done.stdout
    same(layer_bytes(root), expected)


def own_address() -> str:
    """An address of this machine that is not the loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))  # nothing is sent: only a route is looked for
        except OSError:
            pytest.skip("this machine has the loopback address only")
        return str(one.getsockname()[0])


def test_a_scheduler_that_is_not_there_is_told_and_so_is_one_without_tls(
    source: Path, tmp_path: Path
) -> None:
    with socket.socket() as taken:  # bound and deaf: nobody else answers on that port
        taken.bind(("", 0))
        address = f"tcp://{own_address()}:{taken.getsockname()[1]}"
        done = alphaqcm(*words(source, tmp_path / "root", "--scheduler", address))
    assert done.returncode == 1
    assert "a Dask scheduler that answers" in done.stderr
    assert "not encrypted" in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def dask_process(*arguments: str, cwd: Path = PROJECT) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
    environment = {**os.environ, "PYTHONPATH": str(cwd)}
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=cwd, env=environment)
    try:
        yield child
    finally:
        child.terminate()
        child.communicate(timeout=30)


OWN = ("--host", "127.0.0.1", "--no-dashboard")
RESOURCES = ("--resources", "download=1 cpu=1 memory=2e9")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler."""
    file = tmp_path / "scheduler.json"
    options = ("--port", "0", "--scheduler-file", str(file), *OWN)
    with dask_process("dask_scheduler", *options) as scheduler:
        while not file.exists():
            assert scheduler.poll() is None, scheduler.communicate()[1]
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"]


@pytest.fixture
def worker(address: str, tmp_path: Path) -> tuple[str, ...]:
    """What starts a worker of it, one that tells no resources."""
    return (
        "dask_worker", address, "--nthreads", "1", "--memory-limit", "2GB",
        "--local-directory", str(tmp_path / "scratch"), *OWN,
    )  # fmt: skip


def test_a_worker_that_tells_no_resources_is_refused_then_one_that_does_is_used(
    source: Path, tmp_path: Path, expected: dict[str, str], address: str, worker: tuple[str, ...]
) -> None:
    root = tmp_path / "root"
    with dask_process(*worker):
        refused = alphaqcm(*words(source, root, "--scheduler", address))
    assert refused.returncode == 1
    assert "next: dask worker tcp://127.0.0.1" in refused.stderr
    with dask_process(*worker, *RESOURCES):
        done = alphaqcm(*words(source, root, "--scheduler", address))
    assert done.returncode == 0, done.stderr
    same(layer_bytes(root), expected)


def test_a_worker_of_another_version_that_joins_a_run_does_nothing_and_ends_it(
    source: Path, tmp_path: Path, expected: dict[str, str], address: str, worker: tuple[str, ...]
) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    copy_packages(other)
    (other / "alphaqcm" / "_version.py").write_text('__version__ = "0.1.99"\n')
    run = words(source, root, "--scheduler", address)
    with dask_process(*worker, *RESOURCES, "--no-nanny") as ours, started(run) as client:
        wait_for_month(root, client)
        ours.kill()  # what is left is for the one that comes
        with dask_process(*worker, *RESOURCES, "--no-nanny", cwd=other):
            text, _ = client.communicate(timeout=120)
            early = alphaqcm(*run)
    for code, told in ((client.returncode, text), (early.returncode, early.stderr)):
        assert code == 1, told
        assert "alphaqcm 0.1.99" in told
        assert f"alphaqcm {__version__}" in told
        assert "Traceback" not in told
    found = layer_bytes(root)
    assert {name for name in found if found[name] != expected.get(name)} == set()
    assert "final_dataset_all.parquet" not in found


def test_three_large_months_do_not_fit_on_one_small_worker() -> None:
    large = Planned("month/aggTrades/BTCUSDT/2024-01", 1_500_000_000)
    asked = resources_of(large, largest=4_000_000_000)
    assert 3 * asked["memory"] > 4_000_000_000
    assert asked["download"] == asked["cpu"] == 1
    # what is larger than any worker is done alone on the largest, and does not wait for ever
    assert resources_of(large, largest=1_000_000_000)["memory"] == 1_000_000_000
    assert "download" not in resources_of(Planned("hourly/metrics/BTCUSDT", 1), 10**9)
