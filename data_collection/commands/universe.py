"""Which symbols a command is about: a comma list, or a file of one symbol a line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import alphaqcm
from alphaqcm.data_collection.commands.options import DEFAULT_UNIVERSE
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol

_LONGEST = 4_000_000  # characters; the archive has some thousand symbols

FOLDER = Path(alphaqcm.__file__).with_name("data_collection") / "_symbols"
"""Where universes lie: in a checkout a link to `symbols/`."""


def chosen_symbols(arguments: argparse.Namespace, market: Market) -> tuple[Symbol, ...]:
    """The symbols the options name, the default universe when they name none."""
    if arguments.symbols is not None:
        return _parse(arguments.symbols.split(","), market, "--symbols")
    return read_symbols(f"{arguments.symbols_file or DEFAULT_UNIVERSE}", market)


def named_symbols(arguments: argparse.Namespace, market: Market) -> tuple[Symbol, ...]:
    """The symbols that the options name, none when they name none."""
    if arguments.symbols is None and arguments.symbols_file is None:
        return ()
    return chosen_symbols(arguments, market)


def read_symbols(name: str, market: Market) -> tuple[Symbol, ...]:
    """The symbols of a file, in its order, each once; raises `UsageError` and `BadName`."""
    candidates = [Path(name), FOLDER / Path(name).name]
    # a pipe such as bash's <(…) is no regular file; it can be read once
    path = next((path for path in candidates if path.exists() and not path.is_dir()), None)
    if path is None:
        known = sorted(file.name for file in FOLDER.glob("*.txt"))
        raise UsageError(
            f"symbols file {name}",
            expected="a file, here or in symbols/",
            found="none; symbols/ has " + (", ".join(known) or "no files"),
            next_step="correct the name, or write one with: alphaqcm symbols --write FILE",
        )
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LONGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            path, expected="a text file in UTF-8, one symbol a line", found=f"{error}"
        ) from error
    if len(text) > _LONGEST:
        raise UsageError(
            path,
            expected="a text file of one symbol a line",
            found=f"more than {_LONGEST:,} characters",
        )
    lines = (line.partition("#")[0] for line in text.splitlines())
    return _parse(lines, market, str(path))


def _parse(names: Iterable[str], market: Market, origin: str) -> tuple[Symbol, ...]:
    symbols = [Symbol.parse(name, market) for name in names if name.strip()]
    if not symbols:
        raise UsageError(origin, expected="at least one symbol", found="none")
    return tuple(dict.fromkeys(symbols))
