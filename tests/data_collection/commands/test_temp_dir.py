"""`--temp-dir`: the download cache elsewhere, shared by every command of a data root."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphaqcm.data_collection.simulation.mirror import Mirror
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.data_collection.simulation.sample.instruments import universe
from tests.helpers.command import alphaqcm

pytestmark = pytest.mark.process


def test_a_cache_outside_the_data_root_is_fetched_once(tmp_path: Path) -> None:
    spec = SampleSpec(symbols=universe(1), trades_per_day=1_000)
    write_sample(tmp_path / "archive", spec)
    cache, root = tmp_path / "large disk", tmp_path / "root"
    with Mirror(tmp_path / "archive") as mirror:
        place = ["--source", mirror.url, "--data-root", root]
        days = ["--symbols", "BTCUSDT", "--start", spec.first, "--end", spec.last]
        done = alphaqcm("fetch", *days, *place, "--temp-dir", cache)
        assert done.returncode == 0, done.stderr
        before = [one.key for one in mirror.log if one.key.endswith(".zip")]
        assert len(list(cache.rglob("*.zip"))) == len(before) > 0
        done = alphaqcm("run", *days, *place, "--temp-dir", cache, "--workers", 1)
        assert done.returncode == 0, done.stdout + done.stderr
        for later in (
            ["run", *days, *place, "--workers", 1],
            ["verify", "--deep", *place],
            ["fetch", *days, *place],
        ):
            done = alphaqcm(*later)
            assert done.returncode == 0, done.stdout + done.stderr
        assert [one.key for one in mirror.log if one.key.endswith(".zip")] == before
    assert not list(root.rglob("*.zip"))
