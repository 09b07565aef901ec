"""Answers queries: a destination's buckets, their rows, in one multi-dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from alphaqcm.data_collection.marketstore.bucket_key import (
    CATEGORY,
    TIMEFRAMES,
    BucketKey,
    matches,
    require_part,
    spelled,
    split_key,
)
from alphaqcm.data_collection.marketstore.buckets.functions import apply
from alphaqcm.data_collection.marketstore.buckets.model import (
    FIRST_NS,
    LAST_NS,
    SECOND,
    Bucket,
    BucketSource,
    Wanted,
    chosen_names,
)
from alphaqcm.data_collection.marketstore.dataset import Column, Rows, pack
from alphaqcm.data_collection.marketstore.faults import invalid, refused
from alphaqcm.pipeline.errors import BadName

NO_FILES = "no files returned from query parse"
"""What MarketStore says of a destination that it does not have."""

_MOST_NAMES = 5000


class QueryRequest(msgspec.Struct):
    """One query, as clients write it; both ends are included, in seconds and nanoseconds."""

    destination: str = ""
    key_category: str | None = None
    epoch_start: int | None = None
    epoch_start_nanos: int | None = None
    epoch_end: int | None = None
    epoch_end_nanos: int | None = None
    limit_record_count: int | None = None
    limit_from_start: bool | None = None
    columns: list[str] | None = None
    functions: list[str] | None = None
    is_sqlstatement: bool | None = None
    sql_statement: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one reply may hold."""

    rows: int = 5_000_000
    cells: int = 40_000_000  # rows x columns, of 8 bytes each


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The buckets of an endpoint; of two sources that have a key the first one counts."""

    sources: Sequence[BucketSource]
    bounds: Bounds = Bounds()

    def find(self, key: BucketKey) -> Bucket | None:
        """The bucket of a key, None where there is none."""
        for source in self.sources:
            bucket = source.find(key)
            if bucket is not None:
                return bucket
        return None

    def symbols(self) -> list[str]:
        """All symbols, sorted."""
        return sorted(set[str]().union(*(source.symbols() for source in self.sources)))

    def keys(self) -> list[str]:
        """All keys, sorted."""
        return sorted({str(key) for source in self.sources for key in source.every_key()})

    def query(self, request: QueryRequest) -> dict[str, Any]:
        """The rows asked for as a multi-dataset; raises `RpcFault`, `PipelineError`."""
        if request.is_sqlstatement or request.sql_statement:
            raise refused(
                "SQL is not offered",
                "query a destination; for SQL over the same data: alphaqcm sql",
            )
        if request.key_category not in (None, "", CATEGORY):
            raise invalid(f"key_category {request.key_category!r}"[:100], CATEGORY)
        wanted = read_range(request)
        buckets = list(self._buckets(request.destination))
        if not buckets:
            raise refused(NO_FILES, request.destination[:200])
        columns = _common_columns(buckets)
        names = chosen_names(columns, request.columns)
        _require_known(columns, request.columns)
        self._require_small(buckets, wanted, len(names))
        chosen = tuple(column for column in columns if column.name in names)
        parts: dict[str, Rows] = {}
        made = chosen
        for bucket in buckets:
            rows = bucket.read(wanted, names)
            made, rows = apply(bucket.key, (chosen, rows), request.functions or ())
            parts[bucket.key.full] = rows
        return pack(made, parts)

    def _buckets(self, destination: str) -> Iterator[Bucket]:
        try:
            symbols, timeframes, groups = (part.split(",") for part in split_key(destination))
            if max(map(len, (symbols, timeframes, groups))) > _MOST_NAMES:
                raise BadName("destination", expected=f"{_MOST_NAMES} names at most")
            wanted = list(dict.fromkeys(name for one in symbols for name in self._symbols(one)))
            frames = [
                name
                for one in timeframes
                for name in (TIMEFRAMES if one == "*" else [spelled(one)])
            ]
            for group in groups:
                require_part(group)
        except BadName as error:
            raise invalid(error.subject, error.expected, error.found) from error
        if len(wanted) * len(frames) * len(groups) > _MOST_NAMES * len(TIMEFRAMES):
            raise refused("too many buckets", destination[:200])
        for symbol in wanted:
            for timeframe in frames:
                for group in groups:
                    bucket = self.find(BucketKey(symbol, timeframe, group))
                    if bucket is not None:
                        yield bucket

    def _symbols(self, text: str) -> Sequence[str]:
        if "*" not in text:
            require_part(text)
            return [text]
        require_part(text.replace("*", "x"))
        return [name for name in self.symbols() if matches(text, name)]

    def _require_small(self, buckets: Sequence[Bucket], wanted: Wanted, width: int) -> None:
        rows = 0
        for bucket in buckets:
            rows += bucket.most_rows(wanted)
            if rows > self.bounds.rows or rows * width > self.bounds.cells:
                most = min(self.bounds.rows, self.bounds.cells // width)
                raise refused(
                    "too many rows",
                    f"a reply has at most {most:,}; narrow the range or set a limit",
                )


def read_range(request: QueryRequest) -> Wanted:
    """The rows that a query's epochs and limit ask for; raises `RpcFault`."""
    start = _instant(request.epoch_start, request.epoch_start_nanos, FIRST_NS)
    # an end given in whole seconds includes the ticks of that second's first nanosecond only
    stop = _instant(request.epoch_end, request.epoch_end_nanos, LAST_NS)
    limit = request.limit_record_count
    if limit is not None and limit < 0:
        raise invalid(f"limit_record_count {limit}", "0 (no limit) or more")
    return Wanted(start, stop, limit or None, bool(request.limit_from_start))


def _instant(seconds: int | None, nanos: int | None, default: int) -> int:
    if seconds is None:
        return default
    return min(max(seconds * SECOND + (nanos or 0), FIRST_NS), LAST_NS)


def _common_columns(buckets: Sequence[Bucket]) -> tuple[Column, ...]:
    columns = buckets[0].columns
    for bucket in buckets[1:]:
        if bucket.columns != columns:
            raise refused(
                "buckets with different columns",
                f"{buckets[0].key} and {bucket.key}: query them one by one",
            )
    return columns


def _require_known(columns: Sequence[Column], asked: Sequence[str] | None) -> None:
    names = [column.name for column in columns]
    if unknown := [name for name in asked or () if name not in names]:
        few = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise invalid("columns " + ", ".join(unknown[:5])[:200], f"columns of the bucket: {few}")
