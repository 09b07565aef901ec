"""Compiled functions that are kept on disk are made anew when what they were made from changes."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from numba.core.dispatcher import Dispatcher

from tests.conftest import PROJECT
from tests.helpers.command import copy_packages

CORE = PROJECT / "pipeline"
MODULES = sorted(
    "alphaqcm." + path.relative_to(PROJECT).with_suffix("").as_posix().replace("/", ".")
    for path in CORE.rglob("*.py")
    if "numba" in path.read_text(encoding="utf-8") or "@kernel" in path.read_text(encoding="utf-8")
)
ASK = """
import numpy as np
from alphaqcm.pipeline.features.factors.hour.correlation import correlations
from alphaqcm.pipeline.features.factors.hour.valid_minutes import ValidMinutes

n = 20
ints, floats = np.arange(n), np.arange(n, dtype=float) ** 1.5 + 1.0
starts, one = np.array([0, n]), np.ones(1)
counts = (starts[1:], starts[1:])
kept = ValidMinutes(ints, *[floats] * 6, starts, starts[:1], *counts, one)
print(correlations(kept)["corr_pv"][0])
"""


def own_names(module: ModuleType) -> set[str]:
    """What a module itself defines; what it imports is left out."""
    found: set[str] = set()
    for node in ast.parse(inspect.getsource(module)).body:
        match node:
            case ast.FunctionDef(name=name):
                found.add(name)
            case ast.Assign(targets=targets):
                found |= {
                    one.id
                    for target in targets
                    for one in ast.walk(target)
                    if isinstance(one, ast.Name)
                }
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_a_kept_kernel_reads_nothing_of_another_module(name: str) -> None:
    """Numba looks at a kernel's own file only; a digest of the others in a closure does too."""
    module = importlib.import_module(name)
    for kernel in vars(module).values():
        if not isinstance(kernel, Dispatcher) or kernel.py_func.__module__ != name:
            continue
        code = kernel.py_func.__code__
        if not kernel._cache.cache_path or "digest" in code.co_freevars:
            continue
        read = {word for word in code.co_names if word in vars(module)}
        foreign = {
            word
            for word in read - own_names(module)
            if not isinstance(vars(module)[word], ModuleType)
        }
        assert not foreign, f"{kernel.py_func.__name__} reads {foreign}"


@pytest.mark.process
def test_a_changed_constant_of_another_module_counts_at_once(tmp_path: Path) -> None:
    copy_packages(tmp_path)
    kept = tmp_path / "pipeline" / "features" / "factors" / "hour" / "valid_minutes.py"

    def ask() -> str:
        words = [sys.executable, "-c", ASK]
        environment = {"PATH": "", "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert float(ask()) == pytest.approx(1.0)
    text = kept.read_text(encoding="utf-8")
    kept.write_text(text.replace("MIN_ROWS = 10\n", "MIN_ROWS = 21\n"), encoding="utf-8")
    assert ask() == "nan"
