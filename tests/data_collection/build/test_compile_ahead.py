"""What is compiled once, beside the first run, is not compiled again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alphaqcm.data_collection.build.run.compile_ahead import compiling_ahead
from alphaqcm.data_collection.process.compiled import is_compiled, mark_compiled
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.conftest import PROJECT
from tests.data_collection.queue.test_storms import until

SPEC = SampleSpec(("ETHUSDT", "SOLUSDT"), days=2, trades_per_day=300)


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has compiled nothing yet."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))


@pytest.mark.process
@pytest.mark.slow
def test_after_it_a_run_compiles_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    module = "alphaqcm.data_collection.build.run.compile_ahead"
    with subprocess.Popen(
        [sys.executable, "-m", module, str(tmp_path), str(folder)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stderr is not None
        told = child.stderr.read()
        assert child.wait() == 0, told
    assert "functions" in told
    assert is_compiled()

    write_sample(tmp_path / "source", SPEC)
    words = ["--symbols", ",".join(SPEC.symbols), "--start", SPEC.first, "--end", SPEC.last]
    words += ["--source", tmp_path / "source", "--data-root", tmp_path / "root", "--workers", 1]
    done = subprocess.run(
        [sys.executable, "-m", "alphaqcm", "run", *map(str, words)],
        cwd=PROJECT,
        env={**os.environ, "NUMBA_DEBUG_CACHE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    logs = (tmp_path / "root" / "_tmp" / "logs").glob("*.log")
    told = done.stdout + done.stderr + "".join(path.read_text() for path in logs)
    assert "[cache] data loaded" in told
    assert "[cache] data saved" not in told
    assert "compiling" not in told


@pytest.mark.process
def test_it_says_so_works_beside_the_block_and_ends_with_it(tmp_path: Path) -> None:
    said: list[str] = []
    with compiling_ahead(tmp_path, said.append):
        assert said == ["compiling for this machine, once, while files are listed and fetched"]
        until(lambda: any((tmp_path / "kept").glob("**/*.nbi")))
        assert list(tmp_path.glob("compile-*"))
    assert not list(tmp_path.glob("compile-*"))
    assert not is_compiled()


def test_what_is_compiled_already_is_left(tmp_path: Path) -> None:
    mark_compiled()
    said: list[str] = []
    with compiling_ahead(tmp_path, said.append):
        assert said == []
    assert not (tmp_path / "logs").exists()
