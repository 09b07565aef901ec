"""A data root made as a user makes one: `alphaqcm sample`, then `alphaqcm run` on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT


def alphaqcm(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command from this checkout; the caller looks at the exit code."""
    return subprocess.run(
        [sys.executable, "-m", "alphaqcm", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
