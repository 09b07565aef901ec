"""Every command by its name, and the keys that configuration files may have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from alphaqcm.data_collection.commands.build import declarations as build
from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.data import candle_declarations as candles
from alphaqcm.data_collection.commands.data import declarations as data
from alphaqcm.data_collection.commands.lab import declarations as lab
from alphaqcm.data_collection.commands.lab import marketstore_declarations as marketstore
from alphaqcm.data_collection.commands.live import declarations as live
from alphaqcm.data_collection.commands.options import JSON, Option
from alphaqcm.data_collection.commands.use import declarations as use

_ORDER = (
    "run", "build", "update", "symbols", "plan", "fetch", "candles fetch", "candles resample",
    "candles compare", "candles holo", "bmac start", "bmac status", "ledger",
    "verify", "minutes", "worker", "workers",
    "monitor", "columns", "check", "info", "sql", "export", "training-set", "config",
    "completion", "docs", "marketstore start", "sample", "mirror", "exchange",
)  # fmt: skip


def _configurable(commands: Iterable[Command]) -> tuple[Option, ...]:
    """Every option that may have a default, as its first command has it."""
    found: dict[str, Option] = {}
    for command in commands:
        for one in command.options:
            if one.configurable:
                found.setdefault(one.dest, one)
    return tuple(found.values())


def _all() -> dict[str, Command]:
    declared = {
        command.name: command
        for folder in (build, data, candles, live, use, lab, marketstore)
        for command in folder.COMMANDS
    }
    taken = _configurable(declared[name] for name in _ORDER)
    which = Option("about", "a command: only its options", metavar="COMMAND", choices=_ORDER)
    own = tuple(one.but(required=False) for one in taken)
    declared["config"] = replace(declared["config"], options=(which, *own, JSON))
    return {name: declared[name] for name in _ORDER}


COMMANDS = _all()

IN_ROOT = "in a data root"


def known_keys() -> dict[str, frozenset[str]]:
    """The keys of a configuration file: at its top (""), and in the table of each command.

    Under `IN_ROOT` those that a file inside a data root may have.
    """
    keys = {
        name: frozenset(one.key for one in command.all_options if one.configurable)
        for name, command in COMMANDS.items()
        if name != "config"
    }
    keys[""] = frozenset[str]().union(*keys.values())
    keys[IN_ROOT] = frozenset(
        one.key for command in COMMANDS.values() for one in command.options if one.in_root
    )
    return keys
