"""Every example in the docstrings and pages of the public API, run on the demo's data root."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import alphaqcm
from tests.conftest import PROJECT

pytestmark = pytest.mark.process
PLACES = ("alphaqcm", "alphaqcm.api", "alphaqcm.roots")


@pytest.mark.parametrize("place", PLACES)
def test_the_examples_of_the_docstrings_run(
    place: str, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo)
    failed, _ = doctest.testmod(importlib.import_module(place), verbose=False)
    assert failed == 0


@pytest.mark.parametrize("page", ["api.md", "howto.md"])
def test_the_examples_of_a_page_run(page: str, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo)
    failed, attempted = doctest.testfile(
        str(PROJECT / "docs" / page), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert attempted > 5
    assert failed == 0


@pytest.mark.parametrize("name", [name for name in alphaqcm.__all__ if name[0].islower()])
def test_every_function_has_an_example(name: str) -> None:
    told = getattr(alphaqcm, name).__doc__
    assert ">>> " in told
    assert "Raises" in told or name == "columns"
