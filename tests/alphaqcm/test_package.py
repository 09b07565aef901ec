"""The package itself: light to import, typed, its errors and its command at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import alphaqcm
import alphaqcm.data_collection.errors
import alphaqcm.errors
import alphaqcm.pipeline.errors
from tests.conftest import PROJECT


def python(code: str, cwd: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.process
def test_the_import_loads_no_library(tmp_path: Path) -> None:
    code = (
        "import sys; before = set(sys.modules); import alphaqcm; alphaqcm.__version__;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    assert not {"polars", "numpy", "pyarrow", "numba", "duckdb"} & set(
        python(code, tmp_path).split()
    )


@pytest.mark.process
def test_reading_needs_no_compiled_kernel(tmp_path: Path) -> None:
    code = "import sys, alphaqcm; alphaqcm.bars; print('numba' in sys.modules)"
    assert python(code, tmp_path).strip() == "False"


def test_every_name_is_there_and_told(tmp_path: Path) -> None:
    for name in alphaqcm.__all__:
        assert getattr(alphaqcm, name) is not None
        assert name in dir(alphaqcm)
    with pytest.raises(AttributeError, match="no attribute 'sacn'"):
        alphaqcm.sacn  # noqa: B018


def test_every_error_of_both_trees_is_exported() -> None:
    for module in (alphaqcm.pipeline.errors, alphaqcm.data_collection.errors):
        for name, kind in vars(module).items():
            if isinstance(kind, type) and issubclass(kind, alphaqcm.pipeline.errors.PipelineError):
                assert getattr(alphaqcm.errors, name) is kind
                assert name in alphaqcm.errors.__all__


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(alphaqcm.__file__).parent / "py.typed").is_file()


@pytest.mark.process
def test_the_module_is_the_command(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "alphaqcm", "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.split() == ["alphaqcm", alphaqcm.__version__]
