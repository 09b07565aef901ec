"""A run into an object store gives the local bytes: through faults, kills and lost leases."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import orjson
import psutil
import pytest

from alphaqcm.data_collection.archive.objects.lease import Lease
from alphaqcm.data_collection.archive.objects.object_store import ObjectStore
from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from alphaqcm.data_collection.simulation.sample.defect_parser import parse_trap
from tests.conftest import PROJECT
from tests.helpers.built_root import settings_of, walk
from tests.helpers.layer_bytes import digests, layer_bytes
from tests.helpers.s3_servers import BUCKET, Fault, Request, S3Server, faulty, moto, rclone

pytestmark = pytest.mark.process

DISORDER = (
    "unsorted-rows symbol=BTCUSDT type=klines interval=1m day=2024-02-28",
    "unsorted-rows symbol=ETHUSDT type=metrics",
    "duplicate-rows symbol=BTCUSDT type=aggTrades day=2024-02-28",
    "interleaved-ids symbol=ETHUSDT type=aggTrades day=2024-02-29",
    "missing-rows symbol=ETHUSDT type=klines interval=1m start=2024-02-28T10:10 "
    "end=2024-02-28T12:20",
    "missing-day symbol=BTCUSDT type=metrics day=2024-02-28",
)
SPEC = SampleSpec(
    symbols=universe(2),
    days=2,
    trades_per_day=2_000,
    compression=1,
    traps=tuple(map(parse_trap, DISORDER)),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_sample(folder, SPEC)
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("expected")
    walk(settings_of(SPEC, source, root))
    return layer_bytes(root)


@pytest.fixture
def server() -> Iterator[S3Server]:
    with moto() as running:
        yield running


def words(source: Path, *more: object) -> list[str]:
    command = [
        sys.executable, "-m", "alphaqcm", "run", "--symbols", ",".join(SPEC.symbols),
        "--start", SPEC.first, "--end", SPEC.last, "--source", source,
        "--data-root", f"s3://{BUCKET}/team/root", *more,
    ]  # fmt: skip
    return list(map(str, command))


def run(server: S3Server, source: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(source, *more),
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
        timeout=240,
        env={**os.environ, **server.environment},
    )


@contextmanager
def started(
    server: S3Server, source: Path, *more: object, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        words(source, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=PROJECT,
        env={**os.environ, **server.environment, **environment},
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def store_of(server: S3Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return ObjectStore(f"s3://{BUCKET}/team/root", folder)


def stored(store: ObjectStore) -> dict[str, bytes]:
    keys = [key for key, _ in store.objects(store.root)]
    return {key: store.read(store.root / key) or b"" for key in keys}


def same(found: Mapping[str, bytes], expected: dict[str, str]) -> None:
    """Every file of the one-process build is there with the same bytes."""
    there = digests(found.items())
    assert {name for name in expected if there.get(name) != expected[name]} == set()


def wait_for_months(store: ObjectStore, child: subprocess.Popen[str]) -> None:
    while not store.list(store.root / "_tmp" / "months"):
        assert child.poll() is None, child.communicate()[0]
        time.sleep(0.05)


_LAST = re.compile(rb"<Contents>(?:(?!<Contents>).)*</Contents>(?!.*<Contents>)", re.DOTALL)


def weather(request: Request) -> Fault:
    """Everything at once: busy, broken, cut off, late, and listings that lack the newest name."""
    if request.is_list:
        return Fault(edit=lambda body: _LAST.sub(b"", body)) if request.number % 3 == 0 else Fault()
    if request.number % 11 == 3:
        return Fault(status=503)
    if request.number % 11 == 6:
        return Fault(status=500)
    if request.method == "GET" and request.number % 5 == 2:
        return Fault(cut=100)
    return Fault(delay=0.02)


def test_a_store_without_conditional_put_works_through_bad_weather(
    source: Path, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rclone(tmp_path / "rclone") as server, faulty(server, weather) as (proxy, counted):
        refused = run(proxy, source)
        assert refused.returncode == 1
        assert "--no-lease" in refused.stderr
        done = run(proxy, source, "--no-lease", "--keep-zips")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"s3://{BUCKET}/team/root/final_dataset_all.parquet" in done.stdout
        assert counted.faults > 20
        found = stored(store_of(server, tmp_path / "work", monkeypatch))
        same(found, expected)
        zips = {name: data for name, data in found.items() if name.endswith(".zip")}
        assert zips  # --keep-zips: as the source has them
        for name, data in zips.items():
            assert (source / name.removeprefix("_tmp/binance_vision/")).read_bytes() == data


def test_dask_with_kills_and_a_client_killed_and_started_again(
    server: S3Server,
    source: Path,
    expected: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = store_of(server, tmp_path / "work", monkeypatch)
    dask = ("--executor", "dask", "--scratch", tmp_path / "scratch")
    many = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "100"}
    with started(server, source, *dask, **many) as client:
        wait_for_months(store, client)
        client.send_signal(signal.SIGSTOP)  # it shall not be done before it is killed
        second = run(server, source)
        assert second.returncode == 1
        assert f"process {client.pid} on" in second.stderr
        for child in psutil.Process(client.pid).children(recursive=True):
            child.kill()
        client.send_signal(signal.SIGKILL)
    told = orjson.loads(store.read(store.root / "_tmp" / "lease.json") or b"")
    third = run(server, source)
    assert third.returncode == 1  # its lease lasts for a minute
    assert f"process {client.pid} on" in third.stderr
    store.replace(store.root / "_tmp" / "lease.json", orjson.dumps({**told, "until": 1.0}))  # over
    done = run(server, source, *dask)
    assert done.returncode == 0, done.stdout + done.stderr
    same(stored(store), expected)
    # the workers keep nothing, also those that were killed
    assert list((tmp_path / "scratch").glob("alphaqcm-*")) == []
    assert list((tmp_path / "scratch").rglob("*.zip")) == []
    ahead = run(server, source, "--dry-run")
    assert "everything is current" in ahead.stdout
    again = run(server, source)
    assert "everything is current" in again.stdout + again.stderr
    assert "built 0 files, downloaded 0.0 MB" in again.stdout


def test_credentials_that_end_in_the_middle_leave_what_is_done_and_new_ones_go_on(
    server: S3Server,
    source: Path,
    expected: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def until_two_months(request: Request) -> Fault:
        if request.method == "PUT" and request.path.endswith("/2024-02.parquet"):
            made.append(request.path)
        return Fault(status=403, code="ExpiredToken") if len(made) > 2 else Fault()

    with faulty(server, until_two_months) as (proxy, counted):
        stopped = run(proxy, source, "--workers", 2)
    assert stopped.returncode == 1
    assert "ExpiredToken" in stopped.stderr
    assert "AWS_SESSION_TOKEN" in stopped.stderr
    assert "the same command then goes on from here" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    # each worker stops at its first refusal; the rest is the client's, which ends then
    assert counted.faults < 20
    store = store_of(server, tmp_path / "work", monkeypatch)
    found = digests((key, data) for key, data in stored(store).items() if key in expected)
    assert len(found) >= 2
    assert {name for name in found if found[name] != expected[name]} == set()
    assert store.stat(store.root / "final_dataset_all.parquet") is None
    lease = store.root / "_tmp" / "lease.json"
    told = orjson.loads(store.read(lease) or b"")
    store.replace(lease, orjson.dumps({**told, "until": 1.0}))  # over
    done = run(server, source)
    assert done.returncode == 0, done.stdout + done.stderr
    same(stored(store), expected)


def test_a_client_whose_lease_was_taken_publishes_nothing(
    server: S3Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(server, tmp_path / "work", monkeypatch)
    with started(server, source) as client:
        wait_for_months(store, client)
        client.send_signal(signal.SIGSTOP)
        thief = Lease(store, lambda: time.time() + 1000).take()  # as after a long pause
        client.send_signal(signal.SIGCONT)
        text, _ = client.communicate(timeout=120)
    assert client.returncode == 1, text
    assert f"number {thief.holder.token}" in text
    assert "nothing was published" in text
    assert [path.name for path in store.list(store.root) if "final" in path.name] == []
    thief.check()
