"""Values that no exchange writes: a file is read or refused with a typed error, nothing else."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, HourRule, Kind, Market, Partition, spec_of
from alphaqcm.pipeline.errors import BadRow, OutsidePeriod, RawError
from alphaqcm.pipeline.reading.csv_reader import read_csv
from alphaqcm.pipeline.reading.month_file import assemble, read_file_rows
from alphaqcm.pipeline.tables.hourly import hourly_frame
from tests.helpers.zips import bar, csv_text, write_zip

DAY = date(2024, 2, 1)
SPAN = DateRange(DAY, date(2024, 2, 2))
KLINES = Series(Market.UM, DataType.KLINES, "BTCUSDT", "1m").file(Period.day(DAY))
START = KLINES.period.start_us // 1000

NONSENSE = [
    "0", "-1", "1704067200000000000", "9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "1" * 400, "1e308", "-1e308", "1e-320", "1e400", "nan", "-inf",
    "2024-02-01 00:00:00", "9999-12-31 23:59:59", "0000-00-00 00:00:00", "+10000-01-01 00:00:00",
    "-0001-01-01 00:00:00", "true", "", " ", "１２", "\x00", "\x1b[31m", "0x10", "1_000",
    "253402300800000", "253402300799999999", "-62135596800001",
]  # fmt: skip


def usual(file: ArchiveFile, number: int) -> list[str]:
    """A sound row of any type, the `number`-th of its day."""
    moment = START + number * 300_000 + 1000 * (file.series.type is DataType.METRICS)
    row = []
    for column in spec_of(file.series.type).columns_in(file.series.market):
        if column.kind is Kind.EPOCH:
            row.append(str(moment))
        elif column.kind is Kind.CLOCK:
            row.append(f"2024-02-01 {number // 12:02}:{number % 12 * 5:02}:01")
        elif column.kind is Kind.BOOL:
            row.append("true")
        elif column.kind is Kind.TEXT:
            row.append("BTCUSDT")
        else:
            row.append(str(number + 1))
    return row


def archive_file(data_type: DataType) -> ArchiveFile:
    spec = spec_of(data_type)
    interval = "1h" if spec.has_interval and data_type is not DataType.KLINES else ""
    market = Market.UM if Market.UM in spec.markets else spec.markets[0]
    interval = interval or ("1m" if spec.has_interval else "")
    series = Series(market, data_type, "BTCUSDT", interval)
    is_daily = Partition.DAILY in spec.partitions
    return series.file(Period.day(DAY) if is_daily else Period.month(DAY))


def through(folder: Path, file: ArchiveFile, rows: list[list[str]]) -> None:
    """The file's whole way into its layers; only a `RawError` may end it."""
    try:
        part = read_file_rows(write_zip(folder, file, csv_text(file, rows)), file)
    except RawError as error:
        assert len(str(error)) < 2000
        return
    part.ends(), part.days()
    if spec_of(file.series.type).hour_rule is HourRule.NONE:
        return  # only read and checked
    month = assemble([part]).frame
    if file.series.interval != "1m":
        hourly_frame(file.series.type, [month], SPAN)


SHAPES = [DataType(name) for name in ("klines", "aggTrades", "fundingRate", "metrics")]


@pytest.mark.slow
@pytest.mark.parametrize("data_type", [*SHAPES, DataType("liquidationSnapshot")])
def test_no_value_of_any_field_is_more_than_a_typed_error(
    tmp_path: Path, data_type: DataType
) -> None:
    file = archive_file(data_type)
    sound = [usual(file, number) for number in range(24)]
    through(tmp_path, file, sound)
    for place in range(len(sound[0])):
        for text in NONSENSE:
            for struck in (range(24), (5,)):  # the whole column, and one row of it
                rows = [list(row) for row in sound]
                for number in struck:
                    rows[number][place] = text
                through(tmp_path, file, rows)


def times(*values: object) -> str:
    """A klines file with these open times."""
    return csv_text(KLINES, [[value, *bar(0)[1:]] for value in values])


@pytest.mark.parametrize(
    "value", [1704067200000000000, 2**63 - 1, -1, -(2**63), -18446744072005484416 + 2**63]
)
def test_an_epoch_that_is_none_lies_outside_and_is_told_as_it_is(value: int) -> None:
    with pytest.raises(OutsidePeriod, match=rf"the first open_time is {value}$|is {value};"):
        read_csv(times(value).encode(), KLINES)


def test_a_negative_epoch_does_not_wrap_to_a_time_of_the_period() -> None:
    # times 1,000 and cut to 64 bits this is the first minute of the day
    wrapped = next(
        (START * 1000 + turn * 2**64) // 1000
        for turn in range(-1, -2000, -1)
        if (START * 1000 + turn * 2**64) % 1000 == 0 and START * 1000 + turn * 2**64 > -(2**73)
    )
    assert -(2**63) <= wrapped < 0
    with pytest.raises(OutsidePeriod):
        read_csv(times(wrapped).encode(), KLINES)


def test_one_time_outside_of_a_whole_day_is_left_out_and_counted() -> None:
    rows = [START + 60_000 * n for n in range(1440)]
    read = read_csv(times(*rows[:-1], 2**63 - 1).encode(), KLINES)
    assert (read.rows, read.outside) == (1440, 1)


def test_what_polars_panics_at_is_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def panic(*_: object) -> None:
        raise pl.exceptions.PanicException("a fault met in the data")

    monkeypatch.setattr("alphaqcm.pipeline.reading.csv_reader._typed", panic)
    path = write_zip(tmp_path, KLINES, times(START))
    with pytest.raises(RawError, match="PanicException: a fault met in the data"):
        read_file_rows(path, KLINES)


COMMAS = """
import resource, sys
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.errors import RawError
from alphaqcm.pipeline.reading.csv_reader import read_csv
file = ArchiveFile.parse(sys.argv[1])
data = {text}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_csv(data, file)
except RawError as error:
    print(str(error)[:300])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("b',' * 100_000_000", "found ,,,"),
        ("b'1' + b',' * 100_000_000", "expected 12 fields"),
        ("(b'1' + b',' * 11 + b'\\n') * 7_700_000", "expected at most 2000000 rows"),
        ("b'1' + b'\\n' * 100_000_000", "expected 12 fields"),
        ("b'1,2,3,4,5,6,7,8,9,0,1,2\\n' * 10 + b',' * 90_000_000", "expected 12 fields"),
    ],
)
def test_a_hundred_megabytes_of_commas_cost_little_more_than_their_bytes(
    text: str, told: str
) -> None:
    command = [sys.executable, "-c", COMMAS.format(text=text), KLINES.key]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, grown = done.stdout.splitlines()
    assert told in found
    assert int(grown) < 80  # MB


@pytest.mark.parametrize("at", [0, 1, 4999, 40_000, 99_999])
@pytest.mark.parametrize("fields", [11, 13])
def test_the_line_with_a_field_too_many_or_too_few_is_named_in_any_block(
    at: int, fields: int
) -> None:
    lines = [",".join(map(str, bar(START))).encode() for _ in range(100_000)]
    lines[at] = b",".join([b"7"] * fields)
    data = b"\n".join(lines)
    start = sum(len(line) + 1 for line in lines[:at])
    with pytest.raises(BadRow) as caught:
        read_csv(data, KLINES)
    assert f"line {at + 1} (byte {start}); expected 12 fields" in str(caught.value)
    assert f"found {fields}: '7,7" in str(caught.value)
