"""Connections and rate hold for all processes that share a cache, whoever started them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.transport.shared_limits import SharedLimits
from alphaqcm.data_collection.simulation.mirror import Mirror
from alphaqcm.data_collection.simulation.mirror.tree import DirectoryTree
from tests.conftest import PROJECT
from tests.helpers.archive_tree import KLINES, days, digests, publish_all

CONNECTIONS = 6
FETCH = f"""
import sys, pathlib
from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from tests.helpers.archive_tree import KLINES, days
source, cache, first, count = sys.argv[1:]
options = FetchOptions(connections={CONNECTIONS}, stall=120)
with Archive.open(source, cache=pathlib.Path(cache), options=options) as archive:
    archive.fetch(days(KLINES, first, int(count)))
"""


class CountingTree(DirectoryTree):
    """Counts the requests that are being answered at the same time."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.most = self._now = 0
        self._guard = threading.Lock()

    def path(self, key: str) -> Path | None:
        with self._guard:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.02)  # as far away as a server is, so that requests meet
        with self._guard:
            self._now -= 1
        return super().path(key)


@pytest.mark.process
def test_processes_on_one_cache_share_its_connections(tmp_path: Path) -> None:
    files = days(KLINES, "2024-01-01", 36)
    published = publish_all(tmp_path / "source", files)
    tree, cache = CountingTree(tmp_path / "source"), tmp_path / "cache"
    with Mirror(tree) as mirror:
        children = [
            subprocess.Popen(
                [
                    *(sys.executable, "-c", FETCH, mirror.url, str(cache)),
                    *(f"{files[12 * n].period.start}", "12"),
                ],
                cwd=PROJECT,
                stderr=subprocess.PIPE,
                text=True,
            )
            for n in range(3)
        ]
        errors = [child.communicate(timeout=240)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], errors
    assert digests(cache) == published
    assert 1 < tree.most <= CONNECTIONS


@pytest.mark.process
def test_a_connection_is_free_again_when_its_holder_ends(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, time\n"
        "from alphaqcm.data_collection.archive.transport.shared_limits import SharedLimits\n"
        "with SharedLimits(pathlib.Path(sys.argv[1]), 1, None).connection(lambda: None):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        looks = []

        def look() -> None:
            looks.append(1)
            holder.kill()  # seen to be taken once: now its holder ends

        with SharedLimits(tmp_path, 1, None).connection(look):
            assert looks


def test_waiting_for_a_connection_can_be_stopped(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    limits = SharedLimits(tmp_path, 1, None)
    with (
        limits.connection(stop),
        pytest.raises(KeyboardInterrupt),
        limits.connection(stop),
    ):
        pass


class Waits(threading.Event):
    """Notes how long it is waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return False


def test_the_rate_is_of_all_processes_together(tmp_path: Path) -> None:
    waits = Waits()
    one, other = (SharedLimits(tmp_path, 4, 1_000) for _ in range(2))
    for limits in (one, other, one, other):
        limits.spend(10_000, waits)
    assert waits.seconds[-1] > 30  # what three others took before counts: 40 s of the rate
