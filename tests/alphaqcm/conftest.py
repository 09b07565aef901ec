"""Two real data roots: the demo's, and one of minutes with a hole and a running month."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.command import alphaqcm


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`AlphaQCM_data/demo` below the folder that is returned, as `make demo` makes it."""
    folder = tmp_path_factory.mktemp("demo")
    made = alphaqcm("sample", "archive", cwd=folder)
    assert made.returncode == 0, made.stderr
    root = folder / "AlphaQCM_data" / "demo"
    root.mkdir(parents=True)
    words = "--symbols BTCUSDT,ETHUSDT,SOLUSDT --start 2024-02-27 --end 2024-02-29"
    ran = alphaqcm(
        "run", *words.split(), "--source", "archive", "--data-root", str(root), cwd=folder
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return folder


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root from 2024-02-22 to 2024-03-05, March from daily files.

    BTCUSDT has no minutes from 03:10 to 03:30 on March 2nd.
    """
    folder = tmp_path_factory.mktemp("running")
    plant = "missing-rows symbol=BTCUSDT start=2024-03-02T03:10 end=2024-03-02T03:30"
    words = "--symbols BTCUSDT,ETHUSDT --start 2024-02-22 --days 13 --minutes-only"
    made = alphaqcm("sample", "archive", *words.split(), "--plant", plant, cwd=folder)
    assert made.returncode == 0, made.stderr
    days = "--symbols BTCUSDT,ETHUSDT --start 2024-02-22 --end 2024-03-05"
    alphaqcm("run", *days.split(), "--source", "archive", "--data-root", "root", cwd=folder)
    return folder / "root"
