"""Commands killed at random moments, one after another on one data root: nothing torn, all right.

7 kills in `make test`, 100 with ALPHAQCM_SOAK=1. ALPHAQCM_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.data_collection.simulation.sample.instruments import universe
from tests.conftest import PROJECT, SOAK
from tests.helpers.command import alphaqcm

pytestmark = [pytest.mark.process, pytest.mark.slow]

SEED = int(os.environ.get("ALPHAQCM_SEED", "0"))
KILLS = 100 if SOAK else 7
SPEC = SampleSpec(symbols=universe(2), trades_per_day=600)
TABLE = "final_dataset_all.parquet"
EXPORT = "crypto_hourly_full"


@dataclass(frozen=True, slots=True)
class Truth:
    """An archive, and what an undisturbed run makes of it by its last day and the day before."""

    source: Path
    tables: dict[date, pl.DataFrame]
    csv: dict[str, bytes]


def run_words(source: Path, root: Path, end: date) -> list[str]:
    words = ["run", "--symbols", ",".join(SPEC.symbols), "--start", SPEC.first, "--end", end]
    return [*map(str, words), "--source", str(source), "--data-root", str(root), "--workers", "2"]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("truth")
    write_sample(folder / "source", SPEC)
    tables, csv = {}, {}
    for end in (SPEC.last - timedelta(days=1), SPEC.last):
        root = folder / f"to {end}"
        done = alphaqcm(*run_words(folder / "source", root, end))
        assert done.returncode == 0, done.stdout + done.stderr
        tables[end] = pl.read_parquet(root / TABLE)
        csv = {path.name: path.read_bytes() for path in (root / EXPORT).glob("*.csv")}
    return Truth(folder / "source", tables, csv)


def killed(words: list[str], after: float) -> bool:
    """Start a command and kill it with all its children; False where it had ended before."""
    with subprocess.Popen(
        [sys.executable, "-m", "alphaqcm", *words],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return True
    return False


@pytest.mark.timeout(0 if SOAK else 600)
def test_commands_killed_at_random_leave_nothing_wrong(truth: Truth, tmp_path: Path) -> None:
    chance, root = random.Random(SEED), tmp_path / "root"
    place = ["--data-root", str(root)]
    ends = sorted(truth.tables)
    works = [
        run_words(truth.source, root, ends[0]),
        ["update", "--through", str(ends[1]), "--source", str(truth.source), *place],
        ["build", *place],
        ["export", "stages", *place],
        ["check", "--deep", *place],
    ]
    assert alphaqcm(*works[0]).returncode == 0
    longest, kills = 4.0, 0
    while kills < KILLS:
        work = works[kills % len(works)]
        what = f"ALPHAQCM_SEED={SEED}, kill {kills}: {work[0]}"
        if work[0] == "export":  # with something to write each time
            for path in (root / EXPORT).glob("*.csv"):
                path.unlink()
        if work[0] in ("run", "build"):
            (root / TABLE).unlink(missing_ok=True)
        if killed(work, chance.uniform(0.4, longest)):
            kills += 1
        else:
            longest = max(1.5, longest * 0.9)
        if (root / TABLE).exists():
            found = pl.read_parquet(root / TABLE)
            assert any(found.equals(table) for table in truth.tables.values()), what
        for path in (root / EXPORT).glob("*.csv"):
            assert path.read_bytes().endswith(b"\n"), what
    for end in ends:
        done = alphaqcm(*run_words(truth.source, root, end))
        assert done.returncode == 0, done.stdout + done.stderr
        assert pl.read_parquet(root / TABLE).equals(truth.tables[end]), f"ALPHAQCM_SEED={SEED}"
    assert {path.name: path.read_bytes() for path in (root / EXPORT).glob("*.csv")} == truth.csv
    assert alphaqcm("verify", "--deep", *place).returncode == 0
    assert alphaqcm("info", *place).returncode == 0
    assert not list(root.rglob(".*.tmp"))
