"""Bring the data root of the last run up to date, and publish the new table.

Lists the source, fetches and rebuilds only the months that are new or changed there, computes only
the new rows, and writes the table in the old one's place at once: who reads the old one keeps it.
The result is the table that a full run would give, byte for byte. CSVs are not written: the final
ones follow with `alphaqcm export final`, all others with `alphaqcm build`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from alphaqcm.data_collection.build.run.local_executor import load_settings, save_settings
from alphaqcm.data_collection.build.update.update import Updated, update
from alphaqcm.data_collection.commands.options import (
    add_root_option,
    parse_span,
    positive,
    source_word,
)
from alphaqcm.data_collection.commands.summary import counted, retried_errors_text
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.table_file import held_symbols

_LINES = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--through",
        default="yesterday",
        metavar="D",
        help="last day, YYYY-MM-DD or yesterday (default: %(default)s, UTC)",
    )
    parser.add_argument(
        "--workers", type=positive, default=2, metavar="N", help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--source", metavar="URL|DIR", help="another source than the last run's, from now on"
    )
    parser.add_argument("--listing", metavar="URL", help="where that source is listed")
    add_root_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Update; 0 only when nothing failed."""
    began = time.monotonic()
    layout = Layout(arguments.data_root.resolve())
    settings = load_settings(layout.temp)
    through = arguments.through
    if through == "yesterday":
        through = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    span = parse_span(settings.span.start.isoformat(), through)
    if span.end < settings.span.end:
        raise UsageError(
            f"--through {span.end}",
            expected=f"a day not before the last one asked for, {settings.span.end}",
            next_step="alphaqcm run with an earlier --end makes a shorter table",
        )
    if arguments.source is not None:
        settings = replace(settings, source=source_word(arguments.source), listing=None)
    if arguments.listing is not None:
        settings = replace(settings, listing=arguments.listing)
    settings = replace(settings, span=span)
    with hold_root(layout.temp, exclusive=True) as lock:
        done = update(settings, arguments.workers, lock)
        if not done.progress.failures:
            save_settings(settings)
    _print(done, time.monotonic() - began)
    last = max(rows.last for rows in held_symbols(layout.final_table()))
    if last < span.end.isoformat() and not done.progress.failures:
        print(f"the table's last hour is {last}: the source has nothing newer yet")
    return 1 if done.progress.problems else 0


def _print(done: Updated, seconds: float) -> None:
    progress = done.progress
    for title, lines in (
        (
            "worth knowing",
            [f"{task.id}: {note}" for task, o in progress.outcomes.items() for note in o.notes],
        ),
        ("FAILED", progress.problems),
    ):
        if lines:
            print(f"{title}:")
            print("\n".join(f"  {line}" for line in lines[:_LINES]))
        if len(lines) > _LINES:
            print(f"  … and {len(lines) - _LINES:,} more")
    print(
        f"{done.looked_at:,} months looked at, {progress.built:,} built, "
        f"downloaded {progress.downloaded / 1e6:,.1f} MB, {seconds:,.1f} s"
    )
    if progress.retried_errors:
        print(retried_errors_text(progress))
    if done.table is not None:
        symbols = counted(len(done.table.symbols), "symbol")
        print(f"{done.table.path}\n  {done.table.rows:,} rows, {symbols}")
        print("the final CSVs follow with: alphaqcm export final; the others with: alphaqcm build")
    elif progress.failures:
        print("the table was left as it is; the same command goes on from here")
    else:
        print("the table is current")
