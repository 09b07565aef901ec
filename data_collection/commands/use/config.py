"""Shows every option's effective value, and where it comes from."""

from __future__ import annotations

import argparse
import os

from alphaqcm.data_collection.commands.catalogue import COMMANDS, known_keys
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.grammar.configuration import resolve
from alphaqcm.data_collection.commands.output import Answer, wants_text


def run(arguments: argparse.Namespace) -> Answer:
    """Print the options that may have a default, of one command or of all."""
    settings = arguments.settings
    options = [one for one in COMMANDS["config"].all_options if one.configurable]
    if arguments.about:
        own = tuple(COMMANDS[arguments.about].all_options)
        settings = resolve(arguments.about, own, arguments.given, os.environ, known_keys())
        options = [one for one in own if one.configurable]
    rows = []
    for one in options:
        setting = settings[one.dest]
        value = "" if setting.value is None else _text(setting.value)
        rows.append(
            {"option": one.name, "value": value, "from": setting.origin, "variable": one.variable}
        )
    if wants_text(arguments):
        wide = max(len(row["value"]) for row in rows) + 2
        for row in rows:
            print(f"{row['option']:<20}{row['value']:<{wide}}{row['from']}")
    return Answer(ExitCode.DONE, rows)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else f"{value}"
