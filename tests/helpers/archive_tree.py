"""Small archive trees of real ZIPs, and the truth about them, for the download tests."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market

KLINES = Series(Market.UM, DataType.KLINES, "BTCUSDT", "1m")


def day_file(series: Series, text: str) -> ArchiveFile:
    return series.file(Period.day(date.fromisoformat(text)))


def days(series: Series, first: str, count: int) -> list[ArchiveFile]:
    start = date.fromisoformat(first).toordinal()
    return [series.file(Period.day(date.fromordinal(start + n))) for n in range(count)]


def zip_bytes(file: ArchiveFile, size: int, seed: int = 0) -> bytes:
    """A real ZIP of about `size` bytes, of one CSV; the same for the same words."""
    noise = random.Random(f"{file.key}/{seed}").randbytes(size * 3 // 4)
    stream = io.BytesIO()
    info = zipfile.ZipInfo(file.name.replace(".zip", ".csv"), (2024, 1, 1, 0, 0, 0))
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info, noise.hex())
    return stream.getvalue()


def publish(root: Path, file: ArchiveFile, data: bytes, *, checksum: str | None = "") -> str:
    """Put a file and its .CHECKSUM (None: leave it out) into a tree; returns its SHA-256."""
    path = root / file.key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    if checksum is not None:
        (root / file.checksum_key).write_text(f"{checksum or digest}  {file.name}\n")
    return digest


def publish_all(root: Path, files: Iterable[ArchiveFile], size: int = 2000) -> dict[str, str]:
    """Publish real ZIPs for all files; returns SHA-256 by key."""
    return {file.key: publish(root, file, zip_bytes(file, size)) for file in files}


def digests(cache: Path) -> dict[str, str]:
    """SHA-256 of every ZIP in a cache, by key."""
    return {
        path.relative_to(cache).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in cache.rglob("*.zip")
    }


def leftovers(cache: Path) -> list[str]:
    """Temp files in a cache."""
    return sorted(
        path.name
        for path in cache.rglob("*")
        if path.suffix in (".part", ".tmp", ".aria2") and path.is_file()
    )
