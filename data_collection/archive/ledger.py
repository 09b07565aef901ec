"""The ledger: one durable record per archive file, kept by SQLite inside the cache.

SQLite and not DuckDB, because a cache is shared: in WAL mode any number of processes read while
one writes, each write is one short transaction, and a killed process leaves nothing half done.
DuckDB lets only one process write, and keeps the others out while it does.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import orjson
from filelock import FileLock, Timeout

from alphaqcm.data_collection.archive.file_record import (
    COLUMNS,
    FileRecord,
    FileState,
    has_digests,
    prepare,
    proven,
    proves_itself,
    record_of,
    records_of,
    row_of,
)
from alphaqcm.data_collection.errors import CacheError
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import Partition
from alphaqcm.pipeline.errors import DiskFull

FILE_NAME = "ledger.sqlite"
_PIECE = 5000  # records read at once
_PATIENCE = 60.0  # seconds to wait for another process's write
_ROOM = 1 << 16  # bytes free below which an error of input or output is a full disk
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNWRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


_PUT = (
    f"INSERT OR REPLACE INTO files ({', '.join(COLUMNS)}, digest) "  # noqa: S608
    f"VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"
)
_GET = f"SELECT {', '.join(COLUMNS)}, digest FROM files "  # noqa: S608


class Ledger:
    """Open on one cache; safe for threads and for several processes.

    `reading`: for one who writes nothing; a ledger that cannot be written can then be read.
    `patience` is how long to wait for another process, in seconds. Raises `CacheError` when the
    store is damaged or cannot be written, `DiskFull` when it is full.
    """

    def __init__(self, cache: Path, *, reading: bool = False, patience: float = _PATIENCE) -> None:
        self.path = cache / FILE_NAME
        self._patience = patience
        self._lock = threading.Lock()
        with self._errors():
            if reading and not (os.access(cache, os.W_OK) and _is_writable(self.path)):
                self._base = _open_unwritable(self.path)
                if not has_digests(self._base):
                    memory = sqlite3.connect(":memory:", check_same_thread=False)
                    self._base.backup(memory)
                    self._base.close()
                    self._base = memory
                    prepare(memory)
                return
            cache.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(
                self.path, timeout=patience, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._base.close()
                raise

    def _prepare(self) -> None:
        # SQLite does not wait where two processes turn a new store to WAL at once: it fails
        with FileLock(f"{self.path}.lock", timeout=self._patience, poll_interval=0.002):
            self._base.execute("PRAGMA journal_mode = WAL")
            prepare(self._base)
        # a killed process loses nothing; a power cut may lose the last records, and the files
        # they told of are then proven again against their published checksums
        self._base.execute("PRAGMA synchronous = NORMAL")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if "full" in str(error) or "No space" in str(error) or self._has_no_room(error):
                raise DiskFull(
                    self.path,
                    expected="free space to write it",
                    found=str(error),
                    next_step="free some space and run the same command again; nothing was lost",
                ) from error
            raise self._trouble(error) from error

    def _has_no_room(self, error: Exception) -> bool:
        """With not a byte left SQLite cannot even say so: its shared index fails to grow."""
        if _code(error) not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            return False
        return shutil.disk_usage(self.path.parent).free < _ROOM

    def _trouble(self, error: sqlite3.Error | OSError) -> CacheError:
        if isinstance(error, Timeout) or _code(error) == sqlite3.SQLITE_BUSY:
            return CacheError(
                self.path,
                expected=f"a ledger that is free within {self._patience:.0f} s",
                found="another process holds it",
                next_step="end or wake that process (one stopped with Ctrl-Z?), then run the same "
                "command again",
            )
        if isinstance(error, OSError) or _code(error) in _UNWRITABLE:
            return CacheError(
                self.path,
                expected="a ledger that can be written",
                found=getattr(error, "strerror", None) or str(error),
                next_step="check the permissions of the data root; what is there is not harmed",
            )
        # an error without a code: text that cannot be decoded, keys out of order
        damaged = _code(error) in (0, *_DAMAGED)
        return CacheError(
            self.path,
            expected="a whole ledger",
            found=str(error),
            next_step="a damaged ledger can be deleted: the files beside it are then proven again, "
            "not downloaded again"
            if damaged
            else "run the same command again; what is there is not harmed",
        )

    def get(self, key: str) -> FileRecord | None:
        """The record of one file."""
        with self._lock, self._errors():
            row = self._base.execute(_GET + "WHERE key = ?", (key,)).fetchone()
        return record_of(row) if row else None

    def get_many(self, keys: Sequence[str]) -> dict[str, FileRecord]:
        """The records of those files that have one."""
        query = _GET + "WHERE key IN (SELECT value FROM json_each(?))"  # noqa: S608
        with self._lock, self._errors():
            rows = self._base.execute(query, (orjson.dumps(list(keys)).decode(),)).fetchall()
        return {record.key: record for record in records_of(rows)}

    def select(self, *, state: FileState | None = None, prefix: str = "") -> Iterator[FileRecord]:
        """Records by key, of one state, below one key prefix; read in pieces, not at once."""
        after, beyond = prefix, prefix + chr(0x10FFFF)
        query = _GET + "WHERE key > ? AND key < ?"
        query += "" if state is None else " AND state = ?"
        while True:
            words = [after, beyond, *([] if state is None else [state.value])]
            with self._lock, self._errors():
                rows = self._base.execute(f"{query} ORDER BY key LIMIT {_PIECE}", words).fetchall()
            yield from records_of(rows)
            if len(rows) < _PIECE:
                return
            if rows[-1][0] <= after:
                raise self._trouble(sqlite3.DatabaseError("keys out of order"))
            after = rows[-1][0]

    def of_series(self, series: Series) -> Iterator[FileRecord]:
        """Every record of a series' files."""
        for partition in Partition:
            yield from self.select(prefix=series.prefix(partition))

    def put(self, records: Iterable[FileRecord]) -> None:
        """Write records, all or none."""
        rows = [row_of(record) for record in records]
        with self._lock, self._errors(), self._transaction():
            self._base.executemany(_PUT, rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._base.execute("COMMIT")
        finally:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")

    def note(self, key: str, **changes: str | int | None) -> None:
        """Change some fields of a file's record, which is made where there is none (state ok)."""
        self.note_many({key: changes})

    def note_many(self, changes: Mapping[str, Mapping[str, str | int | None]]) -> None:
        """The same for many files, all or none, by key."""
        unknown = {name for fields_of in changes.values() for name in fields_of} - set(COLUMNS)
        if unknown:
            raise ValueError(f"no such fields: {unknown}")
        query = _GET + "WHERE key IN (SELECT value FROM json_each(?))"  # noqa: S608
        keys = orjson.dumps(list(changes)).decode()
        with self._lock, self._errors(), self._transaction():
            rows = self._base.execute(query, (keys,)).fetchall()
            known = {record.key: record for record in records_of(rows)}
            noted = [
                replace(known.get(key, FileRecord(key, FileState.OK)), **told)  # type: ignore[arg-type]
                for key, told in changes.items()
            ]
            self._base.executemany(_PUT, map(row_of, noted))

    def verified_bytes(self) -> int:
        """Bytes of all verified files in the cache."""
        query = "SELECT coalesce(sum(size), 0) FROM files WHERE sha256 <> ''"
        with self._lock, self._errors():
            return int(self._base.execute(query).fetchone()[0])

    def last_source(self) -> str:
        """Where the newest record's file was asked for; empty where nothing was."""
        query = "SELECT source FROM files WHERE source <> '' ORDER BY seen_at DESC LIMIT 1"
        with self._lock, self._errors():
            row = self._base.execute(query).fetchone()
        return str(row[0]) if row else ""

    def listing(self, source: str, prefix: str) -> tuple[float, bytes] | None:
        """When a prefix was listed (epoch seconds), and what was found."""
        query = "SELECT * FROM listings WHERE source = ? AND prefix = ?"
        with self._lock, self._errors():
            row = self._base.execute(query, (source, prefix)).fetchone()
        if row is None or not proves_itself(row):
            return None
        return float(row[2]), bytes(row[3])

    def put_listing(self, source: str, prefix: str, seen_at: float, entries: bytes) -> None:
        """Keep a listing."""
        with self._lock, self._errors(), closing(self._base.cursor()) as cursor:
            cursor.execute(
                "INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?, ?)",
                proven((source, prefix, float(seen_at), entries)),
            )


def _code(error: Exception) -> int:
    """SQLite's primary result code, 0 of an error that is none of SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) or not path.exists()


def _open_unwritable(path: Path) -> sqlite3.Connection:
    """A connection to a store in a folder where nothing can be written.

    SQLite keeps files beside a store in WAL mode and makes them even for reading. Where nothing is
    in the log, it is told that the store does not change, and does without them. With records in
    the log the files are there already, and are used as they are.
    """
    log = path.with_name(f"{path.name}-wal")
    begun = log.exists() and log.stat().st_size > 0
    words = "mode=ro" if begun else "mode=ro&immutable=1"
    base = sqlite3.connect(
        f"{path.resolve().as_uri()}?{words}", uri=True, timeout=_PATIENCE, check_same_thread=False
    )
    try:
        base.execute("SELECT 1 FROM files LIMIT 1")
    except sqlite3.Error as error:
        base.close()
        if not begun or _code(error) not in _UNWRITABLE:
            raise
        raise CacheError(
            path,
            expected=f"{path.name}-shm beside it, to read the newest records in {log.name}",
            found=str(error),
            next_step=f"copy the {path.name}* files to a folder that can be written, or let a "
            "command open the ledger where it can write",
        ) from error
    return base
