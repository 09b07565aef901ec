"""Checksums of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import xxhash

_PIECE = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def xxh3_of_bytes(data: bytes | memoryview) -> str:
    """XXH3 (128 bits) of bytes, in hexadecimal: tells damage, not forgery, at memory speed."""
    return xxhash.xxh3_128_hexdigest(data)


def xxh3_of(path: Path) -> str:
    """XXH3 (128 bits) of a file's bytes, in hexadecimal."""
    found = xxhash.xxh3_128()
    held = memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(held):
            found.update(held[:count])
    return found.hexdigest()
