"""Write docs/commands.md from the commands themselves: `python scripts/commands_page.py`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from alphaqcm.data_collection.commands.main import COMMANDS, load_command

PAGE = PROJECT / "docs" / "commands.md"
HEAD = """# Commands

`alphaqcm COMMAND --help` prints the same. Exit codes: 0 all done, 1 something failed, 2 the words
of the command do not fit, 130 interrupted. Dates are UTC days as YYYY-MM-DD.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "| command | what it does |", "|---|---|"]
    parts += [f"| [{name}](#{name}) | {command.text} |" for name, command in COMMANDS.items()]
    for name in COMMANDS:
        parts += ["", *_section(name)]
    return "\n".join(parts) + "\n"


def _section(name: str) -> list[str]:
    module = load_command(name)
    parser = argparse.ArgumentParser(prog=f"alphaqcm {name}")
    module.configure(parser)
    lines = [f"## {name}", "", _text(module.__doc__ or "").strip(), ""]
    lines += ["| option | meaning |", "|---|---|"]
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            lines.append(f"| {_shown(action)} | {_meaning(action)} |")
    return lines


def _text(text: str) -> str:
    """Indented lines of a docstring as code."""
    return re.sub(
        r"((?:^    .*\n?)+)", lambda m: f"```\n{_dedent(m[1])}```\n", text + "\n", flags=re.M
    )


def _dedent(block: str) -> str:
    return "".join(line.removeprefix("    ") for line in block.splitlines(keepends=True))


def _shown(action: argparse.Action) -> str:
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    value = action.metavar or choices or action.dest.upper()
    if not action.option_strings:
        return f"`{value}`"
    return (
        f"`{action.option_strings[-1]}`"
        if action.nargs == 0
        else (f"`{action.option_strings[-1]} {value}`".replace("|", "\\|"))
    )


def _meaning(action: argparse.Action) -> str:
    values = {**vars(action), "prog": "alphaqcm"}
    text = (action.help or "") % values if action.help else ""
    return text.replace("|", "\\|") + (
        " (required)" if action.required and action.option_strings else ""
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
