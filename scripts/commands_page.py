"""Write docs/commands.md from the commands themselves: `python scripts/commands_page.py`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from alphaqcm.data_collection.commands.catalogue import COMMANDS
from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.exit_codes import MEANING
from alphaqcm.data_collection.commands.grammar.parser import help_text
from alphaqcm.data_collection.commands.options import COMMON, Kind, Option

PAGE = PROJECT / "docs" / "commands.md"
HEAD = """# Commands

`alphaqcm COMMAND --help` prints the same. Days are UTC: YYYY-MM-DD, `yesterday`, `today`, or `-30d`
for thirty days ago. `alphaqcm completion bash|zsh` prints the shell's completion.
"""
DEFAULTS = """## Defaults

The first that names an option decides: the command line, the environment variable `ALPHAQCM_…`
(`ALPHAQCM_DATA_ROOT` for `--data-root`), the file that `--config` names or `alphaqcm.toml` of the
working directory, then `alphaqcm.toml` of the data root. Keys are the options' names, at the top
for every command or in a table of a command's name:

```
data-root = "/data/AlphaQCM_data"
symbols = ["BTCUSDT", "ETHUSDT"]
start = "-90d"
end = "yesterday"

[fetch]
connections = 32
```

A file inside a data root may set {in_root} only; any other option there is refused by its
name. `alphaqcm config COMMAND` shows each value and where it comes from.
"""
JSON = """## Answers for programs

With `--json FILE` the answer is also written to FILE; with `--json -`, or a bare `--json` at the
end, standard output is the answer alone and what people should read goes to standard error. A
command that fails writes `{"exit_code": …, "error": {…}}`.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "| command | what it does |", "|---|---|"]
    parts += [f"| [{name}](#{name}) | {command.text} |" for name, command in COMMANDS.items()]
    parts += ["", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    parts += [f"| {int(code)} | {text} |" for code, text in MEANING.items()]
    in_root = {
        one.key: "" for command in COMMANDS.values() for one in command.options if one.in_root
    }
    named = ", ".join(f"`{key}`" for key in in_root)
    parts += ["", DEFAULTS.replace("{in_root}", named), JSON]
    parts += ["## Options of every command", "", *_table(COMMON)]
    for command in COMMANDS.values():
        parts += ["", *_section(command)]
    return "\n".join(parts) + "\n"


def _section(command: Command) -> list[str]:
    lines = [f"## {command.name}", "", _text(command.about), ""]
    own = command.options
    if command.name == "config":
        own = own[:1]
        lines += ["It takes every option that may have a default, and:", ""]
    lines += _table(own)
    if command.notes:
        lines += ["", f"```\n{command.notes}\n```"]
    examples = [f"alphaqcm {command.name} {example}".rstrip() for example in command.examples]
    return [*lines, "", "```", *examples, "```"]


def _table(options: tuple[Option, ...]) -> list[str]:
    lines = ["| option | meaning |", "|---|---|"]
    for one in options:
        meaning = help_text(one).replace("|", "\\|") + (" (required)" if one.required else "")
        lines.append(f"| {_shown(one)} | {meaning} |")
    return lines


def _text(text: str) -> str:
    """Indented lines of a text as code."""
    return re.sub(
        r"((?:^    .*\n?)+)", lambda m: f"```\n{_dedent(m[1])}```\n", text + "\n", flags=re.M
    ).rstrip("\n")


def _dedent(block: str) -> str:
    return "".join(line.removeprefix("    ") for line in block.splitlines(keepends=True))


def _shown(option: Option) -> str:
    value = option.metavar or ("{" + ",".join(option.choices) + "}" if option.choices else "")
    value = value or option.dest.upper()
    if option.positional:
        return f"`{value}`"
    names = ", ".join((*option.also, option.name))
    if option.kind is Kind.SWITCH:
        return f"`{names}`"
    value = f"[{value}]" if option.kind is Kind.OPTIONAL else value
    return f"`{names} {value}`".replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
