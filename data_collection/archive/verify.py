"""What makes a downloaded file trustworthy: its SHA-256, and a ZIP that inflates to its CRCs."""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip_lib, isal_zlib

_CHUNK = 1 << 18
_InflateError = cast(type[Exception], igzip_lib.IsalError)  # the stubs call it an instance
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_CHECKSUM_LINE = re.compile(r"^([0-9a-fA-F]{64})(\s|$)")
_MD5 = re.compile(r"^[0-9a-f]{32}$")


def is_object_of(path: Path, etag: str) -> bool | None:
    """Whether the file is the S3 object with this ETag; None where the ETag cannot tell.

    The ETag of an object that was uploaded in one piece is the MD5 of its bytes.
    """
    if not _MD5.match(etag):
        return None
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest() == etag


def read_checksum(text: str) -> str | None:
    """The SHA-256 in a `.CHECKSUM` (`<sha256>  <name>`), None where the text holds none."""
    match = _CHECKSUM_LINE.match(text.strip())
    return match[1].lower() if match else None


def zip_defect(path: Path, *, inflate: bool) -> str:
    """What is wrong with a ZIP, empty when it opens and its members lie inside it.

    `inflate` also inflates every member and holds it against its length and CRC. That costs five
    times a SHA-256, and is needed where no published checksum vouches for the bytes; whoever reads
    the file checks the CRC once more.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if not members:
                return "an empty ZIP"
            with path.open("rb") as stream:
                defects = (
                    _member_defect(stream, member, archive.start_dir, inflate=inflate)
                    for member in members
                )
                return next(filter(None, defects), "")
    except (zipfile.BadZipFile, struct.error, ValueError, EOFError, NotImplementedError) as error:
        return f"no whole ZIP: {error}"


def _member_defect(
    stream: BinaryIO, member: zipfile.ZipInfo, directory: int, *, inflate: bool
) -> str:
    if member.header_offset < 0:
        return f"bytes are missing before {member.filename}"
    stream.seek(member.header_offset)
    header = stream.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
        return f"no local header of {member.filename}"
    *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    stream.seek(name_length + extra_length, 1)
    if stream.tell() + member.compress_size > directory:
        return f"{member.filename} reaches beyond its ZIP"
    if not inflate:
        return ""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"an unusual compression of {member.filename}"
    try:
        size, crc = _inflate(stream, member)
    except _InflateError as error:
        return f"a broken deflate stream in {member.filename}: {error}"
    if size != member.file_size:
        return f"{member.filename} has another length than it declares"
    return "" if crc == member.CRC else f"the CRC of {member.filename} does not hold"


def _inflate(stream: BinaryIO, member: zipfile.ZipInfo) -> tuple[int, int]:
    """Length and CRC-32 of a member's content, one piece in memory at a time."""
    inflater = isal_zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    stored = member.compress_type == zipfile.ZIP_STORED
    left, size, crc = member.compress_size, 0, 0
    while left > 0 and size <= member.file_size:
        packed = stream.read(min(_CHUNK, left))
        if not packed:
            break
        left -= len(packed)
        # a piece inflates in bounded steps: a bomb cannot fill the memory
        piece = packed if stored else inflater.decompress(packed, 8 * _CHUNK)
        while piece:
            size += len(piece)
            crc = isal_zlib.crc32(piece, crc)
            tail = b"" if stored else inflater.unconsumed_tail
            piece = inflater.decompress(tail, 8 * _CHUNK) if tail else b""
            if size > member.file_size:
                break
    return size, crc
