"""The command line as users start it: a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT


def alphaqcm(*words: object, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "alphaqcm", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, check=False, timeout=240
    )


def copy_packages(folder: Path) -> None:
    """Copy the project's code to `folder`, to be changed there."""
    for package in ("alphaqcm", "pipeline", "data_collection", "symbols"):
        shutil.copytree(
            PROJECT / package,
            folder / package,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
