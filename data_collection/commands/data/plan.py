"""Shows what a download would keep, fetch, replace and find absent."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from alphaqcm.data_collection.archive.fetching import print_plan
from alphaqcm.data_collection.archive.plan import Plan
from alphaqcm.data_collection.archive.selection import find_files
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer, wants_text
from alphaqcm.data_collection.commands.request import open_to_look, read_selection
from alphaqcm.pipeline.domain.time import utc_text


def run(arguments: argparse.Namespace) -> Answer:
    """Print the plan."""
    selection = read_selection(arguments)
    with open_to_look(arguments) as archive:
        files = find_files(archive, selection)
        plan = archive.plan(files)
        oldest = min(
            (archive.listing.seen_at(file.series.prefix(file.period.partition)) for file in files),
            default=0.0,
        )
    listed_at = utc_text(datetime.fromtimestamp(oldest, UTC).replace(microsecond=0))
    if wants_text(arguments):
        print_plan(plan)
        print(f"listing of {listed_at}" + ("" if arguments.refresh else "; --refresh lists anew"))
    return Answer(ExitCode.DONE, _document(plan, listed_at))


def _document(plan: Plan, listed_at: str) -> dict[str, Any]:
    return {
        "listed_at": listed_at,
        "counts": {str(action): count for action, count in plan.counts().items()},
        "bytes": plan.bytes,
        "files": [
            {
                "key": step.file.key,
                "action": str(step.action),
                "size": step.listed.size if step.listed else None,
                "state": str(step.record.state) if step.record else None,
            }
            for step in plan.steps
        ],
    }
