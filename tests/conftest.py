"""Shared parts of the tests: the real files where present, the tools a test needs."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from alphaqcm.data_collection.process.compiled import is_compiled

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"
REAL = Path(os.environ.get("ALPHAQCM_REAL_FILES") or SHARED / "real")
SOAK = os.environ.get("ALPHAQCM_SOAK") == "1"
COMPILE = """
from pathlib import Path
from alphaqcm.data_collection.build.run.compile_ahead import compile_all
compile_all(Path("."), Path("made"), print)
"""


def need_tool(name: str) -> str:
    """The tool's path; without it skip, or fail where CI asks for every tool."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed"
        if os.environ.get("ALPHAQCM_REQUIRE_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile once before several processes run tests: each would compile for itself."""
    if not getattr(session.config.option, "numprocesses", None) or is_compiled():
        return
    with TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", COMPILE], cwd=folder, check=True)


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
