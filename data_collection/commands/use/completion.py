"""Prints a script that teaches a shell to complete the command."""

from __future__ import annotations

import argparse

import shtab

from alphaqcm.data_collection.commands.catalogue import COMMANDS
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.options import Option
from alphaqcm.data_collection.commands.parser import add_options
from alphaqcm.data_collection.commands.values import path


def run(arguments: argparse.Namespace) -> int:
    """Print the script, made from the options of all commands."""
    parser = argparse.ArgumentParser(prog="alphaqcm")
    commands = parser.add_subparsers(dest="command")
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.text)
        options = tuple(command.all_options)
        add_options(one, options)
        files = {option.dest for option in options if _takes_path(option)}
        for action in one._actions:
            if action.dest in files:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, arguments.shell))
    return ExitCode.DONE


def _takes_path(option: Option) -> bool:
    return option.parse is path or option.dest == "json"
