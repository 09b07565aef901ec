"""Shows how a live directory is doing."""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console
from rich.live import Live

from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer, wants_text
from alphaqcm.data_collection.live.watch.screen import WIDTH, look, render

_EVERY = 1.0  # seconds


def run(arguments: argparse.Namespace) -> Answer:
    """Show the status once, or again and again; exit code 1 without a process that keeps it."""
    console = Console(
        file=sys.stdout, width=WIDTH, highlight=False, no_color=arguments.no_color or None
    )
    view = look(arguments.base_dir)
    if arguments.follow and wants_text(arguments):
        with Live(render(view), console=console, auto_refresh=False, screen=False) as live:
            while True:
                time.sleep(_EVERY)
                view = look(arguments.base_dir)
                live.update(render(view), refresh=True)
    if wants_text(arguments):
        console.print(render(view))
    code = ExitCode.DONE if view.alive else ExitCode.FAILED
    return Answer(code, view.document())
