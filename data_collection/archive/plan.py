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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from alphaqcm.data_collection.archive.ledger import FileRecord, FileState, RemoteFile
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period, days_between, months_between
from alphaqcm.pipeline.domain.registry import Partition, spec_of


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
    days: tuple[date, date],
    listed: Mapping[Period, RemoteFile],
    records: Mapping[str, FileRecord],
) -> Iterator[ArchiveFile]:
    """The files that cover `days` (first and last, both included), in order of time.

    A month's file where there is one, and the daily files of the days that it was found to lack
    (known once it was read) or of all days where it is corrupt; else the month's daily files within
    the days. A month of which the source has nothing counts as one file, a day missing among daily
    files as that day's. `records` are the ledger's of this series.
    """
    first, last = days
    partitions = spec_of(series.type).partitions
    daily = Partition.DAILY in partitions
    known = [period for period in listed if period.partition is Partition.DAILY]
    known += [ArchiveFile.parse(record.key).period for record in records.values() if record.sha256]
    months_by_day = {period.start.replace(day=1) for period in known}
    for month in months_between(first, last):
        monthly = series.file(month)
        begin, end = max(first, month.start), min(last, month.end - timedelta(days=1))
        record = records.get(monthly.key) if records else None
        if month in listed or (record is not None and record.sha256):
            yield monthly
            if record is not None and daily:
                broken = record.state is FileState.CORRUPT
                lacks = days_between(begin, end) if broken else record.days_missing
                yield from (series.file(Period.day(day)) for day in lacks if begin <= day <= end)
        elif daily and (Partition.MONTHLY not in partitions or month.start in months_by_day):
            yield from (series.file(Period.day(day)) for day in days_between(begin, end))
        else:
            yield monthly
