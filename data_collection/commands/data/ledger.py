"""Show what is known of archive files: state, size, checksums, rows, times, when it was seen.

States: ok (verified, in the cache), absent (not at the source when last seen), corrupt (at the
source, but broken there), hole (a day without rows in any file of the archive).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatchcase

import orjson

from alphaqcm.data_collection.archive.ledger import FILE_NAME, FileRecord, FileState, Ledger
from alphaqcm.data_collection.commands.options import add_root_option
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.storage.layout import Layout


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--state", choices=[state.value for state in FileState], help="only this state"
    )
    parser.add_argument(
        "--match", default="*", metavar="GLOB", help="only keys like this, such as '*/BTCUSDT-1m-*'"
    )
    parser.add_argument("--json", action="store_true", help="every field, one record a line")
    add_root_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the records."""
    cache = Layout(arguments.data_root).cache
    if not (cache / FILE_NAME).is_file():
        raise UsageError(
            cache / FILE_NAME,
            expected="the ledger of a data root",
            found="none",
            next_step="pass --data-root, or download something first: alphaqcm fetch",
        )
    state = FileState(arguments.state) if arguments.state else None
    with Ledger(cache, reading=True) as ledger:
        found = (r for r in ledger.select(state=state) if fnmatchcase(r.key, arguments.match))
        if arguments.json:
            for record in found:
                line = orjson.dumps(asdict(record), option=orjson.OPT_APPEND_NEWLINE)
                sys.stdout.buffer.write(line)
        else:
            _print(found)
    return 0


def _print(records: Iterator[FileRecord]) -> None:
    counts: Counter[FileState] = Counter()
    size = 0
    for record in records:
        counts[record.state] += 1
        size += (record.size or 0) if record.sha256 else 0
        rows = "" if record.rows is None else f"{record.rows:,} rows"
        words = [f"{record.size:,} bytes" if record.sha256 else "", rows, record.reason]
        print(f"{record.state:<8}{record.key}  {', '.join(word for word in words if word)}")
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items()) or "no records"
    print(f"{told}; {size / 1e6:,.1f} MB verified")
