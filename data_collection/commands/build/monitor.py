"""Watches the shared queue: totals, workers, speed, finish time, failures. Reads only."""

from __future__ import annotations

import argparse
import sys
from typing import TextIO

from rich.console import Console

from alphaqcm.data_collection.build.task import Task
from alphaqcm.data_collection.commands.output import answer_stream
from alphaqcm.data_collection.process.root_lock import require_folder
from alphaqcm.data_collection.queue.options import DEFAULT_STATE
from alphaqcm.data_collection.reporting.monitor.loop import Monitor
from alphaqcm.data_collection.reporting.monitor.snapshot import Focus
from alphaqcm.data_collection.reporting.monitor.view import WIDTH
from alphaqcm.pipeline.storage.layout import Layout


def run(arguments: argparse.Namespace, title: str = "queue", focus: Focus | None = None) -> int:
    """Watch the tasks in `focus`, by default the whole queue."""
    if arguments.json is None:
        return _watch(arguments, title, focus or _every_task, sys.stdout)
    with answer_stream(arguments) as stream:
        return _watch(arguments, title, focus or _every_task, stream)


def _watch(arguments: argparse.Namespace, title: str, focus: Focus, stream: TextIO) -> int:
    as_json = arguments.json is not None
    if arguments.once and arguments.state is None:
        require_folder(arguments.data_root)  # a monitor that stays may be there before its workers
    state = arguments.state or Layout(arguments.data_root).temp / DEFAULT_STATE
    monitor = Monitor(state, arguments.data_root, title, focus, arguments.stall_warn_sec)
    console = _console(stream)
    if arguments.once:
        monitor.once(console, as_json=as_json)
        return 0
    try:
        monitor.follow(console, arguments.interval, as_json=as_json)
    except KeyboardInterrupt:
        return 0  # the way to end it


def _console(stream: TextIO) -> Console:
    """At least 80 columns where there is no terminal, whatever COLUMNS says."""
    if stream.isatty():
        return Console(highlight=False, file=stream)
    return Console(highlight=False, width=WIDTH, no_color=True, force_terminal=False, file=stream)


def _every_task(_: Task) -> bool:
    return True
