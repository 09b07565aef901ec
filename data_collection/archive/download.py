"""One file's way into the cache: lock, resume, prove, rename, record. The same for all transports.

The `.part` beside the target is both temp file and lock: an OS lock on it says who works on the
file, and goes when that process dies, however it dies. A part that is there is gone on with; what
it then holds is proven (length, SHA-256, zip test) before it gets the target's name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from alphaqcm.data_collection.archive.disk_budget import DiskBudget
from alphaqcm.data_collection.archive.file_record import FileRecord, FileState, RemoteFile
from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.data_collection.archive.transport import Downloader, PartFile, Wanted
from alphaqcm.data_collection.archive.transport.retry_policy import RetryPolicy, Stopped
from alphaqcm.data_collection.archive.verify import is_object_of, read_checksum, zip_defect
from alphaqcm.data_collection.errors import ErrorKind, TransientError
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.time import utc_text
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.checksum import sha256_of

PART_SUFFIX = ".part"
_FRESH_TRIES = 2
_LOCK_POLL = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Fetched:
    """A verified file in the cache."""

    path: Path
    sha256: str
    size: int  # bytes
    downloaded: int = 0  # bytes that came from the source just now


class MissingState(StrEnum):
    """Why a file is not there."""

    ABSENT = "absent"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that the source does not have, or has only broken."""

    state: MissingState
    reason: str


@dataclass(frozen=True, slots=True)
class Order:
    """One file to bring, as listed."""

    file: ArchiveFile
    listed: RemoteFile


@dataclass(frozen=True, slots=True)
class Verification:
    """What the bytes of a file turned out to be; no defect: they can be trusted."""

    sha256: str
    published: str  # empty: the source publishes none
    kind: ErrorKind | None = None
    defect: str = ""


class Downloads:
    """Brings files into one cache; safe for threads and processes."""

    def __init__(
        self,
        cache: Path,
        ledger: Ledger,
        downloader: Downloader,
        retry_policy: RetryPolicy,
        source: str,
    ) -> None:
        self._cache = cache
        self._ledger = ledger
        self._downloader = downloader
        self._retry = retry_policy
        self.source = source
        self.files_may_be_gone = False  # see `Archive.open`

    def target(self, file: ArchiveFile) -> Path:
        """Where a file lies in the cache."""
        return self._cache / file.key

    def verified_copy(self, file: ArchiveFile, record: FileRecord | None) -> Fetched | None:
        """The file as it lies in the cache, if the ledger vouches for it."""
        if record is None or not record.sha256:
            return None
        path = f"{self._cache}/{file.key}"
        try:
            size = os.stat(path).st_size  # noqa: PTH116 - of every file of a run
        except FileNotFoundError:
            gone = self.files_may_be_gone and record.size is not None
            return Fetched(Path(path), record.sha256, record.size or 0) if gone else None
        return Fetched(Path(path), record.sha256, size) if size == record.size else None

    def fetch(self, order: Order, budget: DiskBudget, *, wait: bool) -> Fetched | Missing | None:
        """Bring one file; None when another process is at it and `wait` is not set.

        Raises `Unreachable`, `Refused`, `CacheFull`, `LayerError` or `DiskFull`.
        """
        target = self.target(order.file)
        try:
            with self._locked_part(target, wait=wait) as part:
                return None if part is None else self._fetch(order, budget, part, target)
        except OSError as error:
            raise layer_error(target, error) from error

    def _fetch(
        self, order: Order, budget: DiskBudget, part: PartFile, target: Path
    ) -> Fetched | Missing:
        record = self._ledger.get(order.file.key)
        done = self.verified_copy(order.file, record)
        if done and record and record.listed == order.listed:
            return done  # another process was faster
        done = self._adopt_existing(order, target)
        if done is not None:
            return done
        with budget.reserve(order.file.key, order.listed.size):
            return self._bring(order, part, target)

    @contextlib.contextmanager
    def _locked_part(self, target: Path, *, wait: bool) -> Iterator[PartFile | None]:
        path = target.with_name(target.name + PART_SUFFIX)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = self._lock(path, wait=wait)
        except OSError as error:
            raise layer_error(path, error) from error
        if descriptor is None:
            yield None
            return
        try:
            yield PartFile(path)
        finally:
            # an empty part tells nothing: it was never begun, or the file is verified_copy
            if os.fstat(descriptor).st_size == 0 and _is_at(descriptor, path):
                path.unlink()
            os.close(descriptor)

    def _lock(self, path: Path, *, wait: bool) -> int | None:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, path):
                    return descriptor
                busy = False  # its last holder renamed or removed it while we opened it
            except BlockingIOError:
                busy = True
            os.close(descriptor)
            if busy and not wait:
                return None
            if busy and self._retry.stop.wait(_LOCK_POLL):
                raise Stopped

    def _adopt_existing(self, order: Order, target: Path) -> Fetched | None:
        """Prove a file that is there but not as the ledger tells: no need to bring it again."""
        if not target.is_file() or target.stat().st_size != order.listed.size:
            return None
        same = is_object_of(target, order.listed.etag)
        if same is False:
            return None
        verification = self._verify(order, target)
        if verification.defect or (same is None and not verification.published):
            return None
        self._record(order, verification)
        return Fetched(target, verification.sha256, order.listed.size)

    def _bring(self, order: Order, part: PartFile, target: Path) -> Fetched | Missing:
        wanted = Wanted(order.file.key, order.listed.size, order.listed.etag)
        downloaded = strikes = 0
        while True:
            if part.size > wanted.size:
                part.clear()
            resumed = part.size > 0
            if part.size < wanted.size:
                found, count = self._pull(wanted, part)
                downloaded += count
                if not found:
                    part.clear()
                    return self._missing(
                        order, FileState.ABSENT, "listed, but the source answers 404"
                    )
            verification = self._verify(order, part.path)
            if verification.kind is None:
                _sync(part.path)
                part.path.replace(target)
                self._record(order, verification)
                return Fetched(target, verification.sha256, wanted.size, downloaded)
            part.clear()
            self._retry.count(verification.kind)
            # a resumed part may have begun as another version of the file: no strike
            strikes += not resumed
            if strikes == _FRESH_TRIES:
                return self._missing(order, FileState.CORRUPT, verification.defect)

    def _pull(self, wanted: Wanted, part: PartFile) -> tuple[bool, int]:
        """Bring the bytes that lack; False on a 404. Also how many came."""
        came = 0

        def attempt() -> bool:
            nonlocal came
            before = part.size
            try:
                found = self._downloader.body(wanted, part)
            finally:
                after = part.size
                came += after - before if after >= before else after
            if found and part.size < wanted.size:
                raise TransientError(
                    ErrorKind.SHORT, wanted.key, f"{part.size} of {wanted.size} bytes"
                )
            if part.size > wanted.size:
                size = part.size
                part.clear()
                raise TransientError(ErrorKind.LENGTH, wanted.key, f"{size} of {wanted.size} bytes")
            return found

        return self._retry.retry(wanted.key, attempt, lambda: part.size), came

    def _verify(self, order: Order, path: Path) -> Verification:
        published = ""
        if order.listed.checksum_etag:
            key = order.file.checksum_key
            text = self._retry.retry(key, lambda: self._downloader.text(key), lambda: 0)
            published = "" if text is None else read_checksum(text) or "unreadable"
        sha256 = sha256_of(path)
        if published and sha256 != published:
            return Verification(
                sha256, published, ErrorKind.CHECKSUM, f"SHA-256 {sha256}, published {published}"
            )
        defect = zip_defect(path, inflate=not published)
        return Verification(sha256, published, ErrorKind.ZIP if defect else None, defect)

    def _record(self, order: Order, verification: Verification) -> None:
        record = replace(
            _seen(order, FileState.OK, self.source),
            sha256=verification.sha256,
            published=verification.published,
            reason="" if verification.published else "no published checksum",
        )
        self._ledger.put([record])

    def _missing(self, order: Order, state: FileState, reason: str) -> Missing:
        self._ledger.put([replace(_seen(order, state, self.source), reason=reason)])
        return Missing(MissingState(state.value), reason)


def _seen(order: Order, state: FileState, source: str) -> FileRecord:
    listed = order.listed
    return FileRecord(
        key=order.file.key,
        state=state,
        size=listed.size,
        etag=listed.etag,
        last_modified=listed.last_modified,
        checksum_etag=listed.checksum_etag,
        seen_at=utc_text(datetime.now(UTC)),
        source=source,
    )


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
