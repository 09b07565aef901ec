"""A month task of the queue: one month file, or those of a calendar year, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alphaqcm.data_collection.archive.archive import Archive, Fetched
from alphaqcm.data_collection.build.stages.month_inputs import CachedLookup, Fetch
from alphaqcm.data_collection.build.stages.month_task import MonthTask
from alphaqcm.data_collection.queue.task import CommitContext, Outcome, TaskResult


def make_months(
    months: Sequence[MonthTask], archive: Archive, commit: CommitContext, used: set[Path]
) -> Outcome:
    """Make the month files of one series that are not current, all or none of them.

    Their archive files are asked for at once, so that what was fetched stays whatever happens then.
    `used` gets the paths of the archive files. Raises `PipelineError`, and what `commit` raises.
    """
    available = archive.available(months[0].series)
    fetch = Fetch(archive)
    at_hand = [(month, month.existing()) for month in months]
    fetch([file for month, old in at_hand for file in month.first_files(old, available)])
    new = [(month, old) for month, old in at_hand if old.fingerprint is None]
    fetch.read_ahead([file for month, old in new for file in month.first_files(old, available)])
    try:
        with months[0].store.batch() as batch:
            with archive.notes.together():
                outcomes = [
                    month.prepare(archive, old, available, fetch, batch) for month, old in at_hand
                ]
            outcome = combined(months, outcomes, fetch.downloaded)
            batch.commit(lambda: commit(outcome))
    finally:
        used.update(item.path for item in fetch.known.values() if isinstance(item, Fetched))
    _record_gaps(months, outcomes, archive)
    return outcome


def current_months(months: Sequence[MonthTask], archive: Archive) -> Outcome | None:
    """The outcome where none of the month files is to be made; None where one is."""
    available = archive.available(months[0].series)
    lookup = CachedLookup(archive)
    at_hand = [(month, month.existing()) for month in months]
    if (
        lookup([file for month, old in at_hand for file in month.first_files(old, available)])
        is None
    ):
        return None
    outcomes = []
    for month, old in at_hand:
        outcome = month.current(old, available, lookup)
        if outcome is None:
            return None
        outcomes.append(outcome)
    _record_gaps(months, outcomes, archive)
    return combined(months, outcomes)


def _record_gaps(
    months: Sequence[MonthTask], outcomes: Sequence[Outcome], archive: Archive
) -> None:
    with archive.notes.together():
        for month, outcome in zip(months, outcomes, strict=True):
            month.record_gaps(archive, outcome)


def combined(
    months: Sequence[MonthTask], outcomes: Sequence[Outcome], downloaded: int = 0
) -> Outcome:
    """What became of all of the months together."""
    done = [outcome for outcome in outcomes if outcome.result is TaskResult.DONE]
    outputs = [outcome.output for outcome in done]
    return Outcome(
        TaskResult.DONE if done else TaskResult.ABSENT,
        built=sum(outcome.built for outcome in outcomes),
        rows=sum(outcome.rows for outcome in outcomes),
        bytes=sum(outcome.bytes for outcome in outcomes),
        downloaded=downloaded,
        output=outputs[-1] if outputs else "",
        siblings=tuple(Path(path).name for path in outputs[:-1]),
        files=sum(outcome.files for outcome in outcomes),
        absent=sum(outcome.absent for outcome in outcomes),
        absent_parts=tuple(
            month.month.stamp
            for month, outcome in zip(months, outcomes, strict=True)
            if outcome.result is TaskResult.ABSENT and outcome.absent
        ),
        gaps=tuple(day for outcome in outcomes for day in outcome.gaps),
        notes=tuple(note for outcome in outcomes for note in outcome.notes),
        problems=tuple(dict.fromkeys(text for one in outcomes for text in one.problems)),
    )
