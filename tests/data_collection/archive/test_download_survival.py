"""A download that is killed, raced, or out of disk: nothing torn, nothing twice, nothing left."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from alphaqcm.data_collection.simulation.mirror import Fault, FaultKind, FaultPlan, Mirror
from alphaqcm.pipeline.errors import DiskFull
from tests.conftest import PROJECT, SOAK, need_tool
from tests.helpers.archive_tree import KLINES, days, digests, leftovers, publish_all

pytestmark = pytest.mark.process

FIRST = "2021-01-01"
KILLS = 30 if SOAK else 10
SLOW = FaultPlan((Fault(FaultKind.DRIP, "*.zip", times=0, rate=150_000),))


@pytest.fixture(params=["requests", "aria2"])
def downloader(request: pytest.FixtureRequest) -> str:
    if request.param == "aria2":
        need_tool("aria2c")
    return str(request.param)


@dataclass(frozen=True)
class Job:
    """What a child process is to fetch."""

    mirror: Mirror
    cache: Path
    downloader: str
    count: int

    def start(self) -> subprocess.Popen[str]:
        words = (self.mirror.url, self.cache, self.downloader, FIRST, self.count)
        return subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.fetch_child", *map(str, words)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run_until(self, seconds: float) -> bool:
        """Run a child for some time after it started, then kill it; whether it was killed."""
        child = self.start()
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
        return child.wait() != 0


def test_killed_at_random_points_the_download_completes_and_repeats_nothing(
    tmp_path: Path, downloader: str
) -> None:
    count = KILLS * 8
    truth = publish_all(tmp_path / "tree", days(KLINES, FIRST, count), 30_000)
    cache = tmp_path / "cache"
    chance = random.Random(5)
    moments: list[tuple[set[str], int]] = []  # what was verified at a kill, requests until then
    with Mirror(tmp_path / "tree", faults=SLOW) as mirror:
        job = Job(mirror, cache, downloader, count)
        for _ in range(KILLS):
            assert job.run_until(chance.uniform(0.0, 0.5)), "the download was over too early"
            assert digests(cache).items() <= truth.items()
            moments.append((set(digests(cache)), len(mirror.log)))
        assert not job.run_until(200)
        asked = [item.key for item in mirror.log]
    for verified, seen in moments:
        assert verified.isdisjoint(asked[seen:])
    assert digests(cache) == truth
    assert leftovers(cache) == []


def test_two_processes_on_one_cache_fetch_each_file_once(tmp_path: Path, downloader: str) -> None:
    count = 120
    truth = publish_all(tmp_path / "tree", days(KLINES, FIRST, count), 20_000)
    with Mirror(tmp_path / "tree", faults=SLOW) as mirror:
        job = Job(mirror, tmp_path / "cache", downloader, count)
        pair = [job.start(), job.start()]
        assert [child.wait() for child in pair] == [0, 0]
        asked = Counter(item.key for item in mirror.log if item.key.endswith(".zip"))
    assert asked == dict.fromkeys(truth, 1)
    assert digests(tmp_path / "cache") == truth
    assert leftovers(tmp_path / "cache") == []


def test_aria2c_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    need_tool("aria2c")
    publish_all(tmp_path / "tree", days(KLINES, FIRST, 20), 300_000)
    with Mirror(tmp_path / "tree", faults=SLOW) as mirror:
        child = Job(mirror, tmp_path / "cache", "aria2", 20).start()
        helpers: list[psutil.Process] = []
        while not helpers:
            helpers = psutil.Process(child.pid).children()
            time.sleep(0.02)
        child.kill()
        child.wait()
        _, alive = psutil.wait_procs(helpers, timeout=5)
    assert [helper.status() for helper in alive if helper.status() != "zombie"] == []


def test_an_interrupted_fetch_says_so_and_goes_on(tmp_path: Path, downloader: str) -> None:
    truth = publish_all(tmp_path / "tree", days(KLINES, FIRST, 14), 40_000)
    with Mirror(tmp_path / "tree", faults=SLOW) as mirror:
        words = ["--symbols", "BTCUSDT", "--types", "klines:1m", "--start", FIRST]
        words += ["--end", "2021-01-14", "--source", mirror.url, "--connections", "4"]
        words += ["--data-root", str(tmp_path), "--downloader", downloader]
        command = [sys.executable, "-m", "alphaqcm", "fetch", *words]
        child = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
        cache = tmp_path / "_tmp" / "binance_vision"
        while len(digests(cache)) < 1:
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        _, told = child.communicate()
        assert child.returncode == 130
        assert "the same command goes on" in told
        assert digests(cache).items() < truth.items()
        assert subprocess.run(command, cwd=PROJECT, check=False).returncode == 0
    assert digests(cache) == truth
    assert leftovers(cache) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("a file system of its own cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_clearly_and_space_lets_it_go_on(
    tmp_path: Path, small_disk: Path, downloader: str
) -> None:
    files = days(KLINES, FIRST, 12)
    truth = publish_all(tmp_path / "tree", files, 300_000)
    options = FetchOptions(downloader=downloader, connections=3, backoff=0.02, retries=2)
    cache = small_disk / "cache"
    with Mirror(tmp_path / "tree") as mirror:
        with (
            Archive.open(mirror.url, cache=cache, options=options) as archive,
            pytest.raises(DiskFull, match="free some space"),
        ):
            archive.fetch(files)
        assert digests(cache).items() <= truth.items()
        subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
        with Archive.open(
            mirror.url, cache=cache, options=replace(options, connections=4)
        ) as archive:
            archive.fetch(files)
    assert digests(cache) == truth
    assert leftovers(cache) == []
