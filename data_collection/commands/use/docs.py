"""Print a page of the documentation; without a name, the list of pages.

Pages are Markdown:

    alphaqcm docs sql
    alphaqcm docs columns | less
"""

from __future__ import annotations

import argparse
from pathlib import Path

import alphaqcm
from alphaqcm.data_collection.errors import UsageError

FOLDER = Path(alphaqcm.__file__).with_name("data_collection") / "_docs"
"""Where the pages lie: in a checkout a link to `docs/`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("page", nargs="?", metavar="NAME", help="the page to print")


def run(arguments: argparse.Namespace) -> int:
    """Print one page, or the name and the title of each."""
    pages = {path.stem: path for path in sorted(FOLDER.glob("*.md"))}
    if arguments.page is None:
        for name, path in pages.items():
            print(f"{name:<14}{_title(path)}")
        return 0
    name = arguments.page.removeprefix("docs/").removesuffix(".md")
    if name not in pages:
        raise UsageError(
            f"page {arguments.page}",
            expected="one of " + ", ".join(pages),
            next_step="alphaqcm docs",
        )
    print(pages[name].read_text(encoding="utf-8"), end="")
    return 0


def _title(path: Path) -> str:
    """The first heading."""
    with path.open(encoding="utf-8") as lines:
        return next((line[1:].strip() for line in lines if line.startswith("# ")), "")
