"""Write a digest of the whole file into the file itself (parquet, JSON), and verify it.

The digest is XXH3 (128 bits) of the file's bytes with the digest's own 32 digits as zeros. A
parquet carries it in its footer, a JSON file as its first entry, both as
`"digest":"xxh3_128:…"`, so that it covers data, footer and itself, moves with the file, and costs
no second file and no second sync. A CSV's digest is told by whatever describes the CSV.

It tells damage, not forgery. Files of release 0.1.0 have none: what is kept of them is in
a file beside them (see `adopted_digests`). docs/integrity.md has the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import xxhash

DIGEST_KEY = "digest"
_NAME = "xxh3_128:"
_ZEROS = b"0" * 32
UNSEALED = _NAME + _ZEROS.decode()
"""What stands in the digest's place until the file is whole."""

_PLACE = re.compile(rb'"digest": ?"xxh3_128:([0-9a-f]{32})"')
_HINT = re.compile(rb'"digest"|xxh3_128:')  # a flipped bit spoils one of them, never both
_TAIL = 8  # bytes of a parquet after its footer: the footer's length and MAGIC
_MAGIC = b"PAR1"
_HEAD = 64  # bytes at whose beginning a JSON text tells its digest
_PIECE = 1 << 20


class Proof(StrEnum):
    """What a file's bytes say of themselves."""

    WHOLE = "whole"  # every byte is as it was written
    UNSEALED = "without a digest"  # as releases before 0.2.0 wrote it
    DAMAGED = "damaged on the disk"


def seal(data: bytes) -> bytes:
    """The file with its digest set; it must hold `UNSEALED` in the digest's place."""
    place = _place(data)
    if place is None:
        raise ValueError("no place for a digest")
    found = _digest(data, place)
    return data[:place] + found.encode() + data[place + len(_ZEROS) :]


def seal_file(path: Path) -> None:
    """The same for a parquet on disk, without holding it in memory."""
    with path.open("r+b") as stream:
        size = stream.seek(0, 2)
        stream.seek(size - _TAIL)
        length = int.from_bytes(stream.read(4), "little") + _TAIL
        stream.seek(size - length)
        footer = stream.read()
        at = digest_place(footer)
        if at is None:
            raise ValueError("no place for a digest")
        stream.seek(0)
        found, left = xxhash.xxh3_128(), size - length
        while left and (piece := stream.read(min(left, _PIECE))):
            found.update(piece)
            left -= len(piece)
        found.update(footer)
        stream.seek(size - length + at)
        stream.write(found.hexdigest().encode())


def digest_place(text: bytes) -> int | None:
    """Where the digest's digits stand in a footer, None where it has no place for them."""
    match = _PLACE.search(text)
    return None if match is None else match.start(1)


def proof_of(data: bytes) -> Proof:
    """Whether a whole file's bytes prove themselves."""
    place = _place(data)
    if place is None:
        return Proof.UNSEALED if _is_unsealed(data) else Proof.DAMAGED
    told = data[place : place + len(_ZEROS)].decode()
    return Proof.WHOLE if _digest(data, place) == told else Proof.DAMAGED


def told_digest(data: bytes) -> str:
    """The digest that a file carries, empty where it has none; it may be a wrong one."""
    place = _place(data)
    return "" if place is None else data[place : place + len(_ZEROS)].decode()


def proof_of_file(path: Path) -> tuple[Proof, str]:
    """`proof_of` and `told_digest` of a parquet of any size, piece by piece; raises `OSError`."""
    with path.open("rb") as stream:
        return proof_of_stream(stream)


def proof_of_stream(stream: BinaryIO) -> tuple[Proof, str]:
    """The same of an open file."""
    footer = footer_of(stream)
    if footer is None:
        return Proof.DAMAGED, ""
    match = _PLACE.search(footer)
    if match is None:
        return (Proof.DAMAGED if _HINT.search(footer) else Proof.UNSEALED), ""
    found, left = xxhash.xxh3_128(), stream.seek(0, 2) - len(footer)
    stream.seek(0)
    while left and (piece := stream.read(min(left, _PIECE))):
        found.update(piece)
        left -= len(piece)
    found.update(footer[: match.start(1)] + _ZEROS + footer[match.end(1) :])
    told = match[1].decode()
    return (Proof.WHOLE if found.hexdigest() == told else Proof.DAMAGED), told


def footer_of(stream: BinaryIO) -> bytes | None:
    """A parquet's footer, its length and MAGIC included; None where it has none."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _TAIL))
    tail = stream.read()
    length = int.from_bytes(tail[:4], "little") + _TAIL
    if tail[4:] != _MAGIC or length > size:
        return None
    stream.seek(size - length)
    return stream.read()


def sealed_json(told: Mapping[str, Any], *, indent: bool = False) -> bytes:
    """A JSON text that proves itself, the digest as its first entry."""
    option = orjson.OPT_INDENT_2 if indent else None
    return seal(orjson.dumps({DIGEST_KEY: UNSEALED, **told}, option=option))


def open_json(data: bytes) -> dict[str, Any] | None:
    """What a JSON text of ours holds, its digest left out; None where it is damaged.

    A text without a digest is one of a release before 0.2.0, and is taken as it is.
    """
    try:
        told = orjson.loads(data)
    except ValueError:
        return None
    if not isinstance(told, dict) or proof_of(data) is Proof.DAMAGED:
        return None
    return {key: value for key, value in told.items() if key != DIGEST_KEY}


def _digest(data: bytes, place: int) -> str:
    view = memoryview(data)
    found = xxhash.xxh3_128(view[:place])
    found.update(_ZEROS)
    found.update(view[place + len(_ZEROS) :])
    return found.hexdigest()


def _place(data: bytes) -> int | None:
    """Where the digest's digits stand: in the footer of a parquet, at the start of a JSON text."""
    match = _PLACE.search(data, *_stretch(data))
    return None if match is None else match.start(1)


def _stretch(data: bytes) -> tuple[int, int]:
    """Where a file's digest can stand."""
    if data[:4] == _MAGIC or data[-4:] == _MAGIC:
        end = len(data) - _TAIL
        return max(0, end - int.from_bytes(data[-_TAIL:-4], "little")), max(0, end)
    return 0, _HEAD


def _is_unsealed(data: bytes) -> bool:
    """Whether a file without a digest can be one that was written without."""
    if _HINT.search(data, *_stretch(data)):
        return False
    if data[:4] == _MAGIC:
        return data[-4:] == _MAGIC
    return data[:1] == b"{"
