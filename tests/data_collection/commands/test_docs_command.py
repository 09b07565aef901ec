"""`alphaqcm docs`: every page of the documentation, printed."""

from __future__ import annotations

import re

import pytest

from alphaqcm.data_collection.commands.main import main
from tests.conftest import PROJECT

PAGES = sorted((PROJECT / "docs").glob("*.md"))


def test_the_list_names_every_page_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    titles = {page.stem: page.read_text("utf-8").split("\n")[0].lstrip("# ") for page in PAGES}
    assert lines == titles


def test_a_page_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "sql"]) == 0
    assert capsys.readouterr().out == (PROJECT / "docs" / "sql.md").read_text("utf-8")


def test_a_page_is_also_found_by_its_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "docs/sql.md"]) == 0
    assert capsys.readouterr().out.startswith("# Ask the layers")


@pytest.mark.parametrize("name", ["nothing", "../README", ""])
def test_an_unknown_page_is_refused_with_those_there_are(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["docs", name]) == 2
    error = capsys.readouterr().err
    assert all(page.stem in error for page in PAGES)


def test_messages_name_pages_by_the_command() -> None:
    """An installation has no `docs/` folder; the command is there with it."""
    for path in sorted((PROJECT / "data_collection").rglob("*.py")):
        for line in path.read_text("utf-8").splitlines():
            assert not re.search(r"docs/\w+\.md", line), f"{path.name}: {line.strip()}"
            for page in re.findall(r"`?alphaqcm docs (\w+)`?", line):
                assert (PROJECT / "docs" / f"{page}.md").is_file(), f"{path.name}: {line.strip()}"
