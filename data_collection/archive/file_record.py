"""What the ledger knows of one archive file, and the row in which it keeps that.

Each row carries a digest of its own values: one that does not prove itself tells nothing, and what
it told of is proven, listed or read again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date
from enum import StrEnum
from typing import Final

import xxhash

Value = str | int | float | bytes | None


class FileState(StrEnum):
    """What is known of an archive file."""

    OK = "ok"  # in the cache, and verified where the source publishes a checksum
    ABSENT = "absent"  # not at the source, when last seen
    CORRUPT = "corrupt"  # at the source, but its bytes cannot be trusted
    HOLE = "hole"  # a day without rows in any file of the archive


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What the listing says of a file; ETags without quotes, empty where there is none."""

    size: int  # bytes of the ZIP
    etag: str
    last_modified: str  # ISO 8601, UTC
    checksum_etag: str = ""  # of its .CHECKSUM; empty where none is listed


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the ledger knows of one archive file; empty or None where it does not."""

    key: str
    state: FileState
    size: int | None = None  # bytes
    sha256: str = ""
    published: str = ""  # SHA-256 in the source's .CHECKSUM; empty: no published checksum
    etag: str = ""
    last_modified: str = ""
    checksum_etag: str = ""
    rows: int | None = None
    first: str = ""  # ISO 8601 UTC, first row
    last: str = ""  # ISO 8601 UTC, last row
    missing_days: str = ""  # ISO dates of the period without any row, comma separated
    seen_at: str = ""  # ISO 8601 UTC
    source: str = ""
    reason: str = ""

    @property
    def listed(self) -> RemoteFile:
        """The listing's words at the time of the record."""
        return RemoteFile(self.size or 0, self.etag, self.last_modified, self.checksum_etag)

    @property
    def days_missing(self) -> tuple[date, ...]:
        """Days of the period without any row in the file."""
        return tuple(date.fromisoformat(day) for day in self.missing_days.split(",") if day)


COLUMNS: Final = tuple(field.name for field in fields(FileRecord))
"""Columns of the table `files`, in order; a digest of their values follows them."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS files (
    key TEXT PRIMARY KEY, state TEXT NOT NULL, size INTEGER, sha256 TEXT NOT NULL,
    published TEXT NOT NULL, etag TEXT NOT NULL, last_modified TEXT NOT NULL,
    checksum_etag TEXT NOT NULL, rows INTEGER, first TEXT NOT NULL, last TEXT NOT NULL,
    missing_days TEXT NOT NULL, seen_at TEXT NOT NULL, source TEXT NOT NULL, reason TEXT NOT NULL,
    digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listings (
    source TEXT NOT NULL, prefix TEXT NOT NULL, seen_at REAL NOT NULL, entries BLOB NOT NULL,
    digest TEXT NOT NULL, PRIMARY KEY (source, prefix)
) WITHOUT ROWID;
"""
_TABLES: Final = {"files": COLUMNS, "listings": ("source", "prefix", "seen_at", "entries")}


def row_of(record: FileRecord) -> tuple[Value, ...]:
    """A record as a row of `files`."""
    return proven(astuple(record))


def record_of(row: Sequence[Value]) -> FileRecord | None:
    """The record of a row of `files`; None where the row is damaged."""
    if not proves_itself(row):
        return None
    key, state, *rest = row[:-1]
    return FileRecord(str(key), FileState(str(state)), *rest)  # type: ignore[arg-type]


def records_of(rows: Iterable[Sequence[Value]]) -> list[FileRecord]:
    """The records of those rows that are whole."""
    return [record for row in rows if (record := record_of(row)) is not None]


def proven(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Values with their digest after them."""
    return (*values, _digest(values))


def proves_itself(row: Sequence[Value]) -> bool:
    """Whether a row's digest, its last value, is that of the others."""
    return _digest(row[:-1]) == row[-1]


def has_digests(base: sqlite3.Connection) -> bool:
    """Whether the rows of a ledger carry digests; those of older versions do not."""
    return all(_is_proven(base, table) for table in _TABLES)


def prepare(base: sqlite3.Connection) -> None:
    """Make the tables, and give digests to the rows of a ledger that has none yet."""
    for table, columns in _TABLES.items():
        if _is_proven(base, table):
            continue
        base.execute("BEGIN IMMEDIATE")
        try:
            base.execute(f"ALTER TABLE {table} ADD COLUMN digest TEXT NOT NULL DEFAULT ''")
            names = ", ".join(columns)
            rows = base.execute(f"SELECT {names} FROM {table}").fetchall()  # noqa: S608
            marks = ", ".join("?" * (len(columns) + 1))
            base.executemany(
                f"INSERT OR REPLACE INTO {table} ({names}, digest) VALUES ({marks})",  # noqa: S608
                map(proven, rows),
            )
            base.execute("COMMIT")
        finally:
            if base.in_transaction:
                base.execute("ROLLBACK")
    base.executescript(_SCHEMA)


def _is_proven(base: sqlite3.Connection, table: str) -> bool:
    held = {row[1] for row in base.execute(f"PRAGMA table_info({table})")}
    return not held or "digest" in held


def _digest(values: Sequence[Value]) -> str:
    last = values[-1]
    if isinstance(last, bytes):  # a listing's entries: long, and slow to write as text
        values = (*values[:-1], xxhash.xxh3_64_hexdigest(last))
    return xxhash.xxh3_64_hexdigest("\x1f".join(map(str, values)).encode())
