"""Show what a download would keep, fetch, replace and find absent, and how many bytes it moves.

Nothing is downloaded but listings; those listed within the last day are taken as they are.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

import orjson

from alphaqcm.data_collection.archive.fetching import print_plan
from alphaqcm.data_collection.archive.plan import Plan
from alphaqcm.data_collection.archive.selection import add_types_option, find_files, read_selection
from alphaqcm.data_collection.commands.fetch_options import add_refresh_option, open_to_look
from alphaqcm.data_collection.commands.options import (
    add_market_option,
    add_root_option,
    add_source_options,
    add_span_options,
)
from alphaqcm.data_collection.commands.universe import add_symbol_options
from alphaqcm.pipeline.domain.time import utc_text


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_symbol_options(parser)
    add_types_option(parser)
    add_span_options(parser)
    add_market_option(parser)
    add_source_options(parser, of_root=True)
    add_root_option(parser)
    add_refresh_option(parser)
    parser.add_argument("--json", action="store_true", help="every file, for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    wish = read_selection(arguments)
    with open_to_look(arguments) as archive:
        files = find_files(archive, wish)
        plan = archive.plan(files)
        oldest = min(
            (archive.listing.seen_at(file.series.prefix(file.period.partition)) for file in files),
            default=0.0,
        )
    listed_at = utc_text(datetime.fromtimestamp(oldest, UTC).replace(microsecond=0))
    if arguments.json:
        sys.stdout.buffer.write(_json(plan, listed_at))
        return 0
    print_plan(plan)
    print(f"listing of {listed_at}" + ("" if arguments.refresh else "; --refresh lists anew"))
    return 0


def _json(plan: Plan, listed_at: str) -> bytes:
    return orjson.dumps(
        {
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
        },
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )
