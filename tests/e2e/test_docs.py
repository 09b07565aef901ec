"""What the pages show exists: commands, options, scripts, links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from alphaqcm.data_collection.commands.main import COMMANDS, parser_of
from alphaqcm.pipeline.features.columns import COLUMNS
from scripts import commands_page
from tests.conftest import PROJECT

PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("*/README.md")])


def shown_commands(page: Path) -> list[list[str]]:
    """Every `alphaqcm …` of a page's code, as words; `…` and what follows it is left out."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [
        line for block in re.findall(r"```\w*\n(.*?)```", text, re.S) for line in block.split("\n")
    ]
    lines += re.findall(r"`(alphaqcm [^`]*)`", text)
    found = []
    for line in lines:
        match = re.search(r"(?:^|[\s$(])alphaqcm ([a-z][a-z-]*[^|#…]*)", " " + line)
        if match:
            words = re.sub(r"[\[\]]", " ", match[1].replace("…", ""))
            found.append(shlex.split(words))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_every_command_shown_exists(page: Path) -> None:
    for shown in shown_commands(page):
        pair = " ".join(shown[:2])  # `candles fetch` is one command
        words = [pair, *shown[2:]] if pair in COMMANDS else shown
        assert words[0] in COMMANDS, f"{page.name}: alphaqcm {words[0]}"
        options = {o for a in parser_of(words[0])._actions for o in a.option_strings}
        for word in words[1:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in options, f"{page.name}: {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_every_link_and_script_shown_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
    for script in re.findall(r"\b((?:data_collection|scripts)/\w+\.(?:py|sh))\b", text):
        assert (PROJECT / script).exists(), f"{page.name}: {script}"


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    """Every command and option is documented: the page is written from them."""
    written = (PROJECT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == commands_page.page(), "run: python scripts/commands_page.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    command = COMMANDS[name]
    assert command.about
    assert len(command.examples) == 2
    for action in parser_of(name)._actions:
        assert action.help or not action.option_strings, f"{name} {action.option_strings}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_every_column_shown_exists(page: Path) -> None:
    text = re.sub(r"\]\([^)]*\)", "", page.read_text(encoding="utf-8"))
    families = "at|oi|ls|seg|qrs|shape|liq|corr|doc|rv|triad|cs|returns|amihud|volume_clean"
    for name in re.findall(rf"(?<![\w/.-])((?:{families})_[a-zA-Z0-9_]+)\b(?![*{{.])", text):
        assert name in COLUMNS, f"{page.name}: {name}"
