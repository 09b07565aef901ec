"""The `alphaqcm` command: finds the command's module, runs it, turns errors into exit codes.

Exit codes: 0 all done, 1 something failed, 2 the command's words are wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from alphaqcm._version import __version__
from alphaqcm.data_collection._bootstrap import use_one_thread
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.errors import BadName, PipelineError


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the folder its module lies in, and what it does in a line."""

    folder: str
    text: str


COMMANDS: dict[str, Command] = {
    "run": Command("build", "the whole road: download, layers, factors, final table"),
    "build": Command(
        "build", "layers and tables from the month files at hand, nothing is downloaded"
    ),
    "update": Command("build", "add what is new or changed at the source, publish the new table"),
    "symbols": Command("data", "the universe a market ever had, with first and last date"),
    "plan": Command("data", "what a download would keep, fetch, replace and find absent"),
    "fetch": Command("data", "download and verify archive files into the cache"),
    "candles": Command("data", "candles over REST: fetch, hours at every offset, compare"),
    "ledger": Command("data", "what is known of every archive file"),
    "verify": Command("data", "compare ledger, disk, listing and published checksums; repair"),
    "minutes": Command("lab", "one aggTrades ZIP to its 1-minute frame"),
    "worker": Command("build", "work on the shared queue"),
    "monitor": Command("build", "watch the shared queue"),
    "columns": Command("use", "every column of the wide table: definition, unit, inputs"),
    "check": Command("use", "look for what is missing, doubled, impossible or leaking; report"),
    "info": Command("use", "print and verify the manifest beside a table"),
    "sql": Command("use", "query all layers with DuckDB, read-only"),
    "export": Command("build", "write CSV stages from the parquet layers"),
    "training-set": Command("build", "features and labels as training files"),
    "docs": Command("use", "print a page of the documentation"),
    "sample": Command("lab", "write a simulated archive"),
    "mirror": Command("lab", "serve an archive tree over HTTP as the archive does"),
    "exchange": Command("lab", "serve a simulated exchange: REST, WebSockets, faults"),
}


def load_command(name: str) -> ModuleType:
    """The module of a command."""
    module = f"{COMMANDS[name].folder}.{name.replace('-', '_')}"
    return importlib.import_module(f"alphaqcm.data_collection.commands.{module}")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command's first word; each command adds its own options."""
    parser = argparse.ArgumentParser(
        prog="alphaqcm",
        description="Binance's public archive, turned into research-ready hourly data.",
        epilog="`alphaqcm COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"alphaqcm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.text, description=command.text, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in COMMANDS:
        build_parser().parse_args(words)  # help, version or a usage error: exits
    if words[0] == "worker":
        use_one_thread()
    return run_module(load_command(words[0]), words[1:], prog=f"alphaqcm {words[0]}")


def run_module(module: ModuleType, words: Sequence[str], prog: str) -> int:
    """Parse `words` with a command's own parser, run it, map errors to exit codes."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    arguments = parser.parse_args(words)
    try:
        return int(module.run(arguments))
    except (UsageError, BadName) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except PipelineError as error:
        print(f"{prog}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{prog}: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of our output went away (`| head`): not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
