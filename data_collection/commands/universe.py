"""Which symbols a command is about: a comma list, or a file of one symbol a line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import alphaqcm
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol

DEFAULT_FILE = "top100_perp_symbols.txt"

FOLDER = Path(alphaqcm.__file__).with_name("data_collection") / "_symbols"
"""Where universes lie: in a checkout a link to `symbols/`."""


def add_symbol_options(parser: argparse.ArgumentParser) -> None:
    """`--symbols` and `--symbols-file`, of which one is given at most."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--symbols", metavar="A,B", help="symbols in any notation, comma separated")
    group.add_argument(
        "--symbols-file",
        metavar="F",
        help="one symbol a line, `#` starts a comment; also looked up by its name in symbols/ "
        f"(default: {DEFAULT_FILE})",
    )


def chosen_symbols(arguments: argparse.Namespace, market: Market) -> tuple[Symbol, ...]:
    """The symbols the options name, the default universe when they name none."""
    if arguments.symbols is not None:
        return _parse(arguments.symbols.split(","), market, "--symbols")
    return read_symbols(arguments.symbols_file or DEFAULT_FILE, market)


def read_symbols(name: str, market: Market) -> tuple[Symbol, ...]:
    """The symbols of a file, in its order, each once; raises `UsageError` and `BadName`."""
    candidates = [Path(name), FOLDER / Path(name).name]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        known = sorted(file.name for file in FOLDER.glob("*.txt"))
        raise UsageError(
            f"symbols file {name}",
            expected="a file, here or in symbols/",
            found="none; symbols/ has " + (", ".join(known) or "no files"),
            next_step="correct the name, or write one with: alphaqcm symbols --write FILE",
        )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            path, expected="a text file in UTF-8, one symbol a line", found=f"{error}"
        ) from error
    return _parse((line.partition("#")[0] for line in lines), market, str(path))


def _parse(names: Iterable[str], market: Market, origin: str) -> tuple[Symbol, ...]:
    symbols = [Symbol.parse(name, market) for name in names if name.strip()]
    if not symbols:
        raise UsageError(origin, expected="at least one symbol", found="none")
    return tuple(dict.fromkeys(symbols))
