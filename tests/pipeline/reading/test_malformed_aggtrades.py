"""Malformed aggTrades files: a typed error that tells where, or the right numbers; never else."""

from __future__ import annotations

import functools
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import BadHeader, BadRow, BadZip, LayerError, PipelineError, RawError
from alphaqcm.pipeline.reading.aggtrades import AggMinutes, aggregate_file
from tests.conftest import REAL, SOAK
from tests.helpers.aggtrades_oracle import (
    Rejected,
    as_text,
    differences,
    expect,
    make_lines,
    mutate,
    trades_file,
)
from tests.helpers.zips import write_zip

FILE = trades_file()
LINES = make_lines(FILE, 30)
CASES = 8 if SOAK else 2  # seeds, 250 cases each
REAL_DAY = (
    REAL
    / "archive/data/futures/cm/daily/aggTrades/BTCUSD_PERP"
    / "BTCUSD_PERP-aggTrades-2026-05-08.zip"
)


Read = Callable[[Path, ArchiveFile], AggMinutes]


@pytest.fixture(params=[True, False], ids=["two threads", "one thread"])
def read(request: pytest.FixtureRequest) -> Read:
    """`aggregate_file`, inflating ahead or as it reads."""
    return functools.partial(aggregate_file, ahead=request.param)


def _outcome(folder: Path, file: ArchiveFile, text: bytes) -> AggMinutes | None:
    try:
        return aggregate_file(write_zip(folder, file, text), file)
    except RawError:
        return None


def _hold(folder: Path, file: ArchiveFile, text: bytes) -> None:
    """An error exactly where the exact reading rejects the text, else the same minutes."""
    result = _outcome(folder, file, text)
    try:
        expected = expect(text, file)
    except Rejected as why:
        assert result is None, f"{why}: {text!r}"
        return
    assert result is not None, text
    assert not differences(result, expected), text


def _fails_at(folder: Path, text: bytes, kind: type[RawError], place: str) -> None:
    with pytest.raises(kind) as caught:
        aggregate_file(write_zip(folder, FILE, text), FILE)
    assert place in str(caught.value)


# ---- rows

FIELD = {
    "letters in a number": (1, "12x.5"),
    "letters in an id": (0, "12a"),
    "400 digits": (1, "9" * 400),
    "400 decimals": (2, "0." + "1" * 400),
    "an embedded NUL": (2, "1.\x000"),
    "an empty field": (3, ""),
    "a sign before a price": (1, "-1.0"),
    "a plus": (2, "+1.0"),
    "a dot alone": (1, "."),
    "no digit before the dot": (1, ".5"),
    "no digit behind the dot": (1, "5."),
    "two dots": (1, "1.2.3"),
    "two dots in a long number": (1, "1234567.2.34567"),
    "an exponent without digits": (1, "1e"),
    "not a number": (1, "nan"),
    "infinity": (2, "inf"),
    "larger than any amount": (1, "1e300"),
    "smaller than any double": (2, "5.3E-759"),
    "blanks": (1, " 1.0"),
    "half of its quotes": (1, '"1.0'),
    "quotes within": (1, '1"0"0'),
    "nothing in quotes": (3, '""'),
    "quotes twice": (1, '""1.0""'),
    "another script's digits": (1, "١٢"),
    "a time too long": (5, "17090784000000001"),
    "a time below zero": (5, "-9999999999999999"),
    "a time with a dot": (5, "1709078400000.0"),
    "a boolean that is none": (6, "yes"),
    "a boolean cut short": (6, "tru"),
    "a boolean with more": (6, "truefalse"),
    "a number for a boolean": (6, "1"),
    "a NUL before a boolean": (6, "\x00true"),
    "a NUL behind a boolean": (6, "true\x00"),
    "last trade before the first": (4, "0"),
    "an eighth field": (6, "true,true"),
}


@pytest.mark.parametrize("what", FIELD)
def test_bad_field_is_an_error_with_line_and_byte(tmp_path: Path, what: str) -> None:
    at, text = FIELD[what]
    fields = LINES[20].split(",")
    fields[at] = text
    lines = [*LINES[:20], ",".join(fields), *LINES[21:]]
    byte = len(as_text(LINES[:20]))
    _fails_at(tmp_path, as_text(lines), BadRow, f"line 21 (byte {byte})")


def test_error_far_into_a_file_tells_its_line_and_byte(tmp_path: Path) -> None:
    lines = make_lines(FILE, 40_000, step_us=3_000)
    before = as_text(lines[:35_000])
    assert len(before) > 2_000_000  # in the third piece
    text = before + b"nonsense\n" + as_text(lines[35_000:])
    _fails_at(tmp_path, text, BadRow, f"line 35001 (byte {len(before)})")


def test_truncated_last_line_is_an_error(tmp_path: Path) -> None:
    _fails_at(tmp_path, as_text(LINES)[:-12], BadRow, "line 30")


def test_blank_line_is_an_error(tmp_path: Path) -> None:
    _fails_at(tmp_path, as_text([*LINES, ""]), BadRow, "line 31")


@pytest.mark.parametrize("byte", [b"7", b",", b"\0", b"\xff"])
@pytest.mark.parametrize("tail", [b"", b"\n"])
def test_line_of_ten_megabytes_is_an_error(tmp_path: Path, byte: bytes, tail: bytes) -> None:
    text = as_text(LINES) + byte * 10_000_000 + tail
    _fails_at(tmp_path, text, BadRow, f"line 31 (byte {len(as_text(LINES))})")


def test_first_line_of_ten_megabytes_of_letters_is_an_error(tmp_path: Path) -> None:
    _fails_at(tmp_path, b"a" * 10_000_000, BadHeader, FILE.name)


# ---- quotes


def _quoted(lines: list[str], *fields: int) -> list[str]:
    """The lines with some of their fields in quotes; all where none is named."""
    rows = [line.split(",") for line in lines]
    return [
        ",".join(f'"{text}"' if not fields or at in fields else text for at, text in enumerate(row))
        for row in rows
    ]


@pytest.mark.parametrize("fields", [(), (0,), (1, 2), (6,), (3, 5)])
@pytest.mark.parametrize("market", [Market.UM, Market.SPOT])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quoted_fields_are_read_as_plain_ones(
    tmp_path: Path, market: Market, fields: tuple[int, ...], end: str
) -> None:
    file = trades_file(market)
    lines = make_lines(file, 40)
    whole = [*lines[:15], *_quoted(lines[15:25], *fields), *lines[25:]]
    for rows in (_quoted(lines, *fields), whole):
        found = aggregate_file(write_zip(tmp_path, file, end.join(rows).encode()), file)
        wanted = aggregate_file(write_zip(tmp_path, file, as_text(lines)), file)
        assert found.frame.equals(wanted.frame)
        assert found.counters == wanted.counters


def test_a_quoted_header_is_a_header(tmp_path: Path) -> None:
    header = _quoted(["agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time"])
    text = as_text([f"{header[0]},is_buyer_maker", *LINES])
    assert aggregate_file(write_zip(tmp_path, FILE, text), FILE).counters.rows == len(LINES)


# ---- the ZIP


def _whole(folder: Path, text: bytes | None = None) -> tuple[Path, bytearray]:
    path = write_zip(folder, FILE, as_text(LINES) if text is None else text)
    return path, bytearray(path.read_bytes())


def test_cut_deflate_stream_is_an_error(tmp_path: Path, read: Read) -> None:
    """The stream ends early although the ZIP's directory is whole."""
    path, data = _whole(tmp_path)
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[0]
    central = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, central + 20, info.compress_size // 2)
    path.write_bytes(data)
    with pytest.raises(BadZip, match="whole deflate stream"):
        read(path, FILE)


def test_wrong_crc_is_an_error(tmp_path: Path, read: Read) -> None:
    path, data = _whole(tmp_path)
    data[data.rindex(b"PK\x01\x02") + 16] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadZip, match="CRC"):
        read(path, FILE)


@pytest.mark.parametrize("declared", [10, 1_000_000])
def test_other_size_than_declared_is_an_error(tmp_path: Path, read: Read, declared: int) -> None:
    path, data = _whole(tmp_path)
    struct.pack_into("<L", data, data.rindex(b"PK\x01\x02") + 24, declared)
    path.write_bytes(data)
    with pytest.raises(BadZip):
        read(path, FILE)


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [(28, "<H", 0), (42, "<L", 2**32 - 1), (20, "<L", 2**32 - 1)],
    ids=["no name", "offset beyond the end", "size beyond the end"],
)
def test_damaged_directory_is_an_error(tmp_path: Path, at: int, form: str, value: int) -> None:
    path, data = _whole(tmp_path)
    struct.pack_into(form, data, data.rindex(b"PK\x01\x02") + at, value)
    path.write_bytes(data)
    with pytest.raises(BadZip):
        aggregate_file(path, FILE)


def test_bomb_that_declares_little_is_stopped_at_once(tmp_path: Path, read: Read) -> None:
    """A gigabyte of rows behind a declared kilobyte: not more than one piece is inflated."""
    line = as_text(LINES[:1])
    path, data = _whole(tmp_path, line * (64_000_000 // len(line)))
    struct.pack_into("<L", data, data.rindex(b"PK\x01\x02") + 24, 1_000)
    path.write_bytes(data)
    with pytest.raises(BadZip, match="1000 bytes"):
        read(path, FILE)


def test_damage_behind_a_bad_row_is_told_as_damage(tmp_path: Path, read: Read) -> None:
    """A flipped bit makes a bad row; what is broken is the ZIP, not the source's rows."""
    path = tmp_path / FILE.name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x.csv", as_text(LINES))
    data = path.read_bytes()
    path.write_bytes(data.replace(LINES[3].encode(), LINES[3].replace(",", ";").encode()))
    with pytest.raises(BadZip, match="CRC"):
        read(path, FILE)


def test_stored_csv_is_read_too(tmp_path: Path, read: Read) -> None:
    path = tmp_path / FILE.name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x.csv", as_text(LINES))
    assert not differences(read(path, FILE), expect(as_text(LINES), FILE))


def test_missing_bytes_before_the_directory_are_an_error(tmp_path: Path) -> None:
    path, data = _whole(tmp_path)
    path.write_bytes(data[:100] + data[300:])
    with pytest.raises(BadZip):
        aggregate_file(path, FILE)


def test_missing_file_is_an_error_of_the_layer(tmp_path: Path) -> None:
    with pytest.raises(LayerError):
        aggregate_file(tmp_path / FILE.name, FILE)


# ---- storms


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(CASES))
@pytest.mark.parametrize("market", Market)
def test_mutated_text_gives_an_error_or_the_right_minutes(
    tmp_path: Path, market: Market, seed: int
) -> None:
    file = trades_file(market)
    base = as_text(make_lines(file, 30, seed))
    for case in range(250):
        _hold(tmp_path, file, mutate(base, random.Random(seed * 1_000 + case)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(CASES))
def test_mutated_real_rows_give_an_error_or_the_right_minutes(
    tmp_path: Path, real: Path, seed: int
) -> None:
    file = trades_file(Market.CM, "2026-05-08")
    with zipfile.ZipFile(REAL_DAY) as archive:
        lines = archive.read(archive.namelist()[0]).splitlines(keepends=True)
    rng = random.Random(seed)
    for case in range(250):
        start = rng.randrange(1, len(lines) - 30)
        header = lines[:1] if case % 2 else []
        _hold(tmp_path, file, mutate(b"".join([*header, *lines[start : start + 30]]), rng))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(CASES))
def test_mutated_zip_gives_an_error_or_the_same_minutes(
    tmp_path: Path, read: Read, seed: int
) -> None:
    path, whole = _whole(tmp_path)
    sound = read(path, FILE)
    rng = random.Random(seed)
    for _ in range(250):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 4))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
        try:
            result = read(path, FILE)
        except PipelineError:
            continue
        assert_frame_equal(result.frame, sound.frame, check_exact=True)


_START = FILE.period.start_us // 1000
_whole_numbers = st.integers(-(10**15), 10**15).map(str)
_decimals = st.one_of(
    st.decimals(0, 10**9, places=8).map(str),
    st.from_regex(r"[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
)


@st.composite
def _rows(draw: Callable[..., str]) -> str:
    first = draw(st.integers(0, 10**12))
    fields = [
        draw(st.one_of(st.integers(0, 40).map(str), _whole_numbers)),
        draw(_decimals),
        draw(_decimals),
        str(first),
        str(int(first) + int(draw(st.integers(0, 3)))),
        str(_START + int(draw(st.integers(0, 300_000)))),
        draw(st.sampled_from(("true", "false", "True", "False", "TRUE", "FALSE"))),
    ]
    return ",".join(fields)


@pytest.mark.slow
@settings(
    max_examples=1_500 if SOAK else 400,
    derandomize=not SOAK,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(_rows(), max_size=12), st.sampled_from(("\n", "\r\n")), st.binary(max_size=6))
def test_rows_of_any_values_give_an_error_or_the_right_minutes(
    tmp_path: Path, rows: list[str], end: str, tail: bytes
) -> None:
    text = as_text(["0,1.0,1.0,0,0," + str(_START) + ",true", *rows], end)
    _hold(tmp_path, FILE, text)
    _hold(tmp_path, FILE, text + tail)
