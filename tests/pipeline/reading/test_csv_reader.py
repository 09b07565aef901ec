from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import BadHeader, BadRow, BadZip, OutsidePeriod, RawError
from alphaqcm.pipeline.reading.csv_reader import known_delay, read_archive, read_csv
from tests.helpers.zips import bar, csv_text, write_zip

KLINES = ArchiveFile.parse("data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02-01.zip")
SPOT = ArchiveFile.parse("data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-02-01.zip")
TRADES = ArchiveFile.parse("data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2025-02-01.zip")
FUNDING = ArchiveFile.parse(
    "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-02.zip"
)
LIQUIDATIONS = ArchiveFile.parse(
    "data/futures/cm/daily/liquidationSnapshot/BTCUSD_PERP/"
    "BTCUSD_PERP-liquidationSnapshot-2024-10-01.zip"
)
METRICS_END = ArchiveFile.parse(
    "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2026-06-24.zip"
)
METRICS_START = ArchiveFile.parse(
    "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2026-06-25.zip"
)
START = KLINES.period.start_us // 1000
START_OF_TRADES = TRADES.period.start_us
MINUTE = 60_000


def minutes(count: int, start: int = START) -> list[list[object]]:
    return [bar(start + n * MINUTE) for n in range(count)]


def metrics_rows(day: str, *, first: int, count: int = 288) -> list[list[object]]:
    moment = datetime.fromisoformat(day)
    labels = [moment + timedelta(minutes=5 * (first + n)) for n in range(count)]
    return [[f"{label:%Y-%m-%d %H:%M:%S}", "BTCUSDT", 1, 2, 3, 4, 5, 6] for label in labels]


def test_header_is_told_from_data_by_its_first_character() -> None:
    with_header = read_csv(csv_text(KLINES, minutes(3)).encode(), KLINES)
    without = read_csv(csv_text(KLINES, minutes(3), header=False).encode(), KLINES)
    assert (with_header.has_header, without.has_header) == (True, False)
    assert with_header.frame.equals(without.frame)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_a_missing_last_one(end: str) -> None:
    text = csv_text(METRICS_END, metrics_rows("2026-06-24", first=1), end=end)
    whole = read_csv(text.encode(), METRICS_END)
    cut = read_csv(text.removesuffix(end).encode(), METRICS_END)
    assert whole.rows == 288
    assert whole.frame.equals(cut.frame)
    assert whole.frame["sum_taker_long_short_vol_ratio"].null_count() == 0


def test_milliseconds_and_microseconds_are_told_by_magnitude() -> None:
    start = SPOT.period.start_us
    millis = read_csv(csv_text(SPOT, [bar(start // 1000)], header=False).encode(), SPOT)
    micros = read_csv(csv_text(SPOT, [bar(start)], header=False).encode(), SPOT)
    assert (
        millis.frame["open_time"][0]
        == micros.frame["open_time"][0]
        == datetime(2025, 2, 1, tzinfo=UTC)
    )


@pytest.mark.parametrize(("true", "false"), [("true", "false"), ("True", "False")])
def test_boolean_spellings(true: str, false: str) -> None:
    start = TRADES.period.start_us
    rows = [[1, 10, 1, 1, 1, start, true, true], [2, 10, 1, 2, 2, start, false, true]]
    frame = read_csv(csv_text(TRADES, rows, header=False).encode(), TRADES).frame
    assert frame["is_buyer_maker"].to_list() == [True, False]


QUOTED_METRICS = (  # as Binance wrote it into BTCUSD_PERP-metrics-2023-06-25
    b'2023-06-25 00:00:00,BTCUSD_PERP,5578700.00000000,18265.00911826,"","","",0.00855776\n'
)


def test_a_real_metrics_row_with_quoted_empty_fields_is_read() -> None:
    key = "data/futures/cm/daily/metrics/BTCUSD_PERP/BTCUSD_PERP-metrics-2023-06-24.zip"
    row = read_csv(QUOTED_METRICS, ArchiveFile.parse(key)).frame.row(0, named=True)
    assert row == {
        "create_time": datetime(2023, 6, 25, tzinfo=UTC),
        "symbol": "BTCUSD_PERP",
        "sum_open_interest": 5_578_700.0,
        "sum_open_interest_value": 18265.00911826,
        "count_toptrader_long_short_ratio": None,
        "sum_toptrader_long_short_ratio": None,
        "count_long_short_ratio": None,
        "sum_taker_long_short_vol_ratio": 0.00855776,
    }


EVERY_TYPE = {
    KLINES: lambda: minutes(3),
    TRADES: lambda: [[1, 10.5, 1, 1, 1, TRADES.period.start_us, True, True]],
    FUNDING: lambda: [[FUNDING.period.start_us // 1000 + 3, 8, 0.0001]],
    METRICS_END: lambda: metrics_rows("2026-06-24", first=1, count=3),
    LIQUIDATIONS: lambda: [
        [LIQUIDATIONS.period.start_us // 1000, "SELL", "LIMIT", "IOC", 3, 1.5, 1.5, "FILLED", 3, 3]
    ],
}


@pytest.mark.parametrize("file", EVERY_TYPE, ids=lambda file: file.series.type.value)
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quoted_fields_are_read_as_plain_ones(file: ArchiveFile, header: bool, end: str) -> None:
    plain = csv_text(file, EVERY_TYPE[file](), header=header, end=end)
    lines = [",".join(f'"{text}"' for text in line.split(",")) for line in plain.split(end)[:-1]]
    found = read_csv((end.join(lines) + end).encode(), file)
    wanted = read_csv(plain.encode(), file)
    assert found.frame.equals(wanted.frame)
    assert (found.rows, found.has_header) == (wanted.rows, header)


@pytest.mark.parametrize("text", ['"10', '1"0"', '""10""', '"abc"'])
def test_a_field_that_is_no_number_without_its_quotes_is_told_with_line_and_byte(text: str) -> None:
    rows = minutes(3)
    rows[1][0] = f'"{rows[1][0]}"'
    rows[2][1] = text
    lines = csv_text(KLINES, rows).splitlines(keepends=True)
    with pytest.raises(BadRow) as caught:
        read_csv("".join(lines).encode(), KLINES)
    assert f"line 4 (byte {len(''.join(lines[:3]))})" in str(caught.value)


def test_foreign_header_is_an_error() -> None:
    text = csv_text(KLINES, minutes(1)).replace("open_time", "time")
    with pytest.raises(BadHeader, match="open_time"):
        read_csv(text.encode(), KLINES)


def test_permuted_header_names_the_columns_of_funding_and_metrics() -> None:
    start = FUNDING.period.start_us // 1000
    text = f"last_funding_rate,calc_time,funding_interval_hours\n0.0001,{start},8\n"
    frame = read_csv(text.encode(), FUNDING).frame
    assert frame.columns == ["calc_time", "funding_interval_hours", "last_funding_rate"]
    assert frame.row(0)[1:] == (8.0, 0.0001)


def test_permuted_header_of_klines_is_an_error() -> None:
    text = csv_text(KLINES, minutes(1)).replace("open,high", "high,open", 1)
    with pytest.raises(BadHeader):
        read_csv(text.encode(), KLINES)


def test_rows_outside_the_period_are_left_out_and_counted() -> None:
    reading = read_csv(csv_text(KLINES, minutes(1441)).encode(), KLINES)
    assert (reading.rows, reading.outside, reading.frame.height) == (1441, 1, 1440)


def test_more_than_one_percent_outside_is_a_wrong_file() -> None:
    with pytest.raises(OutsidePeriod, match="next:"):
        read_csv(csv_text(KLINES, minutes(1460)).encode(), KLINES)


def test_metrics_labelled_by_period_end_until_the_change() -> None:
    text = csv_text(METRICS_END, metrics_rows("2026-06-24", first=1))
    reading = read_csv(text.encode(), METRICS_END)
    assert (reading.outside, known_delay(METRICS_END)) == (0, timedelta())
    assert reading.frame["create_time"][-1] == datetime(2026, 6, 25, tzinfo=UTC)


def test_metrics_labelled_by_period_start_from_the_change() -> None:
    text = csv_text(METRICS_START, metrics_rows("2026-06-25", first=0))
    reading = read_csv(text.encode(), METRICS_START)
    assert (reading.outside, known_delay(METRICS_START)) == (0, timedelta(minutes=5))


def test_missing_and_infinite_decimals_become_null() -> None:
    rows = [[*bar(START)], [*bar(START + MINUTE)], [*bar(START + 2 * MINUTE)]]
    rows[0][1], rows[1][1], rows[2][1] = "", "NaN", "inf"
    frame = read_csv(csv_text(KLINES, rows).encode(), KLINES).frame
    assert frame["open"].to_list() == [None, None, None]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1,2,3", "12 fields"),
        (",".join("1" * 13), "12 fields"),
        ("x" + ",1" * 11, "open_time to be epoch"),
        (f"{START},1,abc" + ",1" * 9, "high to be decimal"),
        (f"{START},1,1,1,1,1,1,1,1.5,1,1,0", "count to be int"),
        ("", "12 fields"),
    ],
)
def test_bad_row_is_named_with_its_line_and_byte(line: str, expected: str) -> None:
    head = csv_text(KLINES, minutes(2))
    text = f"{head}{line}\n" + csv_text(KLINES, minutes(1, START + 9 * MINUTE), header=False)
    with pytest.raises(BadRow, match=expected) as error:
        read_csv(text.encode(), KLINES)
    assert f"line 4 (byte {len(head)})" in str(error.value)


def test_header_alone_is_an_empty_reading() -> None:
    assert read_csv(csv_text(KLINES, []).encode(), KLINES).frame.is_empty()


def test_one_csv_beside_macosx_members(tmp_path: Path) -> None:
    text = csv_text(KLINES, minutes(2))
    path = write_zip(tmp_path, KLINES, text, **{"__MACOSX/._a.csv": "x"})
    assert read_archive(path, KLINES).rows == 2


def test_second_csv_is_an_error_that_names_both(tmp_path: Path) -> None:
    path = write_zip(tmp_path, KLINES, csv_text(KLINES, minutes(1)), **{"sub/other.csv": "1"})
    with pytest.raises(BadZip, match=r"BTCUSDT-1m-2024-02-01.csv, sub/other.csv"):
        read_archive(path, KLINES)


def test_zip_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    path = write_zip(tmp_path, KLINES, csv_text(KLINES, minutes(50)))
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(BadZip):
            read_archive(path, KLINES)


def test_flipped_byte_never_passes(tmp_path: Path) -> None:
    path = write_zip(tmp_path, KLINES, csv_text(KLINES, minutes(50)))
    whole = bytearray(path.read_bytes())
    good = read_archive(path, KLINES).frame
    for position in range(60, len(whole), 41):
        torn = bytearray(whole)
        torn[position] ^= 0x10
        path.write_bytes(torn)
        try:
            assert read_archive(path, KLINES).frame.equals(good)  # a byte that carries nothing
        except RawError as error:
            assert str(path) in str(error)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_a_typed_error(data: bytes) -> None:
    try:
        frame = read_csv(data, KLINES).frame
    except RawError:
        return
    assert frame.height <= data.count(b"\n") + 1


def test_every_real_file_reads(real: Path) -> None:
    root = real / "archive"
    for path in sorted(root.rglob("*.zip")):
        file = ArchiveFile.parse(str(path.relative_to(root)))
        reading = read_archive(path, file)
        assert reading.outside == 0, path
        assert reading.rows > 0, path
        assert reading.has_header == (file.series.market is not Market.SPOT), path


def test_real_spot_hours_are_microseconds(real: Path) -> None:
    key = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2026-05-08.zip"
    frame = read_archive(real / "archive" / key, ArchiveFile.parse(key)).frame
    assert frame["open_time"].to_list() == [
        datetime(2026, 5, 8, hour, tzinfo=UTC) for hour in range(24)
    ]


def test_real_liquidations_stand_twice(real: Path) -> None:
    key = (
        "data/futures/cm/daily/liquidationSnapshot/BTCUSD_PERP/"
        "BTCUSD_PERP-liquidationSnapshot-2024-10-01.zip"
    )
    frame = read_archive(real / "archive" / key, ArchiveFile.parse(key)).frame
    assert frame.height == 14
    assert frame.unique().height == 7


def test_real_close_time_beside_an_outage_is_not_used(real: Path) -> None:
    key = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2020-12.zip"
    reading = read_archive(real / "archive" / key, ArchiveFile.parse(key))
    opened = reading.frame["open_time"].dt.timestamp("ms")
    closes_early = reading.frame.filter(pl.col("close_time") < opened)
    assert closes_early["open_time"].to_list() == [datetime(2020, 12, 21, 14, tzinfo=UTC)]
    assert reading.outside == 0


@pytest.mark.parametrize(
    ("at", "value", "column"),
    [
        (0, "yesterday", "create_time"),
        (0, "2026-06-24 25:00:00", "create_time"),
        (2, "many", "sum_open_interest"),
        (3, "1.5.2", "sum_open_interest_value"),
    ],
)
def test_the_field_that_cannot_be_read_is_named(at: int, value: str, column: str) -> None:
    rows = metrics_rows("2026-06-24", first=1)
    rows[7][at] = value
    with pytest.raises(BadRow) as raised:
        read_csv(csv_text(METRICS_END, rows).encode(), METRICS_END)
    assert column in str(raised.value)
    assert value in str(raised.value)


def test_a_truth_value_that_is_none_is_named() -> None:
    rows = [[n, "1.0", "2.0", n, n, START_OF_TRADES + n, "True", "maybe"] for n in range(3)]
    with pytest.raises(BadRow, match=r"is_best_match to be .*found 'maybe'"):
        read_csv(csv_text(TRADES, rows).encode(), TRADES)
