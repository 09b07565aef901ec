"""Prints a page of the documentation."""

from __future__ import annotations

import argparse
from pathlib import Path

import alphaqcm
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer, wants_text
from alphaqcm.data_collection.errors import UsageError

FOLDER = Path(alphaqcm.__file__).with_name("data_collection") / "_docs"
"""Where the pages lie: in a checkout a link to `docs/`."""


def run(arguments: argparse.Namespace) -> Answer:
    """Print one page, or the name and the title of each."""
    pages = {path.stem: path for path in sorted(FOLDER.glob("*.md"))}
    if arguments.page is None:
        titles = {name: _title(path) for name, path in pages.items()}
        width = 2 + max(map(len, titles))
        for name, title in titles.items() if wants_text(arguments) else ():
            print(f"{name:<{width}}{title}")
        return Answer(ExitCode.DONE, titles)
    name = arguments.page.removeprefix("docs/").removesuffix(".md")
    if name not in pages:
        raise UsageError(
            f"page {arguments.page}",
            expected="one of " + ", ".join(pages),
            next_step="alphaqcm docs",
        )
    text = pages[name].read_text(encoding="utf-8")
    if wants_text(arguments):
        print(text, end="")
    return Answer(ExitCode.DONE, {"page": name, "text": text})


def _title(path: Path) -> str:
    """The first heading."""
    with path.open(encoding="utf-8") as lines:
        return next((line[1:].strip() for line in lines if line.startswith("# ")), "")
