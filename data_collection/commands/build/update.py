"""Brings the data root of the last run up to date, and publishes the new table."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from alphaqcm.data_collection.archive.adoption import adopt_cache
from alphaqcm.data_collection.build.last_run import load_settings, save_settings
from alphaqcm.data_collection.build.object_root import hold_object_root
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.update.update import Updated, update
from alphaqcm.data_collection.commands.output import Answer, tell
from alphaqcm.data_collection.commands.request import parse_span, source_word
from alphaqcm.data_collection.commands.summary import (
    corrupt_files,
    document,
    exit_code,
    retried_errors_text,
)
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.data_collection.reporting.text import counted
from alphaqcm.pipeline.domain.registry import Market, parse_market
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.table_file import held_symbols

_LINES = 20


def run(arguments: argparse.Namespace) -> Answer:
    """Update; 0 only when nothing failed."""
    began = time.monotonic()
    layout = Layout(arguments.data_root.resolve())
    settings = load_settings(layout.temp, parse_market(arguments.market), arguments.store)
    through = arguments.end or datetime.now(UTC).date() - timedelta(days=1)
    span = parse_span(settings.span.start, through)
    if span.end < settings.span.end:
        raise UsageError(
            f"--end {span.end}",
            expected=f"a day not before the last one asked for, {settings.span.end}",
            next_step="alphaqcm run with an earlier --end makes a shorter table",
        )
    if arguments.source is not None:
        settings = replace(settings, source=source_word(arguments.source), listing=None)
    if arguments.listing is not None:
        settings = replace(settings, listing=arguments.listing)
    settings = replace(settings, span=span)
    with (
        hold_object_root(settings, lease=not arguments.no_lease),
        hold_root(layout.temp, exclusive=True) as lock,
    ):
        adopt_cache(layout, tell, held=True)
        done = update(settings, arguments.workers, lock)
        if not done.progress.failures:
            save_settings(settings)
    seconds = time.monotonic() - began
    wide = settings.market is Market.UM
    _print(settings, done, seconds, "the table" if wide else f"the layers of {settings.market}")
    last = None
    if wide:
        last = max(rows.last for rows in held_symbols(layout.final_table(), settings.layout.store))
        if last < span.end.isoformat() and not done.progress.failures:
            print(f"the table's last hour is {last}: the source has nothing newer yet")
    code = exit_code(done.progress, arguments.accept_corrupt)
    return Answer(code, {"exit_code": int(code), **_document(settings, done, last, seconds)})


def _document(
    settings: RunSettings, done: Updated, last: str | None, seconds: float
) -> dict[str, Any]:
    told = document(settings, done.progress, None, seconds)
    del told["types"]  # of the months looked at only: no count of the table's files
    if done.table is not None:
        table = {"path": settings.shown(done.table.path), "rows": done.table.rows, "written": True}
        told["tables"] = [table | {"symbols": len(done.table.symbols)}]
    return told | {"months_looked_at": done.looked_at, "last_hour": last}


def _print(settings: RunSettings, done: Updated, seconds: float, what: str) -> None:
    """`what` is brought up to date."""
    progress = done.progress
    for title, lines in (
        (
            "worth knowing",
            [f"{task.id}: {note}" for task, o in progress.outcomes.items() for note in o.notes],
        ),
        ("CORRUPT at the source, left out", corrupt_files(progress)),
        ("FAILED", [f"{task.id}: {reason}" for task, reason in progress.failures.items()]),
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
    if done.healed:
        print(done.healed)
    if progress.retried_errors:
        print(retried_errors_text(progress))
    if done.table is not None:
        symbols = counted(len(done.table.symbols), "symbol")
        print(f"{settings.shown(done.table.path)}\n  {done.table.rows:,} rows, {symbols}")
        print("the final CSVs follow with: alphaqcm export final; the others with: alphaqcm build")
    elif progress.failures:
        print("what failed was left as it is; the same command goes on from here")
    elif what == "the table":
        print("the table is current")
    else:
        print(f"{what} are {'up to date' if progress.built else 'current'}")
