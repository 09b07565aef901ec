"""What a month step works from: archive files as they are fetched, and the month file at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alphaqcm.data_collection.archive.archive import Archive, Fetched, Missing, MissingState
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.errors import BadName
from alphaqcm.pipeline.reading.month_file import FileRows, month_version, read_files_together
from alphaqcm.pipeline.reading.month_report import MonthReport
from alphaqcm.pipeline.storage.artifact import Fingerprint, Input
from alphaqcm.pipeline.storage.file_digest import Proof
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore
from alphaqcm.pipeline.storage.verified_read import examine

Available = Mapping[Period, Any]
Lookup = Callable[[Sequence[ArchiveFile]], Mapping[ArchiveFile, Fetched | Missing] | None]
"""What is known of files: as `Archive.fetch`, or as `Archive.lookup`, which may give None."""


@dataclass(slots=True)
class CachedLookup:
    """`Archive.lookup` that asks once for what stays where it is."""

    archive: Archive
    known: dict[ArchiveFile, Fetched | Missing] = field(default_factory=dict)

    def __call__(
        self, files: Sequence[ArchiveFile]
    ) -> Mapping[ArchiveFile, Fetched | Missing] | None:
        """As `Archive.lookup`."""
        asked = [file for file in files if file not in self.known]
        if asked:
            found = self.archive.lookup(asked)
            if found is None:
                return None
            self.known |= found
        return {file: self.known[file] for file in files}


@dataclass(slots=True)
class Fetch:
    """`Archive.fetch` that counts the bytes it brings, and asks once for what stays where it is."""

    archive: Archive
    downloaded: int = 0
    known: dict[ArchiveFile, Fetched | Missing] = field(default_factory=dict)
    rows: Mapping[ArchiveFile, FileRows] = field(default_factory=dict)  # read already

    def __call__(self, files: Sequence[ArchiveFile]) -> Mapping[ArchiveFile, Fetched | Missing]:
        """As `Archive.fetch`."""
        asked = [file for file in files if not self._is_known(file)]
        found = self.archive.fetch(asked) if asked else {}
        self.downloaded += sum(i.downloaded for i in found.values() if isinstance(i, Fetched))
        self.known |= found
        return {file: self.known[file] for file in files}

    def read_ahead(self, files: Sequence[ArchiveFile]) -> None:
        """Read small files together that will all be asked for, if they are whole."""
        found = [(file, self.known[file]) for file in files]
        wanted = [(item.path, file) for file, item in found if isinstance(item, Fetched)]
        parts = read_files_together(wanted) or []
        self.rows = {part.file: part for part in parts}

    def _is_known(self, file: ArchiveFile) -> bool:
        item = self.known.get(file)
        return isinstance(item, Missing) or (item is not None and item.path.exists())


@dataclass(frozen=True, slots=True)
class ExistingMonth:
    """The month file at hand as its footer tells of it; empty where there is none of this version.

    `held` are the archive files it was made of, with their SHA-256.
    """

    fingerprint: Fingerprint | None
    report: MonthReport
    held: Mapping[ArchiveFile, str]
    is_damaged: bool = False

    @classmethod
    def of(cls, path: Path, series: Series, store: FileStore = LOCAL) -> ExistingMonth:
        """Of the file of `series` at `path`."""
        seen = examine(path, store)
        if seen.proof is Proof.DAMAGED:
            return cls(None, MonthReport(), {}, is_damaged=True)
        record = seen.record
        if record is None or record.fingerprint.version != month_version(series):
            return cls(None, MonthReport(), {})
        try:
            held = {series.parse_key(one.key): one.sha256 for one in record.fingerprint.inputs}
            return cls(record.fingerprint, MonthReport.from_dict(record.report), held)
        except (BadName, KeyError, TypeError, ValueError):
            return cls(None, MonthReport(), {}, is_damaged=True)


@dataclass(slots=True)
class Files:
    """Files looked up so far: the good ones in order, and what is wrong with the others."""

    lookup: Lookup
    skip: frozenset[tuple[str, str]] = frozenset()  # (key, SHA-256) known to be unreadable
    rows: Mapping[ArchiveFile, FileRows] = field(default_factory=dict)  # read already
    good: dict[ArchiveFile, Fetched] = field(default_factory=dict)
    bad: dict[ArchiveFile, str] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # (key, SHA-256), found now

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the files that cannot be used."""
        return tuple(self.bad.values())

    def take(self, files: Sequence[ArchiveFile]) -> bool:
        """Look `files` up; False when that cannot be told without fetching."""
        if not files:
            return True
        found = self.lookup(files)
        if found is None:
            return False
        for file in files:
            item = found[file]
            if isinstance(item, Missing):
                if item.state is not MissingState.ABSENT:
                    self.bad[file] = f"{file.key}: {item.reason}"
            elif (file.key, item.sha256) not in self.skip:
                self.good[file] = item
        return True

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The good ones as a fingerprint's inputs."""
        return tuple(Input(file.key, item.sha256) for file, item in self.good.items())
