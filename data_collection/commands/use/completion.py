"""Prints a script that teaches a shell to complete the command."""

from __future__ import annotations

import argparse
from typing import Any

import shtab

from alphaqcm.data_collection.commands.catalogue import COMMANDS
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.grammar.parser import add_options
from alphaqcm.data_collection.commands.grammar.values import path
from alphaqcm.data_collection.commands.options import Option


def run(arguments: argparse.Namespace) -> int:
    """Print the script, made from the options of all commands."""
    parser = argparse.ArgumentParser(prog="alphaqcm")
    commands = parser.add_subparsers(dest="command")
    families: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        family, _, word = name.rpartition(" ")
        if family and family not in families:
            group = commands.add_parser(family, help=f"{family}: several commands")
            families[family] = group.add_subparsers(dest="action")
        one = families.get(family, commands).add_parser(word, help=command.text)
        options = tuple(command.all_options)
        add_options(one, options)
        files = {option.dest for option in options if _takes_path(option)}
        for action in one._actions:
            if action.dest in files:
                action.complete = shtab.FILE
    print(shtab.complete(parser, arguments.shell))
    return ExitCode.DONE


def _takes_path(option: Option) -> bool:
    return option.parse is path or option.dest == "json"
