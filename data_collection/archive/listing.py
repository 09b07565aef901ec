"""What a source has: S3 listings read page by page, or a directory walked, and kept for a while.

Rules of the archive's bucket: at most 1,000 keys a page; `NextMarker` comes only with a delimiter,
else the last key goes on; a prefix ends in `/`; ETags are quoted; folders without a name exist.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote

import orjson

from alphaqcm.data_collection.archive.file_record import RemoteFile
from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.data_collection.archive.listing_page import (
    ListingEntry,
    Page,
    not_listing,
    parse_page,
)
from alphaqcm.data_collection.archive.sources import DirectorySource, HttpSource
from alphaqcm.data_collection.archive.transport.retry_policy import RetryPolicy
from alphaqcm.data_collection.errors import BadListing, ErrorKind, SourceError, TransientError
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market, Partition, spec_of
from alphaqcm.pipeline.domain.time import utc_text
from alphaqcm.pipeline.errors import BadName

MAX_PAGES = 1_000
"""Pages of one prefix: the archive's longest has seven."""

MAX_KEYS = 200_000
"""Keys of one prefix: the archive's longest has about 7,000."""

_PARSE_ATTEMPTS = 3


class Lister(Protocol):
    """Lists one prefix of a source."""

    def entries(self, prefix: str) -> list[ListingEntry]:
        """Every key below `prefix`, sorted."""
        ...

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders directly below `prefix`, sorted."""
        ...


class DirectoryLister:
    """A directory lists itself; size and time of change stand for an ETag."""

    def __init__(self, source: DirectorySource) -> None:
        self._source = source

    def entries(self, prefix: str) -> list[ListingEntry]:
        """See `Lister`; raises `SourceError`."""
        return sorted(self._walk(prefix), key=lambda entry: entry.name)

    def _walk(self, prefix: str) -> Iterator[ListingEntry]:
        root = self._source.path(prefix)
        for folder, _, names in os.walk(root, onerror=_check_absent):
            below = os.path.relpath(folder, root)
            for name in names:
                try:
                    stat = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118
                except OSError as error:
                    _check_absent(error)
                    continue
                yield ListingEntry(
                    name=name if below == "." else f"{below}/{name}",
                    size=stat.st_size,
                    etag=f"{stat.st_mtime_ns}-{stat.st_size}",
                    last_modified=utc_text(datetime.fromtimestamp(stat.st_mtime, UTC)),
                )

    def folders(self, prefix: str) -> list[str]:
        """See `Lister`; raises `SourceError`."""
        for _, folders, _ in os.walk(self._source.path(prefix), onerror=_check_absent):
            return sorted(folders)
        return []


def _check_absent(error: OSError) -> None:
    """What is not there is not listed; what cannot be looked at is an error, not absent."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise SourceError(
            error.filename or "the source directory",
            expected="a directory that can be read",
            found=error.strerror or str(error),
            next_step="check the permissions of the --source directory",
        ) from error


class S3Lister:
    """Reads the S3 (v1) XML listing of a bucket."""

    def __init__(
        self, source: HttpSource, get_text: Callable[[str], str | None], retry_policy: RetryPolicy
    ) -> None:
        self._source = source
        self._get_text = get_text
        self._retry = retry_policy

    def entries(self, prefix: str) -> list[ListingEntry]:
        """See `Lister`; raises `BadListing`, `Unreachable`, `Refused`."""
        return [entry for page in self._pages(prefix, "") for entry in page.entries]

    def folders(self, prefix: str) -> list[str]:
        """See `Lister`; folders without a name are left out."""
        return [name for page in self._pages(prefix, "/") for name in page.folders if name]

    def _pages(self, prefix: str, delimiter: str) -> Iterator[Page]:
        if not prefix.endswith("/"):
            raise ValueError(f"a prefix ends in /, or it matches other symbols too: {prefix}")
        marker, keys = "", 0
        for _ in range(MAX_PAGES):
            page = self._page(prefix, delimiter, marker)
            keys += len(page.entries) + len(page.folders)
            if keys > MAX_KEYS:
                break
            yield page
            if page.following is None:
                return
            if page.following <= marker:
                raise BadListing(
                    f"{self._source}?prefix={prefix}",
                    expected=f"a page that goes on after {marker or 'the start'}",
                    found=page.following or "an empty page that says there is more",
                )
            marker = page.following
        raise BadListing(
            f"{self._source}?prefix={prefix}",
            expected=f"at most {MAX_KEYS} keys on {MAX_PAGES} pages",
            found="a listing that goes on",
            next_step="check --source and --listing",
        )

    def _page(self, prefix: str, delimiter: str, marker: str) -> Page:
        words = {"delimiter": delimiter, "prefix": prefix, "marker": marker}
        query = "&".join(f"{name}={quote(value)}" for name, value in words.items() if value)
        url = f"{self._source.base}?{query}"
        broken = 0

        def read() -> Page:
            nonlocal broken
            text = self._get_text(url)
            try:
                if text is None:
                    raise not_listing(url, "status 404")
                return parse_page(url, text, prefix)
            except BadListing as error:
                broken += 1
                if broken >= _PARSE_ATTEMPTS:
                    raise
                raise TransientError(ErrorKind.LISTING, url, error.found) from error

        return self._retry.retry(url, read, lambda: 0)


class Listing:
    """The listing of a source, kept in the ledger with its time.

    What was listed less than `max_age` seconds before this object was made, or since, is not asked
    again. Safe for many threads.
    """

    def __init__(self, lister: Lister, name: str, ledger: Ledger, *, max_age: float) -> None:
        self._lister = lister
        self._name = name
        self._ledger = ledger
        self._oldest = time.time() - max_age
        self._memory: dict[str, tuple[float, list[ListingEntry]]] = {}
        self._files: dict[Series, dict[Period, RemoteFile]] = {}  # what `_memory` tells of them
        self._lock = threading.Lock()

    def seen_at(self, prefix: str) -> float:
        """When the prefix was listed, in seconds since the epoch."""
        return self._get(prefix, self._lister.entries)[0]

    def files(self, series: Series) -> dict[Period, RemoteFile]:
        """What the source has of a series, monthly and daily."""
        found = self._files.get(series)
        if found is None:
            found = {}
            for partition in spec_of(series.type).partitions:
                found.update(self.partition(series, partition))
            self._files[series] = found
        return found

    def partition(self, series: Series, partition: Partition) -> dict[Period, RemoteFile]:
        """What the source has of a series in one partition."""
        prefix = series.prefix(partition)
        entries = self._get(prefix, self._lister.entries)[1]
        names = {entry.name: entry for entry in entries}
        head = f"{series.symbol}-{series.interval or series.type}-"
        return dict(_periods(names, head, partition))

    def symbols(self, market: Market, data_type: DataType) -> list[str]:
        """Every symbol that has a folder of the type, in either partition, sorted."""
        names: set[str] = set()
        for partition in spec_of(data_type).partitions:
            prefix = f"data/{market.archive_path}/{partition}/{data_type}/"
            entries = self._get(prefix, self._folder_entries)[1]
            names.update(entry.name for entry in entries)
        return sorted(names)

    def _folder_entries(self, prefix: str) -> list[ListingEntry]:
        return [ListingEntry(name, 0, "", "") for name in self._lister.folders(prefix)]

    def is_known(self, series: Series) -> bool:
        """Whether `files` of the series answers without asking the source."""
        prefixes = [series.prefix(partition) for partition in spec_of(series.type).partitions]
        return all(self._known(prefix) for prefix in prefixes)

    def _get(
        self, prefix: str, read: Callable[[str], list[ListingEntry]]
    ) -> tuple[float, list[ListingEntry]]:
        known = self._known(prefix)
        if known is None:
            known = self._read(prefix, read)
            with self._lock:
                self._memory[prefix] = known
        return known

    def _known(self, prefix: str) -> tuple[float, list[ListingEntry]] | None:
        with self._lock:
            known = self._memory.get(prefix)
        if known is None:
            known = self._kept(prefix)
            if known is not None:
                with self._lock:
                    self._memory[prefix] = known
        return known

    def _kept(self, prefix: str) -> tuple[float, list[ListingEntry]] | None:
        kept = self._ledger.listing(self._name, prefix)
        if kept is None or kept[0] < self._oldest:
            return None
        return kept[0], [ListingEntry(*item) for item in orjson.loads(kept[1])]

    def _read(
        self, prefix: str, read: Callable[[str], list[ListingEntry]]
    ) -> tuple[float, list[ListingEntry]]:
        seen = time.time()
        entries = read(prefix)
        blob = orjson.dumps([[e.name, e.size, e.etag, e.last_modified] for e in entries])
        self._ledger.put_listing(self._name, prefix, seen, blob)
        return seen, entries


_period = functools.lru_cache(maxsize=20_000)(Period.parse)  # the same stamps for every symbol


def _periods(
    names: Mapping[str, ListingEntry], head: str, partition: Partition
) -> Iterator[tuple[Period, RemoteFile]]:
    for name, entry in names.items():
        if not name.startswith(head) or not name.endswith(".zip"):
            continue
        try:
            period = _period(name[len(head) : -len(".zip")])
        except BadName:
            continue  # a foreign name in the folder: not a file of the series
        if period.partition is partition:
            checksum = names.get(f"{name}.CHECKSUM")
            yield (
                period,
                RemoteFile(
                    entry.size, entry.etag, entry.last_modified, checksum.etag if checksum else ""
                ),
            )
