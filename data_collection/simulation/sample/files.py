"""Archive files: one CSV in a ZIP and its checksum, with the flaws that are planted in them."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from datetime import UTC, date, datetime, time
from pathlib import Path

from alphaqcm.data_collection.simulation.sample.defects import Flaw
from alphaqcm.data_collection.simulation.sample.table import Spelling, Table, header_line, render
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import Market, spec_of
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.atomic_write import write_bytes

HEADERS_SINCE = date(2022, 1, 1)
MICROSECONDS_SINCE = date(2025, 1, 1)
_PUBLISHED_AT = time(6, 13, 20)  # UTC, on the day after the period


class Writer:
    """One archive file in the making: rows go in block by block, `close` writes it."""

    def __init__(self, file: ArchiveFile, flaws: frozenset[Flaw], compression: int) -> None:
        self.file, self._flaws = file, flaws
        self._rows = 0
        self._tail = b""
        self._buffer = io.BytesIO()
        self._zip = zipfile.ZipFile(
            self._buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=compression
        )
        self._spelling = _spelling(file, flaws)
        # opened by name, a member is dated 1980-01-01: the same bytes whenever it is written
        self._member = self._zip.open(f"{file.name[:-4]}.csv", "w")

    def add(self, rows: Table) -> None:
        """Append rows."""
        if not len(rows):
            return
        text = render(_widened(rows, self._flaws), self._spelling)
        if not self._rows:
            text = header_line(self._spelling) + text
        if Flaw.CRLF in self._flaws:
            text = text.replace(b"\n", b"\r\n")
        if Flaw.NO_LAST_NEWLINE in self._flaws:
            text, self._tail = self._tail + text[:-1], text[-1:]
        self._member.write(text)
        self._rows += len(rows)

    def close(self, root: Path) -> int:
        """Write the ZIP and its checksum below `root`; returns the ZIP's size, 0 without rows."""
        self._member.close()
        name = f"{self.file.name[:-4]}.csv"
        if Flaw.SECOND_CSV in self._flaws:
            self._extra(f"nested/{name}", b"0,1\n")
        if Flaw.MACOSX_MEMBER in self._flaws:
            self._extra(f"__MACOSX/._{name}", b"\x00\x05\x16\x07")
        self._zip.close()
        if not self._rows or Flaw.ABSENT in self._flaws:
            return 0
        data = self._buffer.getvalue()
        if Flaw.CUT_ZIP in self._flaws:
            data = data[: len(data) // 2]
        _put(root / self.file.key, data, self._published)
        if Flaw.MISSING_CHECKSUM not in self._flaws:
            wrong = b"!" if Flaw.WRONG_CHECKSUM in self._flaws else b""
            digest = hashlib.sha256(data + wrong).hexdigest()
            end = "" if self.file.series.market is Market.SPOT else "\n"
            line = f"{digest}  {self.file.name}{end}"
            _put(root / self.file.checksum_key, line.encode(), self._published)
        return len(data)

    def _extra(self, name: str, data: bytes) -> None:
        with self._zip.open(name, "w") as member:
            member.write(data)

    @property
    def _published(self) -> datetime:
        return datetime.combine(self.file.period.end, _PUBLISHED_AT, tzinfo=UTC)


def _spelling(file: ArchiveFile, flaws: frozenset[Flaw]) -> Spelling:
    """How the archive spelled such a file at its time, or how the flaws have it."""
    series, start = file.series, file.period.start
    spot = series.market is Market.SPOT
    names = tuple(column.name for column in spec_of(series.type).columns_in(series.market))
    columns = names[::-1] if Flaw.PERMUTED_COLUMNS in flaws else names
    if Flaw.EXTRA_COLUMN in flaws:
        columns = (*columns, "extra")
    has_header = not spot and start >= HEADERS_SINCE and Flaw.NO_HEADER not in flaws
    header = columns if has_header else ()
    if Flaw.HEADER_MISMATCH in flaws:
        header = (columns[0], f"{columns[1]}_renamed", *columns[2:])
    micros = (spot and start >= MICROSECONDS_SINCE) or Flaw.MICROSECONDS in flaws
    return Spelling(header, microseconds=micros, capital_flags=spot, columns=columns)


def _widened(rows: Table, flaws: frozenset[Flaw]) -> Table:
    if Flaw.EXTRA_COLUMN not in flaws:
        return rows
    first = next(cells for cells in rows.cells.values() if cells.places == 0)
    return Table(rows.at, {**rows.cells, "extra": first})


def _put(path: Path, data: bytes, moment: datetime) -> None:
    """Write `data` unless it stands there already; a new file is dated `moment`.

    What is unchanged keeps its time, and what replaces another file has the real one, as at the
    source: so a mirror's Last-Modified tells a re-published file.
    """
    try:
        known = path.exists()
        if known and path.read_bytes() == data:
            return
        write_bytes(path, data)
        if not known:
            os.utime(path, (moment.timestamp(), moment.timestamp()))
    except OSError as error:
        raise layer_error(path, error) from error
