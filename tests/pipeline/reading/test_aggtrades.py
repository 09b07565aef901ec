"""aggTrades to minutes: right against exact readings, on real files, in every order of the rows."""

from __future__ import annotations

import json
import random
import re
import resource
import zipfile
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market, contract_usd
from alphaqcm.pipeline.errors import BadHeader, LayerError, OutsidePeriod, RawError
from alphaqcm.pipeline.reading.aggtrades import (
    AggMinutes,
    Amounts,
    Thresholds,
    aggregate_file,
    merge,
)
from alphaqcm.pipeline.reading.aggtrades.minutes import MinuteSink
from alphaqcm.pipeline.reading.aggtrades.model import SCHEMA
from alphaqcm.pipeline.reading.aggtrades.reader import read_rows
from alphaqcm.pipeline.reading.aggtrades.sorted_path import RowSink, sum_sorted
from alphaqcm.pipeline.reading.csv_reader import read_archive
from alphaqcm.pipeline.reading.zip_member import open_member
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint
from tests.helpers.aggtrades_oracle import (
    HEADER,
    as_text,
    differences,
    expect,
    make_lines,
    trades_file,
)
from tests.helpers.zips import write_zip

REAL_DAY = "futures/cm/daily/aggTrades/BTCUSD_PERP/BTCUSD_PERP-aggTrades-2026-05-08.zip"
FUTURES_HEADER = HEADER.removesuffix(",is_best_match")
KLINES = {  # minute's column, kline's column
    "base_volume": "volume",
    "quote_volume": "quote_volume",
    "taker_buy_qty": "taker_buy_volume",
    "taker_buy_quote": "taker_buy_quote_volume",
    "raw_trade_count": "count",
    "price_first": "open",
    "price_high": "high",
    "price_low": "low",
    "price_last": "close",
}


def _check(folder: Path, file: ArchiveFile, text: bytes) -> AggMinutes:
    """Read `text` as `file` and hold it against the exact reading."""
    result = aggregate_file(write_zip(folder, file, text), file)
    assert not differences(result, expect(text, file))
    return result


def _text(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0])


# ---- against exact readings


@pytest.mark.slow
def test_real_coin_margined_day_equals_the_decimal_reading(real: Path) -> None:
    path = real / "archive/data" / REAL_DAY
    file = ArchiveFile.parse("data/" + REAL_DAY)

    result = aggregate_file(path, file)

    assert not differences(result, expect(_text(path), file))
    assert result.counters.rows == 105_280
    assert list(result.frame.schema.items()) == list(SCHEMA.items())


def test_real_coin_margined_trades_are_in_dollars_and_coins(real: Path) -> None:
    """A contract of BTCUSD_PERP is 100 USD, whatever the price."""
    path = real / "archive/data" / REAL_DAY
    frame = aggregate_file(path, ArchiveFile.parse("data/" + REAL_DAY)).frame
    rows = [line.split(b",") for line in _text(path).splitlines()[1:]]
    contracts = [int(float(row[2])) for row in rows]
    coins = sum(100 * count / float(row[1]) for count, row in zip(contracts, rows, strict=True))
    assert frame["quote_volume"].sum() == 100 * sum(contracts)
    assert frame["base_volume"].sum() == pytest.approx(coins, rel=1e-12)
    sides = frame["whale_buy_quote"].sum() + frame["whale_sell_quote"].sum()
    assert sides == 100 * sum(count for count in contracts if count >= 500)
    sides = frame["retail_buy_quote"].sum() + frame["retail_sell_quote"].sum()
    assert sides == 100 * sum(count for count in contracts if count <= 10)


@pytest.mark.parametrize("symbol", ["BTCUSD_PERP", "BTCUSD_240628", "ETHUSD_PERP", "BCHUSD_PERP"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_contracts_become_amounts_in_any_order(tmp_path: Path, symbol: str, shuffled: bool) -> None:
    file = Series(Market.CM, DataType.AGGTRADES, symbol).file(Period.parse("2024-02-28"))
    lines = make_lines(file, 1_500)
    if shuffled:
        random.Random(5).shuffle(lines)
    _check(tmp_path, file, as_text(lines))


def test_contract_sizes_are_those_that_the_exchange_tells(real: Path) -> None:
    text = (real / "rest/capture_exchangeInfo.cm.json").read_text()
    told = re.findall(r'"symbol":"([^"]+)".*?"contractSize":(\d+)', text)
    assert len(told) == 36
    assert {symbol: contract_usd(Market.CM, symbol) for symbol, _ in told} == {
        symbol: float(size) for symbol, size in told
    }


def test_real_trades_equal_the_official_minutes(real: Path, tmp_path: Path) -> None:
    """1,000 consecutive spot trades; the seven whole minutes against Binance's own klines."""
    trades = json.loads((real / "rest/api_v3_aggTrades.BTCUSDT.fromId202790190.json").read_bytes())
    lines = [
        f"{t['a']},{t['p']},{t['q']},{t['f']},{t['l']},{t['T']},{t['m']},{t['M']}" for t in trades
    ]
    file = trades_file(Market.SPOT, "2020-01-02")
    minutes = _check(tmp_path, file, as_text(lines)).frame[1:-1]
    key = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2020-01-02.zip"
    klines = read_archive(real / "archive" / key, ArchiveFile.parse(key)).frame

    assert minutes.height == 7
    _agree(minutes, klines)


def _agree(minutes: pl.DataFrame, klines: pl.DataFrame) -> None:
    both = minutes.join(klines, left_on="minute", right_on="open_time", how="left", suffix="_bar")
    for mine, theirs in KLINES.items():
        name = theirs if theirs not in minutes.columns else f"{theirs}_bar"
        official, own = both[name], both[mine]
        assert official.null_count() == 0
        exact = own.dtype == pl.Int64 or mine.startswith("price")
        off = ((own - official).abs() / official.abs().clip(1e-300, None)).max()
        assert off == 0 if exact else off is None or float(str(off)) < 1e-12, mine


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five days up to 2024-02-29, aggTrades and klines."""
    root = tmp_path_factory.mktemp("sample")
    types = (DataType.AGGTRADES, DataType.KLINES)
    write_sample(root, SampleSpec(symbols=("BTCUSDT",), days=5, trades_per_day=6_000, types=types))
    return root


def _trades(root: Path, period: Period, market: Market = Market.UM) -> AggMinutes:
    file = Series(market, DataType.AGGTRADES, "BTCUSDT").file(period)
    return aggregate_file(root / file.key, file)


def test_sample_month_equals_the_decimal_reading(sample: Path) -> None:
    file = Series(Market.UM, DataType.AGGTRADES, "BTCUSDT").file(Period.parse("2024-02"))
    result = aggregate_file(sample / file.key, file)
    assert not differences(result, expect(_text(sample / file.key), file))


def test_sample_minutes_equal_the_klines_of_the_same_trades(sample: Path) -> None:
    minutes = _trades(sample, Period.parse("2024-02")).frame
    file = Series(Market.UM, DataType.KLINES, "BTCUSDT", "1m").file(Period.parse("2024-02"))
    _agree(minutes, read_archive(sample / file.key, file).frame)


# ---- a month from days


def test_month_from_its_days_equals_the_monthly_file(sample: Path) -> None:
    days = [Period.day(date(2024, 2, 25) + timedelta(days=n)) for n in range(5)]
    whole = _trades(sample, Period.parse("2024-02"))

    joined = merge([_trades(sample, day) for day in reversed(days)])

    assert_frame_equal(joined.frame, whole.frame, check_exact=True)
    assert joined.counters == whole.counters
    assert joined.days == whole.days == tuple(day.start for day in days)


def test_day_that_the_month_lacks_is_filled_from_its_own_file(sample: Path, tmp_path: Path) -> None:
    file = Series(Market.UM, DataType.AGGTRADES, "BTCUSDT").file(Period.parse("2024-02"))
    whole = aggregate_file(sample / file.key, file)
    day = Period.day(date(2024, 2, 27))
    outside = [
        line
        for line in _text(sample / file.key).splitlines(keepends=True)
        if not line[:1].isdigit()
        or not day.start_us <= int(line.split(b",")[5]) * 1000 < day.end_us
    ]
    lacking = aggregate_file(write_zip(tmp_path, file, b"".join(outside)), file)
    assert lacking.counters.id_gaps == whole.counters.id_gaps + 1

    patched = merge([lacking, _trades(sample, day)])

    assert_frame_equal(patched.frame, whole.frame, check_exact=True)
    assert patched.counters == whole.counters


def test_same_day_from_two_files_is_refused(sample: Path) -> None:
    whole = _trades(sample, Period.parse("2024-02"))
    with pytest.raises(RawError, match="2024-02-27"):
        merge([whole, _trades(sample, Period.parse("2024-02-27"))])


def test_nothing_merged_is_an_empty_frame() -> None:
    assert list(merge([]).frame.schema.items()) == list(SCHEMA.items())


# ---- order and doubled rows


ORDERS = {
    "reversed": lambda lines: lines[::-1],
    "shuffled": lambda lines: random.Random(5).sample(lines, len(lines)),
    "two halves changed": lambda lines: lines[len(lines) // 2 :] + lines[: len(lines) // 2],
    "neighbours swapped": lambda lines: [
        line for pair in zip(lines[1::2], lines[::2], strict=True) for line in pair
    ],
}


@pytest.mark.parametrize("order", ORDERS)
def test_order_of_the_rows_changes_nothing(tmp_path: Path, order: str) -> None:
    file = trades_file()
    lines = make_lines(file, 2_000)
    straight = _check(tmp_path, file, as_text(lines))
    assert straight.counters.sorted_files == 0

    result = _check(tmp_path, file, as_text(ORDERS[order](lines)))

    assert_frame_equal(result.frame, straight.frame, check_exact=True)
    assert replace(result.counters, out_of_order=0, sorted_files=0) == straight.counters


@pytest.mark.parametrize("distance", [0, 1, 700])
def test_doubled_rows_count_once(tmp_path: Path, distance: int) -> None:
    file = trades_file()
    lines = make_lines(file, 2_000)
    straight = _check(tmp_path, file, as_text(lines))
    doubled = list(lines)
    for at in (1_500, 900, 1):
        doubled.insert(at + 1 + distance if at + 1 + distance < len(lines) else at, lines[at])

    result = _check(tmp_path, file, as_text(doubled))

    assert result.counters.duplicates == 3
    assert_frame_equal(result.frame, straight.frame, check_exact=True)


def test_doubled_row_in_another_spelling_counts_once(tmp_path: Path) -> None:
    file = trades_file()
    start = file.period.start_us // 1000
    lines = [
        f"1,100.5,0.25,7,7,{start},true",
        f"1,1.005e2,25E-2,7,7,{start},True",
        f"0001,{'0' * 20}100.50,0.250000000000000000000,7,7,{start * 1000},TRUE",
    ]
    result = _check(tmp_path, file, as_text(lines))
    assert result.counters.duplicates == 2
    assert result.frame["trade_count"].sum() == 1


def test_rows_that_share_only_the_id_all_count(tmp_path: Path) -> None:
    file = trades_file()
    start = file.period.start_us // 1000
    lines = [f"7,100.0,{n}.0,{n},{n},{start + n},true" for n in (1, 2, 3)]
    result = _check(tmp_path, file, as_text(lines))
    assert result.frame["trade_count"].sum() == 3
    assert result.counters.shared_ids == 2


def test_interleaved_id_streams_are_ordered_by_time(tmp_path: Path) -> None:
    file = trades_file()
    lines = make_lines(file, 1_000)
    for at in range(1, 1_000, 2):
        number, rest = lines[at].split(",", 1)
        lines[at] = f"{int(number) + 5_000_000},{rest}"
    result = _check(tmp_path, file, as_text(lines))
    assert result.counters.largest_gap > 4_000_000


def test_first_and_last_of_a_minute_go_by_id_within_a_millisecond(tmp_path: Path) -> None:
    file = trades_file()
    start = file.period.start_us // 1000
    lines = [f"{n},{n}.5,1.0,{n},{n},{start},false" for n in (3, 1, 4, 2)]
    frame = _check(tmp_path, file, as_text(lines)).frame
    assert (frame["price_first"][0], frame["price_last"][0]) == (1.5, 4.5)


@pytest.mark.parametrize("run_rows", [1, 3_000])
def test_rows_that_do_not_fit_into_memory_go_over_disk(tmp_path: Path, run_rows: int) -> None:
    file = trades_file()
    lines = make_lines(file, 5_000)
    text = as_text(random.Random(3).sample(lines + lines[:50], 5_050))
    expected = expect(text, file)
    path = write_zip(tmp_path, file, text)
    with closing(RowSink(file.period, tmp_path, run_rows)) as sink:
        read_rows(open_member(path), file, sink)
        sums, _, duplicates = sum_sorted(sink, file.period, Amounts(), stretch_rows=400)
    assert duplicates == 50
    assert sums.frame["trade_count"].sum() == 5_000
    straight = aggregate_file(write_zip(tmp_path, file, as_text(lines)), file)
    assert_frame_equal(sums.frame, straight.frame, check_exact=True)
    assert sink.out_of_order == expected.counters["out_of_order"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]  # nothing is left on disk


def test_full_disk_under_the_sorted_rows_is_a_typed_error(tmp_path: Path) -> None:
    file = trades_file()
    path = write_zip(tmp_path, file, as_text(make_lines(file, 5_000)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(RowSink(file.period, tmp_path, run_rows=1_000)) as sink:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(LayerError, match=str(tmp_path)):
                read_rows(open_member(path), file, sink)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# ---- spellings


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
    bare = _check(tmp_path, file, as_text(lines, end))
    headed = _check(tmp_path, file, as_text(lines, end, header))
    unended = _check(tmp_path, file, as_text(lines, end).removesuffix(end.encode()))
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
    straight = _check(tmp_path, file, as_text(lines))
    assert_frame_equal(_check(tmp_path, file, as_text(mixed)).frame, straight.frame)


def test_spot_header_without_the_eighth_column(tmp_path: Path) -> None:
    file = trades_file(Market.SPOT)
    lines = [line.rsplit(",", 1)[0] for line in make_lines(file, 50)]
    assert _check(tmp_path, file, as_text(lines, header=FUTURES_HEADER)).counters.rows == 50


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
    frame = _check(tmp_path, file, as_text(lines)).frame
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
    frame = _check(tmp_path, file, as_text(lines)).frame
    assert frame["whale_buy_quote"][0] == 50_000
    assert frame["retail_buy_quote"][0] == 1_000


def test_thresholds_are_parameters(tmp_path: Path) -> None:
    file = trades_file()
    text = as_text(make_lines(file, 1_000))
    path = write_zip(tmp_path, file, text)
    result = aggregate_file(path, file, Thresholds(whale=100, retail=10))
    assert not differences(result, expect(text, file, whale=100, retail=10))


# ---- counters


def test_zero_quantities_are_rows_and_counted(tmp_path: Path) -> None:
    file = trades_file()
    start = file.period.start_us // 1000
    lines = [f"{n},10.0,{'0.0' if n % 2 else '1.0'},{n},{n},{start + n},true" for n in range(10)]
    result = _check(tmp_path, file, as_text(lines))
    assert result.counters.zero_quantities == 5
    assert result.frame["trade_count"][0] == 10


@pytest.mark.parametrize("shuffled", [False, True])
def test_missing_ids_are_counted(tmp_path: Path, shuffled: bool) -> None:
    file = trades_file()
    lines = make_lines(file, 1_000)
    kept = lines[:100] + lines[101:500] + lines[800:]
    if shuffled:
        random.Random(1).shuffle(kept)
    counters = _check(tmp_path, file, as_text(kept)).counters
    assert (counters.id_gaps, counters.single_skips) == (2, 1)
    assert (counters.missing_ids, counters.largest_gap) == (301, 300)


def test_few_rows_outside_the_period_are_left_out(tmp_path: Path) -> None:
    file = trades_file()
    lines = make_lines(file, 500)
    fields = lines[-1].split(",")
    late = ",".join(
        [str(int(fields[0]) + 1), *fields[1:5], str(file.period.end_us // 1000), "true"]
    )
    result = _check(tmp_path, file, as_text([*lines, late]))
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
    frame = _check(tmp_path, file, as_text(make_lines(file, 3_000, step_us=10**9))).frame
    path = tmp_path / "2024-02.parquet"

    Artifact(path, Fingerprint("month/aggTrades", 1, ())).write(frame, {})

    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups == 1
    assert metadata.row_group(0).column(1).compression == "ZSTD"
    assert_frame_equal(pl.read_parquet(path), frame, check_exact=True)
    assert all(before < after for before, after in pairwise(frame["minute"]))
