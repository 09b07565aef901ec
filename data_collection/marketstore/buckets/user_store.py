"""Buckets that clients write, apart from the canonical ones: `marketstore/user/` of the data root.

    {SYMBOL}/{TIMEFRAME}/{GROUP}/bucket.parquet    no rows: the columns, and whether Epochs repeat
    {SYMBOL}/{TIMEFRAME}/{GROUP}/{YYYY}.parquet    the rows of a year, in order of time

A file is replaced whole. Of rows with the same Epoch the last one written counts, but in buckets of
variable length, which keep them all. Everything together has a limit in bytes and buckets.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from alphaqcm.data_collection.marketstore.bucket_key import BucketKey
from alphaqcm.data_collection.marketstore.buckets.model import SECOND, Wanted
from alphaqcm.data_collection.marketstore.dataset import (
    EPOCH,
    NANOS,
    TYPES,
    Array,
    Column,
    Rows,
)
from alphaqcm.data_collection.marketstore.faults import invalid, refused
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, read_frame, read_record

_VERSION: Final = 1
_HEAD: Final = "bucket.parquet"
_FINGERPRINT: Final = Fingerprint("marketstore/user", _VERSION, ())
_POLARS: Final[dict[str, pl.DataType]] = {
    "i1": pl.Int8(),
    "i2": pl.Int16(),
    "i4": pl.Int32(),
    "i8": pl.Int64(),
    "u1": pl.UInt8(),
    "u2": pl.UInt16(),
    "u4": pl.UInt32(),
    "u8": pl.UInt64(),
    "f4": pl.Float32(),
    "f8": pl.Float64(),
    "U16": pl.String(),
}
_FIRST_EPOCH: Final = -62_135_596_800  # the years 1 to 9999, which file names can tell
_LAST_EPOCH: Final = 253_402_300_799


@dataclass(frozen=True, slots=True)
class UserBucket:
    """One bucket of the user's store."""

    key: BucketKey
    folder: Path
    columns: tuple[Column, ...]
    variable: bool

    def most_rows(self, wanted: Wanted) -> int:
        """The rows of the years in the range, as their files tell them."""
        rows = 0
        for path in self._years(wanted):
            record = read_record(path)
            rows += int(record.report["rows"]) if record else 0
        return rows if wanted.limit is None else min(rows, wanted.limit)

    def read(self, wanted: Wanted, names: Sequence[str]) -> Rows:
        """The rows of the range, in order of time."""
        own = {column.name: column for column in self.columns}
        extra = [NANOS] if NANOS in own and NANOS not in names else []
        frames = [read_frame(path) for path in self._years(wanted)]
        empty = pl.DataFrame(schema={c.name: _POLARS[c.type] for c in self.columns})
        frame = pl.concat([empty, *frames]).select([*names, *extra])
        moment = pl.col(EPOCH).cast(pl.Int128) * SECOND
        if NANOS in own:
            moment = moment + pl.col(NANOS).cast(pl.Int128)
        inside = frame.filter(
            moment >= pl.lit(wanted.start_ns, pl.Int128),
            moment <= pl.lit(wanted.stop_ns, pl.Int128),
        )
        return wanted.cut({name: _array(inside[name], own[name]) for name in names})

    def _years(self, wanted: Wanted) -> list[Path]:
        first, last = _year(wanted.start_ns // SECOND), _year(wanted.stop_ns // SECOND)
        paths = sorted(path for path in self.folder.glob("*.parquet") if path.name != _HEAD)
        return [path for path in paths if first <= int(path.stem) <= last]


class UserStore:
    """The buckets that clients made; safe to use from several threads."""

    def __init__(self, folder: Path, most_bytes: int = 1 << 30, most_buckets: int = 10_000) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._most_buckets = most_buckets
        self._lock = threading.Lock()

    def find(self, key: BucketKey) -> UserBucket | None:
        """The bucket of a key, None where there is none."""
        folder = self._folder_of(key)
        record = read_record(folder / _HEAD)
        if record is None:
            return None
        columns = tuple(Column(name, kind) for name, kind in record.report["columns"])
        return UserBucket(key, folder, columns, bool(record.report["variable"]))

    def symbols(self) -> set[str]:
        """The symbols of all buckets."""
        return {key.symbol for key in self.every_key()}

    def every_key(self) -> Iterator[BucketKey]:
        """The keys of all buckets."""
        for head in self._folder.glob(f"*/*/*/{_HEAD}"):
            symbol, timeframe, group = head.parts[-4:-1]
            yield BucketKey(symbol, timeframe, group)

    def create(self, key: BucketKey, columns: Sequence[Column], *, variable: bool) -> None:
        """Make an empty bucket; raises `RpcFault` where there is one."""
        with self._lock:
            if self.find(key) is not None:
                raise refused(f"{key} is there already", "Destroy it first")
            self._make(key, columns, variable=variable)

    def write(
        self, key: BucketKey, columns: Sequence[Column], rows: Rows, *, variable: bool
    ) -> None:
        """Keep rows; the bucket is made where there is none.

        Raises `RpcFault` where the columns are others than the bucket's, for times that cannot be
        and where the store would pass its limit; then nothing is kept.
        """
        epochs = rows[EPOCH]
        if epochs.size and not (epochs.min() >= _FIRST_EPOCH and epochs.max() <= _LAST_EPOCH):
            raise invalid(EPOCH, "seconds since 1970 of the years 1 to 9999")
        with self._lock:
            self._require_room(sum(values.nbytes for values in rows.values()))
            bucket = self.find(key)
            if bucket is None:
                self._make(key, columns, variable=variable)
                bucket = UserBucket(key, self._folder_of(key), tuple(columns), variable)
            if set(bucket.columns) != set(columns):
                told = ", ".join(f"{column.name} {column.type}" for column in bucket.columns)
                raise refused(f"columns are not those of {key}", told[:500])
            self._merge(bucket, rows)

    def destroy(self, key: BucketKey) -> None:
        """Remove a bucket; raises `RpcFault` where there is none."""
        with self._lock:
            if self.find(key) is None:
                raise refused(f"no bucket {key}", "nothing was removed")
            folder = self._folder_of(key)
            try:
                (folder / _HEAD).unlink()  # from here on it is gone
                shutil.rmtree(folder)
            except OSError as error:
                raise layer_error(folder, error) from error

    def _folder_of(self, key: BucketKey) -> Path:
        return self._folder / key.symbol / key.timeframe / key.group

    def _make(self, key: BucketKey, columns: Sequence[Column], *, variable: bool) -> None:
        if sum(1 for _ in self.every_key()) >= self._most_buckets:
            raise refused("too many buckets", f"the user's store has {self._most_buckets} at most")
        folder = self._folder_of(key)
        shutil.rmtree(folder, ignore_errors=True)  # what a destroyed one may have left
        head = pl.DataFrame(schema={column.name: _POLARS[column.type] for column in columns})
        told = {"columns": [[c.name, c.type] for c in columns], "variable": variable}
        Artifact(folder / _HEAD, _FINGERPRINT).write(head, told)

    def _require_room(self, more: int) -> None:
        held = sum(path.stat().st_size for path in self._folder.rglob("*.parquet"))
        if held + more > self._most_bytes:
            raise refused(
                "the user's store is full",
                f"{held:,} of {self._most_bytes:,} bytes are taken; Destroy some buckets",
            )

    def _merge(self, bucket: UserBucket, rows: Rows) -> None:
        fresh = pl.DataFrame({c.name: _series(rows[c.name], c) for c in bucket.columns})
        keys = [name for name in (EPOCH, NANOS) if name in fresh.columns]
        years = np.array([_year(int(epoch)) for epoch in np.unique(rows[EPOCH])])
        starts = pl.col(EPOCH)
        for year in sorted(set(years.tolist())):
            part = fresh.filter(starts >= _epoch(year), starts < _epoch(year + 1))
            path = bucket.folder / f"{year:04}.parquet"
            if path.exists():
                part = pl.concat([read_frame(path), part])
            if not bucket.variable:
                part = part.unique(EPOCH, keep="last", maintain_order=True)
            part = part.sort(keys, maintain_order=True)
            Artifact(path, _FINGERPRINT).write(part, {"rows": part.height})


def _year(epoch: int) -> int:
    bounded = min(max(epoch, _FIRST_EPOCH), _LAST_EPOCH)
    return int(np.datetime64(bounded, "s").astype("datetime64[Y]").astype(int)) + 1970


def _epoch(year: int) -> int:
    return int(np.datetime64(year - 1970, "Y").astype("datetime64[s]").astype(np.int64))


def _series(values: Array, column: Column) -> pl.Series:
    told: Any = values.tolist() if column.type == "U16" else np.ascontiguousarray(values)
    return pl.Series(column.name, told, dtype=_POLARS[column.type])


def _array(values: pl.Series, column: Column) -> Array:
    if column.type == "U16":
        return np.array(values.to_list(), dtype=TYPES["U16"])
    array: Array = values.to_numpy()
    return array
