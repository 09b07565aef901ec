"""Fetching for a person: progress while it runs, a summary when it is done."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence

from tqdm import tqdm

from alphaqcm.data_collection.archive.archive import Archive, Fetched, Missing
from alphaqcm.data_collection.archive.plan import Action, Plan
from alphaqcm.data_collection.process.event_log import is_quiet
from alphaqcm.pipeline.domain.archive_file import ArchiveFile

_LINES = 20
_QUIET = 10.0  # seconds between two lines where the output is no terminal


def print_plan(plan: Plan) -> None:
    """The counts and bytes of a plan, before anything moves."""
    for action, count in plan.counts().items():
        size = sum(step.bytes for step in plan.of(action))
        print(f"{action:<10}{count:>10,} files" + (f"{size / 1e6:>14,.1f} MB" if size else ""))


def fetch_with_progress(
    archive: Archive, files: Sequence[ArchiveFile]
) -> dict[ArchiveFile, Fetched | Missing]:
    """Fetch the files, tell how it goes, print what came of it; returns that.

    Raises what `Archive.fetch` raises.
    """
    began = time.monotonic()
    plan = archive.plan(files)
    print_plan(plan)
    moving = {step.file: step.bytes for step in plan.of(Action.DOWNLOAD, Action.REPLACE)}
    meter = _Meter(moving)
    try:
        found = archive.fetch(files, meter.done)
    finally:
        meter.close()
        _print_troubles(archive)
    _print_missing(found)
    ok = [result for result in found.values() if isinstance(result, Fetched)]
    new = sum(result.downloaded > 0 for result in ok)
    size = sum(result.downloaded for result in ok)
    print(
        f"{len(ok):,} of {len(found):,} files verified in {archive.cache}; {new:,} downloaded, "
        f"{size / 1e6:,.1f} MB, {time.monotonic() - began:,.1f} s"
    )
    return found


class _Meter:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, moving: dict[ArchiveFile, int]) -> None:
        self._moving = moving
        self._files = 0
        self._next_line = time.monotonic() + _QUIET
        self._bar = tqdm(
            total=sum(moving.values()),
            unit="B",
            unit_scale=True,
            disable=is_quiet() or None,
            dynamic_ncols=True,
        )

    def done(self, file: ArchiveFile, _result: Fetched | Missing) -> None:
        """Count a file that was to be moved."""
        if file not in self._moving:
            return
        self._files += 1
        self._bar.update(self._moving[file])
        if not sys.stderr.isatty() and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _QUIET
            print(f"{self._files:,} of {len(self._moving):,} files", flush=True)

    def close(self) -> None:
        """Leave the bar."""
        self._bar.close()


def _print_missing(found: dict[ArchiveFile, Fetched | Missing]) -> None:
    missing = {file: result for file, result in found.items() if isinstance(result, Missing)}
    counts = Counter(result.state for result in missing.values())
    for state, count in counts.items():
        print(f"\n{count:,} {state} at the source:")
        named = [(f, m) for f, m in missing.items() if m.state is state]
        for file, result in named[:_LINES]:
            print(f"  {file.key}: {result.reason}")
        if count > _LINES:
            print(f"  … and {count - _LINES:,} more: alphaqcm ledger --state {state}")


def _print_troubles(archive: Archive) -> None:
    if archive.retried_errors:
        told = ", ".join(
            f"{count:,} {kind}" for kind, count in archive.retried_errors.most_common()
        )
        print(f"single attempts that went wrong: {told}")
