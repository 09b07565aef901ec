"""What a bucket and a source of buckets are, and which rows of one are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from alphaqcm.data_collection.marketstore.bucket_key import BucketKey
from alphaqcm.data_collection.marketstore.dataset import EPOCH, NANOS, Column, Rows

SECOND: Final = 1_000_000_000
FIRST_NS: Final = -(2**62)
LAST_NS: Final = 2**62


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows from `start_ns` to `stop_ns`, both included, in nanoseconds since the epoch.

    `limit` keeps so many of them, the last ones or with `from_start` the first.
    """

    start_ns: int = FIRST_NS
    stop_ns: int = LAST_NS
    limit: int | None = None
    from_start: bool = False

    @property
    def start_us(self) -> int:
        """The first microsecond that is wanted."""
        return -(-self.start_ns // 1000)

    @property
    def stop_us(self) -> int:
        """The first microsecond after the last one that is wanted."""
        return self.stop_ns // 1000 + 1

    def cut(self, rows: Rows) -> Rows:
        """What the limit keeps of rows that are in the range."""
        size = rows[EPOCH].size
        if self.limit is None or size <= self.limit:
            return rows
        part = slice(0, self.limit) if self.from_start else slice(size - self.limit, size)
        return {name: values[part] for name, values in rows.items()}


class Bucket(Protocol):
    """One bucket: its columns, and its rows in order of time."""

    @property
    def key(self) -> BucketKey:
        """The key under which replies name it."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All its columns, `Epoch` first."""

    def most_rows(self, wanted: Wanted) -> int:
        """How many rows `read` gives at most, told without reading them."""

    def read(self, wanted: Wanted, names: Sequence[str]) -> Rows:
        """The wanted rows; `names` are of its columns, `Epoch` first."""


class BucketSource(Protocol):
    """Some of the buckets of an endpoint."""

    def find(self, key: BucketKey) -> Bucket | None:
        """The bucket of this key, None where this source has none."""

    def symbols(self) -> set[str]:
        """The symbols of its buckets."""

    def every_key(self) -> Iterator[BucketKey]:
        """The keys of all its buckets."""


def chosen_names(columns: Sequence[Column], asked: Sequence[str] | None) -> list[str]:
    """The columns that a query gives: `Epoch` first, those asked for, `Nanoseconds` kept."""
    names = [column.name for column in columns]
    if not asked:
        return names
    kept = {EPOCH, NANOS} & set(names)
    return [name for name in names if name in kept or name in set(asked)]
