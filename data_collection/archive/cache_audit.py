"""Does the cache still hold what the ledger says, and the source what it said? And mending it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from alphaqcm.data_collection.archive.archive import Archive, Fetched
from alphaqcm.data_collection.archive.download import PART_SUFFIX
from alphaqcm.data_collection.archive.file_record import FileRecord, RemoteFile
from alphaqcm.data_collection.archive.verify import is_object_of, read_checksum
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.errors import BadName
from alphaqcm.pipeline.storage.checksum import sha256_of


class Problem(StrEnum):
    """What can be wrong with a verified file."""

    GONE = "gone from the disk"
    CHANGED = "changed on the disk"
    REPLACED = "replaced at the source"
    CHECKSUM = "another checksum is published"
    REMOVED = "no longer at the source"  # the verified file stays and is used
    STRAY = "unfinished download"
    UNKNOWN = "not in the ledger"


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One problem of one file."""

    key: str
    problem: Problem
    detail: str


def audit(archive: Archive, *, deep: bool) -> Iterator[AuditFinding]:
    """Compare ledger, disk and listing; `deep` reads every byte and every .CHECKSUM again."""
    records = [record for record in archive.ledger.select() if record.sha256]
    files = [ArchiveFile.parse(record.key) for record in records]
    listing = archive.list_many(file.series for file in files)
    pairs = [
        (record, listing[file.series].get(file.period))
        for record, file in zip(records, files, strict=True)
    ]
    with ThreadPoolExecutor(archive.options.connections) as pool:
        for findings in pool.map(lambda pair: _look(archive, *pair, deep=deep), pairs):
            yield from findings
    yield from _unknown(archive.cache, {record.key for record in records})


def _look(
    archive: Archive, record: FileRecord, listed: RemoteFile | None, *, deep: bool
) -> Sequence[AuditFinding]:
    path = archive.cache / record.key
    if not path.is_file():
        return [AuditFinding(record.key, Problem.GONE, f"{record.size} bytes are missing")]
    size = path.stat().st_size
    if size != record.size:
        return [AuditFinding(record.key, Problem.CHANGED, f"{size} bytes, recorded {record.size}")]
    if deep and (found := sha256_of(path)) != record.sha256:
        return [
            AuditFinding(record.key, Problem.CHANGED, f"SHA-256 {found}, recorded {record.sha256}")
        ]
    if listed is None:
        return [AuditFinding(record.key, Problem.REMOVED, f"listed until {record.seen_at}")]
    if not deep and listed == record.listed:
        return []
    return _at_source(archive, record, listed, path)


def _at_source(
    archive: Archive, record: FileRecord, listed: RemoteFile, path: Path
) -> Sequence[AuditFinding]:
    text = archive.checksum_text(record.key) if listed.checksum_etag else None
    published = read_checksum(text) or "unreadable" if text is not None else ""
    if is_object_of(path, listed.etag) is False or listed.size != record.size:
        detail = f"listed since {listed.last_modified}, published {published or 'no checksum'}"
        return [AuditFinding(record.key, Problem.REPLACED, detail)]
    if published and published != record.sha256:
        return [
            AuditFinding(record.key, Problem.CHECKSUM, f"{published}, the file has {record.sha256}")
        ]
    return []


def _unknown(cache: Path, known: set[str]) -> Iterator[AuditFinding]:
    for path in sorted(cache.rglob("*")):
        key = path.relative_to(cache).as_posix()
        if path.name.endswith(PART_SUFFIX):
            yield AuditFinding(key, Problem.STRAY, f"{path.stat().st_size} bytes")
        elif path.suffix == ".zip" and key not in known:
            yield AuditFinding(key, Problem.UNKNOWN, f"{path.stat().st_size} bytes")


def repair(archive: Archive, findings: Sequence[AuditFinding]) -> list[AuditFinding]:
    """Mend what can be mended; returns what cannot. What depends on a file rebuilds by itself."""
    left: list[AuditFinding] = []
    files: dict[ArchiveFile, AuditFinding] = {}
    for finding in findings:
        if finding.problem is Problem.STRAY:
            if not _remove_stray(archive.cache / finding.key):
                left.append(finding)
            continue
        try:
            file = ArchiveFile.parse(finding.key)
        except BadName:
            left.append(finding)  # a foreign file: not ours to remove
            continue
        if finding.problem is Problem.CHANGED:
            (archive.cache / finding.key).unlink(missing_ok=True)
        files[file] = finding
    found = archive.fetch(list(files))
    for file, finding in files.items():
        result = found[file]
        wrong = finding.problem is Problem.CHECKSUM and isinstance(result, Fetched)
        kept = finding.problem is Problem.REMOVED
        if kept or not isinstance(result, Fetched) or (wrong and not result.downloaded):
            left.append(finding)
    return left


def _remove_stray(part: Path) -> bool:
    """Remove a part that no living process works on."""
    try:
        descriptor = os.open(part, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
