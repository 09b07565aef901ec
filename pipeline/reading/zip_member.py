"""The ZIP container of an archive file: exactly one CSV, whole, no larger than it declares."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from isal import igzip_lib, isal_zlib

from alphaqcm.pipeline.errors import BadZip, layer_error

MAX_CSV_BYTES = 64 * 2**30
"""No CSV of the archive comes near this; one that declares more is not trusted."""

MAX_WHOLE_BYTES = 2**28
"""Most that `read_member` inflates at once; aggTrades, the only larger ones, are streamed."""

_InflateError = cast(type[Exception], igzip_lib.IsalError)  # the stubs call it an instance
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_AGAIN = "delete it and fetch it again; if it stays so, the archive's own file is broken"


@dataclass(frozen=True, slots=True)
class Member:
    """The one CSV inside a ZIP, and where its bytes lie in the ZIP."""

    path: Path
    name: str
    method: int  # zipfile.ZIP_STORED or ZIP_DEFLATED
    offset: int  # of the compressed bytes in the ZIP
    compressed: int  # bytes
    size: int  # bytes of the CSV
    crc: int  # CRC-32 of the CSV


def open_member(path: Path) -> Member:
    """Find the one CSV of a ZIP; raises `BadZip` (and `LayerError` when it cannot be read)."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                info
                for info in archive.infolist()
                # not is_dir(), which fails on a damaged, empty name
                if not info.filename.endswith("/") and not info.filename.startswith("__MACOSX/")
            ]
        tables = [info for info in members if info.filename.lower().endswith(".csv")]
        if len(tables) != 1:
            names = ", ".join(info.filename for info in members) or "nothing"
            raise _bad(path, "exactly one CSV inside", f"{len(tables)} ({names})")
        info = tables[0]
        if info.flag_bits & 0x1 or info.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise _bad(
                path, "a plain deflated CSV", f"{info.filename} encrypted or packed otherwise"
            )
        if info.file_size > MAX_CSV_BYTES:
            raise _bad(
                path, f"a CSV of at most {MAX_CSV_BYTES} bytes", f"{info.file_size} declared"
            )
        if info.header_offset < 0:
            raise _bad(path, "a whole ZIP", f"bytes missing before {info.filename}")
        with path.open("rb") as stream:
            stream.seek(info.header_offset)
            header = stream.read(_LOCAL_HEADER.size)
            if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
                raise _bad(path, "a local header where the directory says", "none: the ZIP is torn")
            *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
            offset = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
            stream.seek(0, 2)
            if offset + info.compress_size > stream.tell():
                raise _bad(
                    path, f"{info.compress_size} compressed bytes", "a shorter file: it is cut"
                )
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        struct.error,
        ValueError,
        OverflowError,
    ) as error:
        raise _bad(path, "a whole ZIP", str(error) or "a damaged one") from error
    except NotImplementedError as error:
        raise _bad(path, "an ordinary ZIP", str(error)) from error
    except OSError as error:
        raise layer_error(path, error) from error
    return Member(
        path=path,
        name=info.filename,
        method=info.compress_type,
        offset=offset,
        compressed=info.compress_size,
        size=info.file_size,
        crc=info.CRC,
    )


def read_member(member: Member) -> bytes:
    """Inflate the whole CSV, check its length and CRC; raises `BadZip`."""
    path = member.path
    if member.size > MAX_WHOLE_BYTES:
        raise _bad(path, f"a CSV of at most {MAX_WHOLE_BYTES} bytes", f"{member.size} declared")
    try:
        with path.open("rb") as stream:
            stream.seek(member.offset)
            packed = stream.read(member.compressed)
    except OSError as error:
        raise layer_error(path, error) from error
    if member.method == zipfile.ZIP_STORED:
        data = packed
    else:
        try:
            # one byte more than declared is enough to see that it lies
            inflater = isal_zlib.decompressobj(wbits=-zlib.MAX_WBITS)
            data = inflater.decompress(packed, max_length=member.size + 1)
        except _InflateError as error:
            raise _bad(path, "a sound deflate stream", str(error)) from error
    if len(data) != member.size:
        found = "more" if len(data) > member.size else f"{len(data)}"
        raise _bad(path, f"{member.size} bytes of CSV as declared", found)
    if isal_zlib.crc32(data) != member.crc:
        raise _bad(path, f"CRC {member.crc:08x}", f"{isal_zlib.crc32(data):08x}")
    return data


def _bad(path: Path, expected: str, found: str) -> BadZip:
    return BadZip(path, expected=expected, found=found, next_step=_AGAIN)
