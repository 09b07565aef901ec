"""The notebook of the documentation, run by a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import PROJECT

pytestmark = pytest.mark.process
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")


def printed(notebook: object) -> list[str]:
    """What each code cell printed."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]  # type: ignore[attr-defined]
    return ["".join(out["text"] for out in cell.outputs) for cell in cells]


def test_the_notebook_prints_on_the_demos_data_what_it_shows(demo: Path) -> None:
    from scripts import notebook

    shown = nbformat.read(PROJECT / "docs" / "notebook.ipynb", as_version=4)
    assert [cell.source for cell in shown.cells] == [text for _, text in notebook.CELLS]
    assert printed(notebook.executed(notebook.notebook(), demo)) == printed(shown)
    assert all(printed(shown))
