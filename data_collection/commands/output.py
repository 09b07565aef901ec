"""What a command tells, and where: text for people, JSON for programs, colours, log lines.

With `--json -` standard output is the answer and nothing else: what people should read goes to
standard error. `--quiet` drops the text of commands that do something; the text of commands that
were asked for it stays.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar.configuration import DEFAULT_ORIGIN, show
from alphaqcm.pipeline.errors import layer_error

STANDARD = "-"


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's exit code, and its answer as plain values for `--json`."""

    code: int
    document: Any


class JsonSink:
    """Where the JSON of `--json` goes: standard output or a file."""

    def __init__(self, target: str | None, stream: TextIO) -> None:
        self.asked = target is not None
        self._target = target
        self._stream = stream

    def write(self, document: Any) -> None:
        """Write the whole answer; raises `LayerError`."""
        if self._target is None:
            return
        data = to_json(document, pretty=True)
        if self._target == STANDARD:
            self._stream.write(data.decode())
            self._stream.flush()
            return
        from alphaqcm.pipeline.storage.atomic_write import write_bytes

        target = Path(self._target)
        if target.is_file() or not target.exists():
            write_bytes(target, data)
            return
        try:
            target.write_bytes(data)  # a pipe or a terminal
        except OSError as error:
            raise layer_error(target, error) from error


def to_json(document: Any, *, pretty: bool = False) -> bytes:
    """Plain values as JSON with a line's end; paths and other values as their text."""
    import orjson

    options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
    return orjson.dumps(document, default=str, option=options | (orjson.OPT_INDENT_2 * pretty))


def wants_text(arguments: argparse.Namespace) -> bool:
    """Whether a command whose text is its answer prints it: not beside JSON on standard output."""
    return bool(arguments.json != STANDARD)


def answer_stream(arguments: argparse.Namespace) -> contextlib.AbstractContextManager[TextIO]:
    """Where a command writes an answer of JSON lines that is made while it runs."""
    if arguments.json == STANDARD:
        return contextlib.nullcontext(arguments.sink)
    try:
        return Path(arguments.json).open("w", encoding="utf-8")
    except OSError as error:
        raise layer_error(Path(arguments.json), error) from error


@contextlib.contextmanager
def told(command: Command, arguments: argparse.Namespace) -> Iterator[JsonSink]:
    """Lead what is printed in the block to where the options say; yields the sink of the JSON.

    Colours and log lines travel to processes that the block starts in the environment.
    """
    target = getattr(arguments, "json", None)
    sink = JsonSink(target, sys.stdout)
    arguments.sink = sys.stdout
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment(_variables(arguments)))
        if arguments.quiet and not command.answers:
            stack.enter_context(
                contextlib.redirect_stdout(
                    stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
                )
            )
        elif target == STANDARD:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield sink


def _variables(arguments: argparse.Namespace) -> dict[str, str]:
    """What the processes that a command starts must know of how to tell things."""
    level = arguments.log_level or ("warning" if arguments.quiet else "")
    found = {"ALPHAQCM_LOG_LEVEL": level or ("debug" if arguments.verbose else "info")}
    if arguments.log_json:
        found["ALPHAQCM_LOG_JSON"] = "true"
    if arguments.quiet:
        found["ALPHAQCM_QUIET"] = "true"
    if arguments.no_color:
        found["NO_COLOR"] = "1"
    return found


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text


def tell_settings(prog: str, arguments: argparse.Namespace) -> None:
    """Say on standard error what was decided, and where it comes from, where --verbose asks."""
    if not arguments.verbose and arguments.log_level != "debug":
        return
    for dest, setting in arguments.settings.items():
        if setting.origin != DEFAULT_ORIGIN:
            print(f"{prog}: {dest} = {show(setting.value)} ({setting.origin})", file=sys.stderr)


def tell(text: str) -> None:
    """Say on standard error what people should know beside the answer, unless --quiet."""
    if os.environ.get("ALPHAQCM_QUIET") != "true":
        print(text, file=sys.stderr)
