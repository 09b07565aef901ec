"""Shared parts of the tests: the real files where present, the tools a test needs."""

from __future__ import annotations

import os
import resource
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


_CHILDREN = pytest.StashKey[int]()


def _children() -> int:
    """A number that grows with every process that was started and has ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test with a browser starts one."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.process)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember what processes there were before the test and its fixtures."""
    item.stash[_CHILDREN] = _children()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Fail a test of `make test-fast` that starts processes: its marker is missing."""
    if "not process" in item.config.option.markexpr and _children() != item.stash[_CHILDREN]:
        pytest.fail("starts processes: mark it with pytest.mark.process")


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
