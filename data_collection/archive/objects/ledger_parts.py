"""The ledger of a data root in an object store: parquet parts that its one client writes.

Each part holds the records that changed since the one before; when there are many they are put
together into one. A client works with the ledger's usual file, made of the parts when it starts.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

import polars as pl

from alphaqcm.data_collection.archive.file_record import FileRecord, FileState
from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.storage.file_store import FileStore

_MANY = 16  # parts
_SCHEMA = {
    one.name: pl.Int64 if one.name in ("size", "rows") else pl.String for one in fields(FileRecord)
}


class LedgerParts:
    """The parts in `folder` of a store, and what of a ledger they hold already."""

    def __init__(self, store: FileStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._held: dict[str, int] = {}  # key -> hash of the record

    def restore(self, ledger: Ledger) -> int:
        """Put every record into an empty ledger, the newer ones last; gives how many they are."""
        for path in self._parts():
            records = list(self._read(path))
            ledger.put(records)
            self._held.update((record.key, hash(record)) for record in records)
        return len(self._held)

    def keep(self, ledger: Ledger) -> int:
        """Write what changed since; gives how many records. Raises `StoreError`, `LayerError`."""
        changed = [one for one in ledger.select() if self._held.get(one.key) != hash(one)]
        if not changed:
            return 0
        old = self._parts()
        if len(old) + 1 >= _MANY:
            self._write(old, ledger.select())
            for path in old:  # after the new one is there: twice the same harms nothing
                self._store.delete(path)
        else:
            self._write(old, changed)
        self._held.update((record.key, hash(record)) for record in changed)
        return len(changed)

    def _parts(self) -> list[Path]:
        return sorted(self._store.list(self._folder, "part-*.parquet"))

    def _write(self, old: list[Path], records: Iterable[FileRecord]) -> None:
        number = 1 + max((int(path.stem.split("-")[1]) for path in old), default=0)
        frame = pl.DataFrame([asdict(one) for one in records], schema=_SCHEMA, orient="row")
        stream = io.BytesIO()
        frame.write_parquet(stream, compression="zstd")
        # a listing may be older than the newest part, which is not to be written over then
        name = f"part-{number:08}-{os.urandom(4).hex()}.parquet"
        self._store.replace(self._folder / name, stream.getvalue())

    def _read(self, path: Path) -> Iterable[FileRecord]:
        data = self._store.read(path) or b""
        try:
            rows = pl.read_parquet(io.BytesIO(data)).rows(named=True)
            return [FileRecord(**{**row, "state": FileState(row["state"])}) for row in rows]
        except (pl.exceptions.PolarsError, KeyError, TypeError, ValueError) as error:
            raise LayerError(
                path,
                expected="a part of the ledger",
                found=str(error).splitlines()[0],
                next_step="remove it: what it told is asked of the source again",
            ) from error
