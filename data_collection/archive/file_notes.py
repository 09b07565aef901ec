"""What reading archive files gave, noted in the ledger: rows, times, gaps, or why it could not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime

from alphaqcm.data_collection.archive.file_record import FileState
from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.time import utc_text


class FileNotes:
    """Notes on the files of one ledger; raises what `Ledger.note` raises."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._notes: dict[str, dict[str, str | int | None]] | None = None  # see `together`

    def read(
        self,
        file: ArchiveFile,
        rows: int,
        first: datetime | None,
        last: datetime | None,
        missing_days: Sequence[date] = (),
    ) -> None:
        """Note what reading a file gave: rows, first and last time, days without any row."""
        self._note(
            file.key,
            state=FileState.OK.value,
            reason="",
            rows=rows,
            first=utc_text(first) if first else "",
            last=utc_text(last) if last else "",
            missing_days=",".join(day.isoformat() for day in missing_days),
        )

    def unreadable(self, file: ArchiveFile, reason: str) -> None:
        """Note a file whose checksum holds and whose content cannot be used."""
        self._note(file.key, state=FileState.CORRUPT.value, reason=reason)

    def gaps(self, series: Series, days: Iterable[date], reason: str) -> None:
        """Note days without rows in any file; a verified file keeps its record."""
        keys = [series.file(Period.day(day)).key for day in days]
        known = self._ledger.get_many(keys) if keys else {}
        seen = utc_text(datetime.now(UTC))
        for key in keys:
            record = known.get(key)
            if record is None or not (record.sha256 or record.state is FileState.HOLE):
                self._note(key, state=FileState.HOLE.value, reason=reason, seen_at=seen)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what is noted in the block at its end, at once; of one thread at a time."""
        notes: dict[str, dict[str, str | int | None]] = {}
        self._notes = notes
        try:
            yield
        finally:
            self._notes = None
            if notes:
                self._ledger.note_many(notes)

    def _note(self, key: str, **changes: str | int | None) -> None:
        if self._notes is None:
            self._ledger.note(key, **changes)
        else:
            self._notes.setdefault(key, {}).update(changes)
