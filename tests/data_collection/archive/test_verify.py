"""What a ZIP's proof finds: cut, changed, lying and foreign files."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.verify import is_object_of, read_checksum, zip_defect
from alphaqcm.pipeline.storage.checksum import sha256_of
from tests.helpers.archive_tree import KLINES, day_file, zip_bytes

FILE = day_file(KLINES, "2024-01-01")
WHOLE = zip_bytes(FILE, 50_000)
MIDDLE = len(WHOLE) // 2


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("inflate", [True, False])
def test_a_whole_zip_has_no_defect(tmp_path: Path, inflate: bool) -> None:
    assert zip_defect(written(tmp_path, WHOLE), inflate=inflate) == ""


@pytest.mark.parametrize("inflate", [True, False])
@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", WHOLE[:-30], WHOLE[:MIDDLE], WHOLE[100:], b"\0" * 1000],
    ids=["empty", "html", "no end", "half", "no start", "zeros"],
)
def test_what_does_not_open_is_a_defect(tmp_path: Path, data: bytes, inflate: bool) -> None:
    assert zip_defect(written(tmp_path, data), inflate=inflate)


def test_every_changed_byte_of_the_content_is_found_by_inflating(tmp_path: Path) -> None:
    for at in range(60, len(WHOLE) - 200, 997):
        data = bytearray(WHOLE)
        data[at] ^= 0x10
        assert zip_defect(written(tmp_path, bytes(data)), inflate=True)


def test_a_missing_piece_in_the_middle_is_found_without_inflating(tmp_path: Path) -> None:
    assert zip_defect(written(tmp_path, WHOLE[:MIDDLE] + WHOLE[MIDDLE + 99 :]), inflate=False)


def test_a_bomb_is_stopped_at_its_declared_length(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.csv", bytes(50_000_000))
    data = bytearray(path.read_bytes())
    small, big = struct.pack("<L", 1000), struct.pack("<L", 50_000_000)
    data = data.replace(big, small)
    crc = struct.pack("<L", zlib.crc32(bytes(50_000_000)))
    data = data.replace(crc, struct.pack("<L", zlib.crc32(bytes(1000))))
    path.write_bytes(bytes(data))
    assert "another length" in zip_defect(path, inflate=True)


def test_stored_members_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "stored.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.csv", b"1,2,3\n" * 1000)
    assert zip_defect(path, inflate=True) == ""
    path.write_bytes(path.read_bytes().replace(b"1,2,3", b"1,2,4", 1))
    assert "CRC" in zip_defect(path, inflate=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A" * 64 + "  BTCUSDT-1m-2024-01.zip\n", "a" * 64),
        ("b" * 64 + "  BTCUSDT-1m-2024-01.zip", "b" * 64),
        ("c" * 64, "c" * 64),
        ("d" * 63 + "  x.zip", None),
        ("e" * 65 + "  x.zip", None),
        ("<html>", None),
        ("", None),
    ],
)
def test_published_checksums_are_read_with_and_without_newline(
    text: str, found: str | None
) -> None:
    assert read_checksum(text) == found


def test_an_etag_tells_only_when_it_is_an_md5(tmp_path: Path) -> None:
    path = written(tmp_path, b"abc")
    assert is_object_of(path, "900150983cd24fb0d6963f7d28e17f72") is True
    assert is_object_of(path, "0" * 32) is False
    assert is_object_of(path, "900150983cd24fb0d6963f7d28e17f72-2") is None


def test_real_archive_files_have_no_defect(real: Path) -> None:
    zips = sorted((real / "archive").rglob("*.zip"))
    assert zips
    for path in zips:
        assert zip_defect(path, inflate=True) == ""
        checksum = path.with_name(path.name + ".CHECKSUM").read_text()
        assert read_checksum(checksum) == sha256_of(path)
