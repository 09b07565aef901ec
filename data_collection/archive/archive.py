"""The archive as the rest of the project sees it: what there is, and verified files of it.

    with Archive.open("https://data.binance.vision", cache=layout.cache) as archive:
        periods = archive.periods(series)
        files = archive.fetch([series.file(period) for period in periods])

Nothing else in the project asks a source for anything.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Self

from alphaqcm.data_collection.archive.disk_budget import DiskBudget
from alphaqcm.data_collection.archive.download import (
    Downloads,
    Fetched,
    Missing,
    MissingState,
    Order,
)
from alphaqcm.data_collection.archive.fetch_options import FetchOptions
from alphaqcm.data_collection.archive.fetch_pool import bring_all
from alphaqcm.data_collection.archive.file_notes import FileNotes
from alphaqcm.data_collection.archive.file_record import FileRecord, FileState, RemoteFile
from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.data_collection.archive.listing import DirectoryLister, Lister, Listing, S3Lister
from alphaqcm.data_collection.archive.plan import Action, Plan, known_gaps, make_plan
from alphaqcm.data_collection.archive.sources import DirectorySource, HttpSource, Source
from alphaqcm.data_collection.archive.transport import Downloader
from alphaqcm.data_collection.archive.transport.aria2 import Aria2Downloader
from alphaqcm.data_collection.archive.transport.directory import DirectoryDownloader
from alphaqcm.data_collection.archive.transport.http import HttpDownloader
from alphaqcm.data_collection.archive.transport.retry_policy import (
    RetryPolicy,
    RetrySettings,
)
from alphaqcm.data_collection.archive.transport.shared_limits import LIMITS_FOLDER, SharedLimits
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market, Partition
from alphaqcm.pipeline.domain.time import utc_text

__all__ = [
    "Archive",
    "FetchOptions",
    "Fetched",
    "Missing",
    "MissingState",
    "RemoteFile",
]


Progress = Callable[[ArchiveFile, Fetched | Missing], None]


class Archive:
    """An open source with its cache and ledger. Several processes may share a cache.

    Use `open`. One `fetch` at a time; it may be called from any thread.
    """

    def __init__(
        self,
        source: Source,
        cache: Path,
        options: FetchOptions,
        ledger_dir: Path | None = None,
        *,
        files_may_be_gone: bool = False,
    ) -> None:
        self.cache = cache
        self.options = options
        self.ledger = Ledger(ledger_dir or cache)
        self.notes = FileNotes(self.ledger)  # what reading the files gave
        self._limits = (ledger_dir or cache) / LIMITS_FOLDER
        self.retry_policy = RetryPolicy(
            RetrySettings(
                options.connections, options.rate_limit, options.retries, options.backoff
            ),
            SharedLimits(self._limits, options.connections, options.rate_limit),
        )
        self._downloader = _downloader(source.files, self.retry_policy, options)
        lister, self._close_lister = _lister(source.listing, self.retry_policy, options)
        name = f"{source.listing}"
        self.listing = Listing(lister, name, self.ledger, max_age=options.listing_age)
        self._intake = Downloads(
            cache, self.ledger, self._downloader, self.retry_policy, f"{source.files}"
        )
        self._intake.files_may_be_gone = files_may_be_gone
        self._fetching = threading.Lock()
        self._known: dict[Series, _Known] = {}  # before this process fetched any
        self._known_lock = threading.Lock()
        self._available: dict[Series, Mapping[Period, RemoteFile]] = {}  # likewise

    @classmethod
    def open(
        cls,
        source: str,
        *,
        cache: Path,
        listing: str | None = None,
        options: FetchOptions | None = None,
        ledger_dir: Path | None = None,
        files_may_be_gone: bool = False,
    ) -> Archive:
        """Open a source (URL or directory); the ledger lies in the cache unless told otherwise.

        `files_may_be_gone`: what the ledger vouches for counts as there, to look at and not to
        read: layers were made of it. Raises `UsageError`, `CacheError`.
        """
        return cls(
            Source.parse(source, listing),
            cache,
            options or FetchOptions(),
            ledger_dir,
            files_may_be_gone=files_may_be_gone,
        )

    def close(self) -> None:
        """Let go of connections, helper processes and the ledger."""
        self._downloader.close()
        self._close_lister()
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def brought(self) -> int:
        """Bytes of archive files that have come over the network so far."""
        return self.retry_policy.brought

    @property
    def retried_errors(self) -> Counter[str]:
        """What went wrong in single attempts so far, by kind; all of it was mended or raised."""
        return self.retry_policy.retried_errors

    def periods(self, series: Series) -> dict[Period, RemoteFile]:
        """What the listing has of a series, monthly and daily."""
        return self.listing.files(series)

    def available(self, series: Series) -> Mapping[Period, RemoteFile]:
        """What can be had of a series: what the listing has, and what the cache holds verified."""
        found = self._available.get(series)
        if found is None:
            found = self._available[series] = self._known_of(series).verified | self.periods(series)
        return found

    def known_gaps(self, series: Series) -> Mapping[date, Collection[date]]:
        """Days that the monthly files of a series are known to lack, by their month's first day."""
        return self._known_of(series).gaps

    def _known_of(self, series: Series) -> _Known:
        with self._known_lock:
            if series not in self._known:
                self._known[series] = _Known.of(series, list(self.ledger.of_series(series)))
            return self._known[series]

    def symbols(self, market: Market, data_type: DataType) -> list[str]:
        """Every symbol that ever had a folder of the type: the survivorship-safe universe."""
        return self.listing.symbols(market, data_type)

    def list_many(self, series: Iterable[Series]) -> dict[Series, dict[Period, RemoteFile]]:
        """The listings of many series, many prefixes at once."""
        wanted = list(dict.fromkeys(series))
        unknown = [one for one in wanted if not self.listing.is_known(one)]
        if len(unknown) > 1:
            self._list(unknown)
        return {one: self.periods(one) for one in wanted}

    def _list(self, series: Sequence[Series]) -> None:
        pool = ThreadPoolExecutor(self.options.connections, thread_name_prefix="list")
        try:
            list(pool.map(self.periods, series))
        except BaseException:
            self.retry_policy.stop.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            self.retry_policy.stop.clear()

    def records(self, files: Sequence[ArchiveFile]) -> dict[str, FileRecord]:
        """The ledger's records of the files, without those whose file is gone from the disk."""
        return self._at_hand(files)[0]

    def _at_hand(
        self, files: Sequence[ArchiveFile]
    ) -> tuple[dict[str, FileRecord], dict[ArchiveFile, Fetched]]:
        """`records`, and the verified files among them."""
        keys = {file.key: file for file in files}
        records = self.ledger.get_many(list(keys))
        copies: dict[ArchiveFile, Fetched] = {}
        for key, record in list(records.items()):
            if record.sha256:
                copy = self._intake.verified_copy(keys[key], record)
                if copy is None:
                    del records[key]
                else:
                    copies[keys[key]] = copy
        return records, copies

    def plan(self, files: Sequence[ArchiveFile]) -> Plan:
        """What fetching the files would do; asks the listing only."""
        return self._plan(files, self.records(files))

    def _plan(self, files: Sequence[ArchiveFile], records: Mapping[str, FileRecord]) -> Plan:
        recheck = datetime.now(UTC) - timedelta(hours=self.options.recheck)
        listing = self.list_many(file.series for file in files)
        return make_plan(files, listing, records, recheck_before=utc_text(recheck))

    def fetch(
        self, files: Sequence[ArchiveFile], progress: Progress | None = None
    ) -> dict[ArchiveFile, Fetched | Missing]:
        """Bring the files into the cache, each verified; `progress` is told of each when done.

        What the ledger vouches for and the listing did not change is not asked for again. Raises
        `SourceError` when a file could not be had although it should be there (the others are
        brought first), at once `Refused`, `CacheFull`, `DiskFull`, `CacheError`.
        """
        with self._fetching:
            return self._fetch(list(dict.fromkeys(files)), progress or _silent)

    def _fetch(
        self, files: list[ArchiveFile], progress: Progress
    ) -> dict[ArchiveFile, Fetched | Missing]:
        records, copies = self._at_hand(files)
        results, orders = self._settled(self._plan(files, records), copies, progress)
        if orders:
            self._bring(orders, results, progress)
        return {file: results[file] for file in files}

    def _bring(
        self,
        orders: Sequence[Order],
        results: dict[ArchiveFile, Fetched | Missing],
        progress: Progress,
    ) -> None:
        def done(file: ArchiveFile, result: Fetched | Missing) -> None:
            results[file] = result
            progress(file, result)

        budget = DiskBudget(self.options.max_disk, self._limits, self.ledger.verified_bytes)
        bring_all(orders, self._intake, self.retry_policy, budget, done)

    def lookup(
        self, files: Sequence[ArchiveFile]
    ) -> Mapping[ArchiveFile, Fetched | Missing] | None:
        """What `fetch` would give; None where it would download."""
        wanted = list(dict.fromkeys(files))
        records, copies = self._at_hand(wanted)
        plan = self._plan(wanted, records)
        if plan.of(Action.DOWNLOAD, Action.REPLACE):
            return None
        results, orders = self._settled(plan, copies, _silent)
        return None if orders else results

    def _settled(
        self, plan: Plan, copies: Mapping[ArchiveFile, Fetched], progress: Progress
    ) -> tuple[dict[ArchiveFile, Fetched | Missing], list[Order]]:
        """What need not be brought, with what came of it, and the orders for the rest."""
        results: dict[ArchiveFile, Fetched | Missing] = {}
        orders: list[Order] = []
        absent: list[FileRecord] = []
        for step in plan.steps:
            if step.action is Action.KEEP and step.file in copies:
                results[step.file] = copies[step.file]
                progress(step.file, copies[step.file])
                continue
            if step.listed is not None and step.action is not Action.ABSENT:
                orders.append(Order(step.file, step.listed))
                continue
            missing, record = self._not_there(step.file, step.listed, step.record)
            results[step.file] = missing
            if record is not None:
                absent.append(record)
            progress(step.file, missing)
        if absent:
            self.ledger.put(absent)
        return results, orders

    def _not_there(
        self, file: ArchiveFile, listed: RemoteFile | None, record: FileRecord | None
    ) -> tuple[Missing, FileRecord | None]:
        if record is not None and record.state in (FileState.CORRUPT, FileState.ABSENT) and listed:
            return Missing(MissingState(record.state.value), record.reason), None
        reason = "not in the listing"
        if record is not None and record.state is FileState.HOLE:
            return Missing(MissingState.ABSENT, reason), None
        seen = self.listing.seen_at(file.series.prefix(file.period.partition))
        known = FileRecord(
            key=file.key,
            state=FileState.ABSENT,
            seen_at=utc_text(datetime.fromtimestamp(seen, UTC)),
            source=self._intake.source,
            reason=reason,
        )
        return Missing(MissingState.ABSENT, reason), known

    def checksum_text(self, key: str) -> str | None:
        """The published .CHECKSUM of a file's key, None where there is none."""
        name = f"{key}.CHECKSUM"
        return self.retry_policy.retry(name, lambda: self._downloader.text(name), lambda: 0)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger knew of a series when it was first asked."""

    verified: dict[Period, RemoteFile]
    gaps: Mapping[date, Collection[date]]

    @classmethod
    def of(cls, series: Series, records: Sequence[FileRecord]) -> Self:
        periods = [series.parse_key(record.key).period for record in records]
        both = list(zip(periods, records, strict=True))
        verified = {period: record.listed for period, record in both if record.sha256}
        monthly = [one for period, one in both if period.partition is Partition.MONTHLY]
        return cls(verified, known_gaps(monthly))


def _silent(_file: ArchiveFile, _result: Fetched | Missing) -> None:
    """Progress that nobody watches."""


def _downloader(
    source: HttpSource | DirectorySource, retry_policy: RetryPolicy, options: FetchOptions
) -> Downloader:
    if isinstance(source, DirectorySource):
        return DirectoryDownloader(source)
    http = HttpDownloader(source, retry_policy, stall=options.stall)
    return Aria2Downloader(source, retry_policy, http) if options.downloader == "aria2" else http


def _lister(
    source: HttpSource | DirectorySource, retry_policy: RetryPolicy, options: FetchOptions
) -> tuple[Lister, Callable[[], None]]:
    if isinstance(source, DirectorySource):
        return DirectoryLister(source), _nothing
    reader = HttpDownloader(source, retry_policy, stall=options.stall)
    return S3Lister(source, reader.get_text, retry_policy), reader.close


def _nothing() -> None:
    """A directory holds nothing open."""
