"""`--max-disk` holds for all processes that bring files into one cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.disk_budget import DiskBudget
from alphaqcm.data_collection.errors import CacheFull
from tests.conftest import PROJECT


def budget(folder: Path, used: int = 0) -> DiskBudget:
    return DiskBudget(100, folder, lambda: used)


def test_what_another_brings_right_now_counts(tmp_path: Path) -> None:
    one, other = budget(tmp_path), budget(tmp_path)
    with one.reserve("a", 60), pytest.raises(CacheFull, match="60 there"), other.reserve("b", 50):
        pass


def test_what_another_has_brought_since_counts(tmp_path: Path) -> None:
    one, other = budget(tmp_path), budget(tmp_path)
    with one.reserve("a", 60):
        pass
    with pytest.raises(CacheFull), other.reserve("b", 50):
        pass


def test_what_came_before_counts_once(tmp_path: Path) -> None:
    with budget(tmp_path).reserve("a", 60):
        pass
    with budget(tmp_path, used=60).reserve("b", 40):
        pass


def test_what_failed_to_come_is_free_again(tmp_path: Path) -> None:
    one = budget(tmp_path)
    with pytest.raises(ZeroDivisionError), one.reserve("a", 60):
        raise ZeroDivisionError
    with one.reserve("b", 100):
        pass


@pytest.mark.process
def test_what_a_dead_process_set_aside_is_free_again(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from alphaqcm.data_collection.archive.disk_budget import DiskBudget\n"
        "with DiskBudget(100, pathlib.Path(sys.argv[1]), lambda: 0).reserve('a', 60):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT, check=False)
    assert list(tmp_path.glob("reserved-60-*"))
    with budget(tmp_path).reserve("b", 100):
        pass


def test_without_a_limit_nothing_is_kept(tmp_path: Path) -> None:
    with DiskBudget(None, tmp_path / "limits", lambda: 0).reserve("a", 1 << 60):
        assert not (tmp_path / "limits").exists()
