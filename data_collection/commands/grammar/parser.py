"""Builds a command's parser from its options, and reads a command line with it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar.configuration import Setting, resolve
from alphaqcm.data_collection.commands.grammar.values import DATA_SUFFIXES, RELATIVE_DAY, day, path
from alphaqcm.data_collection.commands.options import Kind, Option

_CONFIGURED = "Defaults can be set by ALPHAQCM_* variables and in alphaqcm.toml: alphaqcm config."


def build_parser(command: Command, prog: str) -> argparse.ArgumentParser:
    """The parser of a command; it reads texts only, `parse` makes values of them."""
    examples = "\n".join(f"  {prog} {example}" for example in command.examples)
    parts = [command.notes, f"examples:\n{examples}" if examples else "", _CONFIGURED]
    parser = argparse.ArgumentParser(
        prog=prog,
        description=command.about,
        epilog="\n\n".join(filter(None, parts)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser, command.all_options)
    return parser


def add_options(parser: argparse.ArgumentParser, options: Iterable[Option]) -> None:
    """Declare options; none has a default, so that what was given can be told from what was not."""
    groups: dict[str, Any] = {"": parser}
    for one in options:
        if one.group not in groups:
            groups[one.group] = parser.add_argument_group(one.group)
        _add(groups[one.group], one, (*one.also, one.name), help_text(one).replace("%", "%%"))
        if one.hidden:
            _add(parser, one, one.hidden, argparse.SUPPRESS)


def help_text(option: Option) -> str:
    """What the help says of an option, its default included."""
    if option.default in (None, False, "", []) or "default" in option.help:
        return option.help
    return (
        f"{option.help} (default: {option.default:g})"
        if isinstance(option.default, float)
        else f"{option.help} (default: {option.default})"
    )


def _add(parser: Any, option: Option, names: Sequence[str], text: str) -> None:
    more: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
    if option.kind is Kind.SWITCH:
        more["action"] = "store_true"
    else:
        more["metavar"] = option.metavar or None
        if option.choices and (option.required or not option.positional):
            more["choices"] = option.choices
        if option.kind is Kind.REPEATED:
            more["action"] = "append"
        elif option.kind is Kind.OPTIONAL:
            more |= {"nargs": "?", "const": option.const}
        elif option.kind is Kind.MANY:
            more["nargs"] = "*"
        elif option.positional and not option.required:
            more["nargs"] = "?"
    if option.positional:
        names = [option.dest]
    else:
        more["dest"] = option.dest
    parser.add_argument(*names, **more)


def parse(
    command: Command,
    words: Sequence[str],
    prog: str,
    known: Mapping[str, frozenset[str]],
    environment: Mapping[str, str] = os.environ,
) -> argparse.Namespace:
    """The values of all options, and where each comes from as `settings`; `given` as typed.

    Ends the process with a usage message, as argparse does, for words that no option takes; raises
    `UsageError` for values that do not fit.
    """
    parser = build_parser(command, prog)
    options = tuple(command.all_options)
    given = vars(parser.parse_args(_join_relative_days(words, options)))
    _give_back(given, options)
    settings = resolve(command.section or command.name, options, given, environment, known)
    missing = [one.name for one in options if one.required and settings[one.dest].value is None]
    if missing:
        parser.error("the following arguments are required: " + ", ".join(missing))
    values = {dest: setting.value for dest, setting in settings.items()}
    return argparse.Namespace(**values, settings=settings, given=given)


def _give_back(given: dict[str, Any], options: Iterable[Option]) -> None:
    """Where `--json TABLE` took the word of an optional position, give it back: `info --json T`."""
    place = next((one for one in options if one.positional and one.parse is path), None)
    target = given.get("json")
    if place is not None and place.dest not in given and f"{target}".endswith(DATA_SUFFIXES):
        given |= {place.dest: target, "json": "-"}


def _join_relative_days(words: Sequence[str], options: Iterable[Option]) -> list[str]:
    """`--start -30d` as one word, as which argparse takes no option for a value."""
    takes_day = {
        name for one in options if one.parse is day for name in (one.name, *one.also, *one.hidden)
    }
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in takes_day and RELATIVE_DAY.fullmatch(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def to_words(options: Iterable[Option], settings: Mapping[str, Setting]) -> list[str]:
    """The words that give another process the settings that are not defaults."""
    words: list[str] = []
    for one in options:
        setting = settings.get(one.dest)
        if setting is None or setting.origin == "default" or setting.value in (None, False):
            continue
        if one.positional:
            continue
        if one.kind is Kind.SWITCH:
            words.append(one.name)
            continue
        values = setting.value if one.kind is Kind.REPEATED else [setting.value]
        for value in values:
            text = ",".join(value) if isinstance(value, tuple) else f"{value}"
            words.append(f"{one.name}={text}")
    return words
