"""The plan: what of the wanted is kept, downloaded, replaced or absent. Pure: no disk, no network.

    listed   record            action
    no       with a SHA-256    keep (gone from the source, still verified)
    no       any other, none   absent
    yes      none              download
    yes      with a SHA-256    keep when the listing's words are the same, else replace
    yes      corrupt           absent when they are the same (it stays corrupt), else download
    yes      absent            download when they changed or the record is old, else absent
    yes      hole              download

`decide` is this table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from alphaqcm.data_collection.archive.file_record import FileRecord, FileState, RemoteFile
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import Partition
from alphaqcm.pipeline.reading.month_sources import by_month, month_sources


class Action(StrEnum):
    """What is to be done about a file."""

    KEEP = "keep"
    DOWNLOAD = "download"
    REPLACE = "replace"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of a plan."""

    file: ArchiveFile
    action: Action
    listed: RemoteFile | None
    record: FileRecord | None

    @property
    def bytes(self) -> int:
        """Bytes to download."""
        moves = self.action in (Action.DOWNLOAD, Action.REPLACE)
        return self.listed.size if moves and self.listed else 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Every wanted file with its action."""

    steps: tuple[PlannedFile, ...]

    def counts(self) -> dict[Action, int]:
        """Files by action."""
        found = Counter(step.action for step in self.steps)
        return {action: found[action] for action in Action}

    @property
    def bytes(self) -> int:
        """Bytes to download."""
        return sum(step.bytes for step in self.steps)

    def of(self, *actions: Action) -> tuple[PlannedFile, ...]:
        """The steps with one of these actions."""
        return tuple(step for step in self.steps if step.action in actions)


def make_plan(
    files: Sequence[ArchiveFile],
    listing: Mapping[Series, Mapping[Period, RemoteFile]],
    records: Mapping[str, FileRecord],
    *,
    recheck_before: str,
) -> Plan:
    """Decide for every file; `records` leaves out those whose file is gone from the disk.

    Files absent when last asked are asked again if that was before `recheck_before` (ISO, UTC).
    """
    steps = []
    for file in files:
        listed = listing.get(file.series, {}).get(file.period)
        record = records.get(file.key)
        steps.append(PlannedFile(file, decide(listed, record, recheck_before), listed, record))
    return Plan(tuple(steps))


def decide(listed: RemoteFile | None, record: FileRecord | None, recheck_before: str) -> Action:
    """The action for one file: the table above."""
    verified = record is not None and record.sha256 != ""
    if listed is None:
        return Action.KEEP if verified else Action.ABSENT
    if record is None:
        return Action.DOWNLOAD
    same = record.listed == listed
    if verified:
        return Action.KEEP if same else Action.REPLACE
    if record.state is FileState.CORRUPT and same:
        return Action.ABSENT
    if record.state is FileState.ABSENT and same and record.seen_at >= recheck_before:
        return Action.ABSENT
    return Action.DOWNLOAD


def wanted_files(
    series: Series,
    months: Iterable[Period],
    available: Iterable[Period],
    known_gaps: Mapping[date, Collection[date]],
    days: DateRange,
) -> Iterator[ArchiveFile]:
    """The files that cover the days of `months` that lie in `days`, in order of time.

    See `month_sources`. `available` are the periods of the series that are listed or verified,
    `known_gaps` the days that its monthly files lack, by the first day of their month.
    """
    listed = by_month(available)
    for month in months:
        there, gaps = listed.get(month.start, ()), known_gaps.get(month.start, ())
        yield from month_sources(series, month, there, (), gaps, days)


def known_gaps(records: Iterable[FileRecord]) -> dict[date, Collection[date]]:
    """The days that monthly files lack, by the first day of their month.

    Known once a file was read; one that cannot be used lacks all of its days.
    """
    found: dict[date, Collection[date]] = {}
    for record in records:
        period = ArchiveFile.parse(record.key).period
        if period.partition is not Partition.MONTHLY:
            continue
        if record.state is FileState.CORRUPT:
            found[period.start] = tuple(period.days())
        elif record.days_missing:
            found[period.start] = record.days_missing
    return found
