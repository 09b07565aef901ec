"""Shows what the ledger knows of archive files."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TextIO

from alphaqcm.data_collection.archive.file_record import FileRecord, FileState
from alphaqcm.data_collection.archive.ledger import FILE_NAME, Ledger
from alphaqcm.data_collection.commands.output import answer_stream, to_json, wants_text
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.storage.layout import Layout


def run(arguments: argparse.Namespace) -> int:
    """Print the records."""
    cache = Layout(arguments.data_root).ledger_dir
    if not (cache / FILE_NAME).is_file():
        raise UsageError(
            cache / FILE_NAME,
            expected="the ledger of a data root",
            found="none",
            next_step="pass --data-root, or download something first: alphaqcm fetch",
        )
    state = FileState(arguments.state) if arguments.state else None
    with Ledger(cache, reading=True) as ledger:
        found: Iterator[FileRecord] = (
            r for r in ledger.select(state=state) if fnmatchcase(r.key, arguments.match)
        )
        if arguments.json is not None:
            with answer_stream(arguments) as stream:
                found = _written(found, stream)
                if not wants_text(arguments):
                    list(found)
                else:
                    _print(found)
        else:
            _print(found)
    return 0


def _written(records: Iterator[FileRecord], stream: TextIO) -> Iterator[FileRecord]:
    """The records, each written as a line of JSON on the way."""
    for record in records:
        stream.write(to_json(asdict(record)).decode())
        yield record


def _print(records: Iterator[FileRecord]) -> None:
    counts: Counter[FileState] = Counter()
    size = unproven = 0
    for record in records:
        counts[record.state] += 1
        if record.sha256 and record.published:
            size += record.size or 0
        elif record.sha256:
            unproven += record.size or 0
        rows = "" if record.rows is None else f"{record.rows:,} rows"
        plain = "" if record.published or not record.sha256 else "no published checksum"
        words = [f"{record.size:,} bytes" if record.sha256 else "", rows, plain, record.reason]
        print(f"{record.state:<8}{record.key}  {', '.join(word for word in words if word)}")
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items()) or "no records"
    rest = f", {unproven / 1e6:,.1f} MB without a published checksum" if unproven else ""
    print(f"{told}; {size / 1e6:,.1f} MB verified{rest}")
