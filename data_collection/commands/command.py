"""What a command is: its module, its options and its help, as data."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from alphaqcm.data_collection.commands.options import COMMON, Option


@dataclass(frozen=True, slots=True)
class Command:
    """A command or script. Its module has `run(arguments)`; it is imported when that is called."""

    name: str
    module: str  # below `commands`
    text: str  # one line
    about: str  # the help's first paragraphs
    options: tuple[Option, ...]
    examples: tuple[str, ...]  # without the program's name
    section: str = ""  # the table of configuration files that is its own, where not its name
    notes: str = ""  # what the help says below the options
    answers: bool = False  # what it prints is what was asked for: --quiet leaves it
    one_thread: bool = False  # polars gets one thread, as suits one process beside others

    def but(self, **changes: Any) -> Command:
        """The same command with something else about it."""
        return replace(self, **changes)

    @property
    def all_options(self) -> Iterator[Option]:
        """Its own options and those of every command, but one whose name the command has taken."""
        own = {one.name for one in self.options}
        yield from self.options
        yield from (one for one in COMMON if one.name not in own)

    def load(self) -> ModuleType:
        """The module that does it."""
        return importlib.import_module(f"alphaqcm.data_collection.commands.{self.module}")
