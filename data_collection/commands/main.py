"""The `alphaqcm` command: finds the command, reads its options, runs it, gives its exit code.

Exit codes are those of `exit_codes`. A command's libraries are imported when it runs, so that help
and wrong words cost no more than the interpreter's start.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from alphaqcm._version import __version__
from alphaqcm.data_collection._bootstrap import use_one_thread
from alphaqcm.data_collection.commands.catalogue import COMMANDS, known_keys
from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.grammar.parser import build_parser, parse
from alphaqcm.data_collection.commands.object_roots import passing_folder
from alphaqcm.data_collection.commands.output import Answer, JsonSink, tell_settings, told
from alphaqcm.data_collection.errors import Banned, UsageError
from alphaqcm.data_collection.process.terminal_text import printable
from alphaqcm.pipeline.errors import BadName, PipelineError

_EPILOG = """`alphaqcm COMMAND --help` explains a command.

examples:
  alphaqcm sample archive --symbols 3 --days 5
  alphaqcm run --symbols BTCUSDT,ETHUSDT --start -90d --end yesterday"""


def command_line(family: str = "") -> argparse.ArgumentParser:
    """The parser of the command's first word, or of the second of a family such as `candles`."""
    parser = argparse.ArgumentParser(
        prog=f"alphaqcm {family}".strip(),
        description="Binance's public archive, turned into research-ready hourly data.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"alphaqcm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        if name.startswith(family):
            word = name.removeprefix(family).strip()
            commands.add_parser(word, help=command.text, description=command.text, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if " ".join(words[:2]) in COMMANDS:  # a command of two words: `candles fetch`
        words = [" ".join(words[:2]), *words[2:]]
    if words and any(name.startswith(f"{words[0]} ") for name in COMMANDS):
        command_line(f"{words[0]} ").parse_args(words[1:])  # exits, as no second word fits
    if not words or words[0] not in COMMANDS:
        command_line().parse_args(words)  # help, version or a usage error: exits
    return run_command(COMMANDS[words[0]], words[1:], prog=f"alphaqcm {words[0]}")


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of a command."""
    return build_parser(COMMANDS[name], f"alphaqcm {name}")


def run_command(command: Command, words: Sequence[str], prog: str, **more: Any) -> int:
    """Read a command's words, run it, turn errors into exit codes; `more` goes to its `run`."""
    if command.one_thread:
        use_one_thread()
    try:
        arguments = parse(command, words, prog, known_keys())
        tell_settings(prog, arguments)
        with told(command, arguments) as sink:
            try:
                return _run(command, arguments, sink, more)
            except (PipelineError, KeyboardInterrupt) as error:
                if sink.asked:
                    sink.write({"exit_code": int(_code(error)), "error": _told(error)})
                raise
    except KeyboardInterrupt as error:
        print(f"{prog}: interrupted; the same command goes on from here", file=sys.stderr)
        return _code(error)
    except PipelineError as error:
        code = _code(error)
        kind = "" if code is ExitCode.USAGE else f"{type(error).__name__}: "
        print(printable(f"{prog}: {kind}{error}"), file=sys.stderr)
        return code
    except BrokenPipeError:
        # the reader of our output went away (`| head`): not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE


def _run(
    command: Command, arguments: argparse.Namespace, sink: JsonSink, more: Mapping[str, Any]
) -> int:
    with passing_folder(command, arguments):
        result = command.load().run(arguments, **more)
    if isinstance(result, Answer):
        sink.write(result.document)
        return int(result.code)
    return int(result)


def _code(error: BaseException) -> ExitCode:
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, Banned):
        return ExitCode.LIMITED
    return ExitCode.USAGE if isinstance(error, UsageError | BadName) else ExitCode.FAILED


def _told(error: BaseException) -> dict[str, str]:
    """An error for programs: its kind and its four parts."""
    if not isinstance(error, PipelineError):
        return {"kind": "interrupted", "message": "the same command goes on from here"}
    parts = {name: getattr(error, name) for name in ("subject", "expected", "found", "next_step")}
    return {"kind": type(error).__name__, "message": f"{error}", **parts}


if __name__ == "__main__":
    sys.exit(main())
