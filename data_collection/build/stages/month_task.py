"""Whether a month file is current, and making it again from its archive files."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from alphaqcm.data_collection.archive.archive import Archive
from alphaqcm.data_collection.build.stages.month_inputs import (
    Available,
    ExistingMonth,
    Fetch,
    Files,
    Lookup,
)
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import Partition, spec_of
from alphaqcm.pipeline.errors import LayerError, RawError
from alphaqcm.pipeline.reading.month_append import append_days, days_held
from alphaqcm.pipeline.reading.month_file import (
    FileRows,
    MonthFrame,
    assemble,
    missing_days,
    month_version,
    read_file_rows,
    read_files_together,
)
from alphaqcm.pipeline.reading.month_report import MonthReport
from alphaqcm.pipeline.reading.month_sources import month_sources
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, read_frame
from alphaqcm.pipeline.storage.checksum import sha256_of
from alphaqcm.pipeline.storage.file_store import LOCAL, Batch, FileStore
from alphaqcm.pipeline.storage.verified_read import damaged

MADE_AGAIN = "was damaged on the disk: made again"


@functools.lru_cache(maxsize=1_000)  # asked for again by every series
def _periods_of(month: Period) -> tuple[Period, ...]:
    """The month and its days: what its files can be of."""
    return (month, *map(Period.day, month.days()))


@dataclass(frozen=True, slots=True)
class _Made:
    """A month put together, and what was met on the way."""

    month: MonthFrame
    present: set[date]  # days that have rows
    rows: int  # of the archive files
    missing: list[date]  # days that the monthly file lacks


@dataclass(frozen=True, slots=True)
class MonthTask:
    """The work on one month file."""

    series: Series
    month: Period
    span: DateRange
    path: Path
    store: FileStore = LOCAL

    def current(self, old: ExistingMonth, available: Available, lookup: Lookup) -> Outcome | None:
        """The outcome where nothing is to be built; None where something is."""
        report = old.report
        files = Files(lookup, frozenset(report.unreadable))
        if not self._take_base(old, files, available):
            return None
        if self._monthly in files.good:
            if old.held.get(self._monthly) != files.good[self._monthly].sha256:
                return None
            missing = [date.fromisoformat(day) for day in report.missing_days]
            if not files.take(self._patches(available, missing)):
                return None
        if not files.good and not files.skip and self.store.stat(self.path) is None:
            return Outcome(TaskResult.ABSENT, absent=not files.bad, problems=files.problems)
        if self._fingerprint(files) != old.fingerprint:
            return None
        empty = {date.fromisoformat(day) for day in report.empty_days}
        return Outcome(
            TaskResult.DONE,
            rows=report.rows,
            output=str(self.path),
            files=len(files.good),
            absent=self._absent(available, empty, files),
            gaps=self._gaps(available, empty, files),
            problems=tuple(dict.fromkeys([*report.problems, *files.problems])),
        )

    def existing(self) -> ExistingMonth:
        """The month file at hand."""
        return ExistingMonth.of(self.path, self.series, self.store)

    def first_files(self, old: ExistingMonth, available: Available) -> list[ArchiveFile]:
        """What it begins with, as far as that can be told before a file is read."""
        return self._sources(old, available)

    def prepare(
        self,
        archive: Archive,
        old: ExistingMonth,
        available: Available,
        fetch: Fetch,
        batch: Batch,
    ) -> Outcome:
        """Fetch and read what is not current, and write it into `batch`.

        Raises `SourceError`, `RawError`, `LayerError`.
        """
        outcome = self.current(old, available, fetch)
        if outcome is not None:
            return outcome
        files = Files(fetch, rows=fetch.rows)
        self._take_base(old, files, available)
        made = self._append(archive, old, files) or self._gather(archive, old, available, files)
        if made is not None:
            outcome = self._write(available, files, made, batch)
            return replace(outcome, notes=(MADE_AGAIN,)) if old.is_damaged else outcome
        if old.is_damaged:
            raise damaged(self.path)  # and nothing is left that it could be made from
        return Outcome(
            TaskResult.ABSENT,
            absent=not files.bad,
            notes=("kept: what it was made of is gone at the source",)
            if self.store.stat(self.path) is not None
            else (),
            problems=files.problems,
        )

    def _gather(
        self, archive: Archive, old: ExistingMonth, available: Available, files: Files
    ) -> _Made | None:
        """Read every file, and those that stand in for what the monthly one lacks."""
        parts = self._read(archive, old, files)
        missing: list[date] = []
        if self._monthly in files.good:
            if parts:
                missing = missing_days(self.month, {day for part in parts for day in part.days()})
                more = self._patches(available, missing)
            else:
                more = self._stand_ins(old, available)
            known = len(files.good)
            files.take(more)
            parts += self._read(archive, old, files, skip=known)
        for key, _ in files.unreadable:
            files.good.pop(ArchiveFile.parse(key), None)
        if not parts:
            return None
        present = {day for part in parts for day in part.days()}
        return _Made(assemble(parts), present, sum(part.rows for part in parts), missing)

    def record_gaps(self, archive: Archive, outcome: Outcome) -> None:
        """Tell the ledger of the days that stay without a row."""
        days = [date.fromisoformat(day) for day in outcome.gaps]
        archive.notes.gaps(self.series, days, "no row in any file of the source")

    def _append(self, archive: Archive, old: ExistingMonth, files: Files) -> _Made | None:
        """The month file at hand and only the later days read; None where all must be read."""
        report, held = old.report, old.held
        news = [file for file in files.good if file not in held]
        if (
            not held
            or not news
            or self._monthly in {*held, *files.good}
            or files.bad
            or report.problems
            or {f: files.good[f].sha256 for f in held if f in files.good} != held
            or min(f.period.start for f in news) < max(f.period.end for f in held)
        ):
            return None
        parts = self._read(archive, old, files, skip=len(held))
        if files.unreadable:
            files.bad.clear()
            files.unreadable.clear()
            return None
        try:
            frame = read_frame(self.path, store=self.store)
        except LayerError:
            return None  # damaged: it is made anew from its files
        made = append_days(frame, report, self.series, parts)
        if made is None:
            return None
        present = days_held(frame, self.series).union(*(part.days() for part in parts))
        rows = report.read + sum(part.rows for part in parts)
        return _Made(made, present, rows, [])

    def _write(self, available: Available, files: Files, made: _Made, batch: Batch) -> Outcome:
        empty = set(missing_days(self.month, made.present))
        report = replace(
            made.month.report,
            read=made.rows,
            missing_days=tuple(f"{day}" for day in made.missing),
            empty_days=tuple(sorted(f"{day}" for day in empty)),
            unreadable=tuple(files.unreadable),
            problems=files.problems,
        )
        artifact = Artifact(self.path, self._fingerprint(files), self.store)
        artifact.add_to(batch, made.month.frame, report.to_dict())
        return Outcome(
            TaskResult.DONE,
            built=1,
            rows=made.rows,
            bytes=sum(item.size for item in files.good.values()),
            output=str(self.path),
            files=len(files.good),
            absent=self._absent(available, empty, files),
            gaps=self._gaps(available, empty, files),
            problems=files.problems,
        )

    def _read(
        self, archive: Archive, old: ExistingMonth, files: Files, skip: int = 0
    ) -> list[FileRows]:
        """Read the files after the first `skip`; what cannot be read is a problem, not a stop.

        Unless the month file at hand holds an earlier, readable version of it: then that is kept.
        """
        wanted = list(files.good)[skip:]
        read = files.rows
        if any(file not in read for file in wanted):
            together = read_files_together([(files.good[file].path, file) for file in wanted])
            read = {part.file: part for part in together or ()}
        parts = []
        for file in wanted:
            try:
                part = read[file] if file in read else self._read_file(files, file)
            except RawError as error:
                if file in old.held:
                    raise
                files.unreadable.append((file.key, files.good[file].sha256))
                files.bad[file] = f"{error}"
                archive.notes.unreadable(file, f"{error}")
                continue
            archive.notes.read(
                file, part.rows, *part.ends(), missing_days(file.period, part.days())
            )
            parts.append(part)
        return parts

    def _read_file(self, files: Files, file: ArchiveFile) -> FileRows:
        """Read a file of the cache; one that is not what was verified once is fetched anew."""
        item = files.good[file]
        try:
            return read_file_rows(item.path, file)
        except RawError:
            if sha256_of(item.path) == item.sha256:
                raise
            item.path.unlink()
            files.take([file])
            if file in files.bad:
                raise
            return read_file_rows(files.good[file].path, file)

    @property
    def _monthly(self) -> ArchiveFile:
        return self.series.file(self.month)

    def _sources(
        self,
        old: ExistingMonth,
        available: Available,
        known_gaps: Collection[date] = (),
        days: DateRange | None = None,
    ) -> list[ArchiveFile]:
        """The files of the month that can be had; see `month_sources`."""
        listed = [period for period in _periods_of(self.month) if period in available]
        held = {file.period for file in old.held}
        files = month_sources(self.series, self.month, listed, held, known_gaps, days or self.span)
        return [file for file in files if file.period in available]

    def _take_base(self, old: ExistingMonth, files: Files, available: Available) -> bool:
        """The monthly file; without a good one the daily files of the run and of the file held."""
        if not files.take(self._sources(old, available)):
            return False
        if self.month not in available or self._monthly in files.good:
            return True
        return files.take(self._stand_ins(old, available))

    def _stand_ins(self, old: ExistingMonth, available: Available) -> list[ArchiveFile]:
        """The daily files in the place of a monthly one that cannot be used."""
        every = self._sources(old, available, tuple(self.month.days()))
        return [file for file in every if file != self._monthly]

    def _patches(self, available: Available, missing: Collection[date]) -> list[ArchiveFile]:
        """The daily files of the days that the monthly one lacks, whatever the run's days."""
        whole = DateRange(self.month.start, self.month.last)
        every = self._sources(ExistingMonth(None, MonthReport(), {}), available, missing, whole)
        return [file for file in every if file != self._monthly]

    def _days(self) -> list[date]:
        """The days of the run in this month."""
        return [day for day in self.month.days() if self.span.start <= day <= self.span.end]

    def _gaps(self, available: Available, empty: set[date], files: Files) -> tuple[str, ...]:
        """Days of the run without a row, inside the life of the series, that no bad file may have.

        `empty` are the days of the month in which no file has a row.
        """
        if (
            Partition.DAILY not in spec_of(self.series.type).partitions
            or self._monthly in files.bad
            or not empty
        ):
            return ()
        present = set(self.month.days()) - empty
        born = min(period.start for period in available)
        gone = max(period.end for period in available)
        days = [
            day
            for day in self._days()
            if day in empty
            and born <= day < gone
            and self.series.file(Period.day(day)) not in files.bad
        ]
        if born == self.month.start and present:  # it was listed within its first month
            days = [day for day in days if day > min(present)]
        if gone == self.month.end and present:  # and delisted within its last
            days = [day for day in days if day < max(present)]
        return tuple(f"{day}" for day in days)

    def _absent(self, available: Available, empty: set[date], files: Files) -> int:
        """Days of the run that the source has no file for."""
        if self._monthly in files.bad:
            return 0
        if self._monthly in files.good:
            return len(self._gaps(available, empty, files))
        told = {file.period.start for file in (*files.good, *files.bad)}
        return len(set(self._days()) - told)

    def _fingerprint(self, files: Files) -> Fingerprint:
        return Fingerprint(f"month/{self.series.type}", month_version(self.series), files.inputs)
