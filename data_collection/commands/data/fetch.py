"""Downloads and verifies archive files into the cache of a data root."""

from __future__ import annotations

import argparse
from collections import Counter

from alphaqcm.data_collection.archive.adoption import adopt_cache
from alphaqcm.data_collection.archive.archive import Fetched, Missing
from alphaqcm.data_collection.archive.fetching import fetch_with_progress
from alphaqcm.data_collection.archive.selection import find_files
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.grammar.places import source_layout
from alphaqcm.data_collection.commands.output import Answer, tell
from alphaqcm.data_collection.commands.request import fetch_options, open_source, read_selection
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.domain.archive_file import ArchiveFile


def run(arguments: argparse.Namespace) -> Answer:
    """Fetch; 0 when every listed file is there."""
    selection, options = read_selection(arguments), fetch_options(arguments)
    layout = source_layout(arguments)
    adopt_cache(layout, tell)
    with (
        hold_root(layout.temp, exclusive=False),
        open_source(arguments, options) as archive,
    ):
        found = fetch_with_progress(archive, find_files(archive, selection))
        retried = dict(archive.retried_errors)
    return Answer(ExitCode.DONE, _document(found, retried))


def _document(
    found: dict[ArchiveFile, Fetched | Missing], retried: dict[str, int]
) -> dict[str, object]:
    ok = [result for result in found.values() if isinstance(result, Fetched)]
    missing = {file: result for file, result in found.items() if isinstance(result, Missing)}
    return {
        "exit_code": 0,
        "verified": len(ok),
        "downloaded": sum(result.downloaded > 0 for result in ok),
        "downloaded_bytes": sum(result.downloaded for result in ok),
        "missing": dict(Counter(str(result.state) for result in missing.values())),
        "missing_files": [
            {"key": file.key, "state": str(result.state), "reason": result.reason}
            for file, result in missing.items()
        ],
        "retried_errors": retried,
    }
