"""Checksums of files."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import IO, BinaryIO

import xxhash

_PIECE = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return sha256_of_stream(stream)


def sha256_of_stream(stream: BinaryIO) -> str:
    """The same of what is left of an open file."""
    return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def xxh3_of_bytes(data: bytes | memoryview) -> str:
    """XXH3 (128 bits) of bytes, in hexadecimal: tells damage, not forgery, at memory speed."""
    return xxhash.xxh3_128_hexdigest(data)


def xxh3_of(path: Path) -> str:
    """XXH3 (128 bits) of a file's bytes, in hexadecimal."""
    with path.open("rb", buffering=0) as stream:
        return xxh3_of_stream(stream)


def xxh3_of_stream(stream: IO[bytes] | io.RawIOBase) -> str:
    """The same of what is left of an open file."""
    found = xxhash.xxh3_128()
    held = memoryview(bytearray(_PIECE))
    while count := stream.readinto(held):  # type: ignore[union-attr]
        found.update(held[:count])
    return found.hexdigest()
