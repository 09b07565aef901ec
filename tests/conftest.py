"""Shared parts of the tests: the real files where present, the tools a test needs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"
REAL = Path(os.environ.get("ALPHAQCM_REAL_FILES") or SHARED / "real")
SOAK = os.environ.get("ALPHAQCM_SOAK") == "1"


def need_tool(name: str) -> str:
    """The tool's path; without it skip, or fail where CI asks for every tool."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed"
        if os.environ.get("ALPHAQCM_REQUIRE_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture
def real() -> Path:
    """Binance's own files: `ALPHAQCM_REAL_FILES`, or beside the checkout; skips without them."""
    if not REAL.is_dir():
        pytest.skip("the real files are not at hand")
    return REAL


@pytest.fixture
def spec() -> Path:
    """The specification the tables are held against; skips where it is not at hand."""
    folder = SHARED / "spec"
    if not folder.is_dir():
        pytest.skip("the specification is not at hand")
    return folder
