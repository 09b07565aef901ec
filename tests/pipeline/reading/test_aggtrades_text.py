"""aggTrades to minutes: every spelling of a row, and what is counted."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import BadHeader, OutsidePeriod
from alphaqcm.pipeline.reading.aggtrades import (
    Amounts,
    Thresholds,
    aggregate_file,
)
from alphaqcm.pipeline.reading.aggtrades.minutes import MinuteSink
from alphaqcm.pipeline.reading.aggtrades.model import SCHEMA
from alphaqcm.pipeline.reading.aggtrades.reader import read_rows
from alphaqcm.pipeline.reading.zip_member import open_member
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint
from tests.helpers.aggtrades_oracle import (
    HEADER,
    as_text,
    check,
    differences,
    expect,
    make_lines,
    trades_file,
)
from tests.helpers.zips import write_zip

FUTURES_HEADER = HEADER.removesuffix(",is_best_match")


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("piece", [1, 7, 64, 1_000])
def test_size_of_the_pieces_changes_nothing(tmp_path: Path, piece: int, ahead: bool) -> None:
    file = trades_file()
    text = as_text(make_lines(file, 300))
    path = write_zip(tmp_path, file, text)
    sink = MinuteSink(file.period, Amounts())
    read_rows(open_member(path), file, sink, piece, ahead=ahead)
    assert sink.rows == 300
    assert_frame_equal(sink.table.sums().frame, aggregate_file(path, file).frame, check_exact=True)


@pytest.mark.parametrize("market", Market)
@pytest.mark.parametrize("unit", [1, 1_000], ids=["us", "ms"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_every_market_unit_and_line_end(
    tmp_path: Path, market: Market, unit: int, end: str
) -> None:
    file = trades_file(market)
    lines = make_lines(file, 500, unit_us=unit)
    header = HEADER if market is Market.SPOT else FUTURES_HEADER
    bare = check(tmp_path, file, as_text(lines, end))
    headed = check(tmp_path, file, as_text(lines, end, header))
    unended = check(tmp_path, file, as_text(lines, end).removesuffix(end.encode()))
    assert bare.counters.sorted_files == 0
    assert_frame_equal(bare.frame, headed.frame, check_exact=True)
    assert_frame_equal(bare.frame, unended.frame, check_exact=True)


def test_units_are_told_row_by_row(tmp_path: Path) -> None:
    file = trades_file(Market.SPOT)
    lines = make_lines(file, 400, unit_us=1_000)
    mixed = [
        line if n % 3 else line.replace(line.split(",")[5], line.split(",")[5] + "000")
        for n, line in enumerate(lines)
    ]
    straight = check(tmp_path, file, as_text(lines))
    assert_frame_equal(check(tmp_path, file, as_text(mixed)).frame, straight.frame)


def test_spot_header_without_the_eighth_column(tmp_path: Path) -> None:
    file = trades_file(Market.SPOT)
    lines = [line.rsplit(",", 1)[0] for line in make_lines(file, 50)]
    assert check(tmp_path, file, as_text(lines, header=FUTURES_HEADER)).counters.rows == 50


NUMBERS = [
    *("0", "0.0", "1", "7.5", "0.00000001", "12345678", "123456789", "1234567.8", "12345678.9"),
    *("1E-7", "1e-7", "9.1E-7", "2.5e+3", "1e22", "12345678901234567890", "0.1234567890123456789"),
    *("9007199254740992", "9007199254740993", "9007199254740993.00000000", "123456789.00000000"),
    *("0." + "0" * 40 + "1", "0.1000000000000000055511151231257827021181583404541015625", "1e-300"),
    *("00000000000000000000.5", "99999999.99999999", "1.7976931348623157", "4.35", "0.3"),
]


@pytest.mark.parametrize("number", NUMBERS)
def test_every_spelling_of_a_number_is_read_to_the_nearest_double(
    tmp_path: Path, number: str
) -> None:
    file = trades_file()
    start = file.period.start_us // 1000
    lines = [f"1,{number},1.0,1,1,{start},true", f"2,1.0,{number},2,2,{start + 60_000},true"]
    frame = check(tmp_path, file, as_text(lines)).frame
    assert frame["price_first"][0] == float(number)
    assert frame["base_volume"][1] == float(number)


def test_random_decimals_are_read_to_the_nearest_double(tmp_path: Path) -> None:
    rng = random.Random(11)
    file = trades_file()
    start = file.period.start_us // 1000
    prices = [
        f"{rng.randrange(10 ** rng.randrange(1, 12))}.{rng.randrange(10 ** rng.randrange(1, 12))}"
        for _ in range(1_400)
    ]
    lines = [f"{n},{price},1.0,{n},{n},{start + n * 60_000},true" for n, price in enumerate(prices)]
    frame = aggregate_file(write_zip(tmp_path, file, as_text(lines)), file).frame
    assert frame["price_first"].to_list() == [float(price) for price in prices]


def test_thresholds_include_their_own_value(tmp_path: Path) -> None:
    file = trades_file()
    start = file.period.start_us // 1000
    amounts = ("49999.99", "50000.0", "1000.0", "1000.01")
    lines = [f"{n},{a},1.0,{n},{n},{start + n},false" for n, a in enumerate(amounts)]
    frame = check(tmp_path, file, as_text(lines)).frame
    assert frame["whale_buy_quote"][0] == 50_000
    assert frame["retail_buy_quote"][0] == 1_000


def test_thresholds_are_parameters(tmp_path: Path) -> None:
    file = trades_file()
    text = as_text(make_lines(file, 1_000))
    path = write_zip(tmp_path, file, text)
    result = aggregate_file(path, file, Thresholds(whale=100, retail=10))
    assert not differences(result, expect(text, file, whale=100, retail=10))


def test_zero_quantities_are_rows_and_counted(tmp_path: Path) -> None:
    file = trades_file()
    start = file.period.start_us // 1000
    lines = [f"{n},10.0,{'0.0' if n % 2 else '1.0'},{n},{n},{start + n},true" for n in range(10)]
    result = check(tmp_path, file, as_text(lines))
    assert result.counters.zero_quantities == 5
    assert result.frame["trade_count"][0] == 10


@pytest.mark.parametrize("shuffled", [False, True])
def test_missing_ids_are_counted(tmp_path: Path, shuffled: bool) -> None:
    file = trades_file()
    lines = make_lines(file, 1_000)
    kept = lines[:100] + lines[101:500] + lines[800:]
    if shuffled:
        random.Random(1).shuffle(kept)
    counters = check(tmp_path, file, as_text(kept)).counters
    assert (counters.id_gaps, counters.single_skips) == (2, 1)
    assert (counters.missing_ids, counters.largest_gap) == (301, 300)


def test_few_rows_outside_the_period_are_left_out(tmp_path: Path) -> None:
    file = trades_file()
    lines = make_lines(file, 500)
    fields = lines[-1].split(",")
    late = ",".join(
        [str(int(fields[0]) + 1), *fields[1:5], str(file.period.end_us // 1000), "true"]
    )
    result = check(tmp_path, file, as_text([*lines, late]))
    assert result.counters.outside_period == 1
    assert result.frame["trade_count"].sum() == 500


@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_of_another_day_are_an_error(tmp_path: Path, shuffled: bool) -> None:
    lines = make_lines(trades_file(stamp="2024-02-27"), 500)
    if shuffled:
        random.Random(1).shuffle(lines)
    file = trades_file()
    with pytest.raises(OutsidePeriod, match="500 of 500 rows"):
        aggregate_file(write_zip(tmp_path, file, as_text(lines)), file)


@pytest.mark.parametrize("text", [b"", (FUTURES_HEADER + "\n").encode(), FUTURES_HEADER.encode()])
def test_file_without_rows_has_no_minutes(tmp_path: Path, text: bytes) -> None:
    file = trades_file()
    result = aggregate_file(write_zip(tmp_path, file, text), file)
    assert result.frame.height == 0
    assert list(result.frame.schema.items()) == list(SCHEMA.items())


@pytest.mark.parametrize(
    "header", ["agg_trade_id,price", FUTURES_HEADER.upper(), HEADER, "a" * 5000]
)
def test_other_header_is_refused(tmp_path: Path, header: str) -> None:
    file = trades_file()
    path = write_zip(tmp_path, file, as_text(make_lines(file, 10), header=header))
    with pytest.raises(BadHeader):
        aggregate_file(path, file)


def test_parquet_is_one_zstd_row_group_and_reads_back_equal(tmp_path: Path) -> None:
    file = trades_file(stamp="2024-02")
    frame = check(tmp_path, file, as_text(make_lines(file, 3_000, step_us=10**9))).frame
    path = tmp_path / "2024-02.parquet"

    Artifact(path, Fingerprint("month/aggTrades", 1, ())).write(frame, {})

    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups == 1
    assert metadata.row_group(0).column(1).compression == "ZSTD"
    assert_frame_equal(pl.read_parquet(path), frame, check_exact=True)
    assert all(before < after for before, after in pairwise(frame["minute"]))
