"""aggTrades to minutes: right against exact readings, on real files and over many files."""

from __future__ import annotations

import json
import random
import re
import zipfile
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market, contract_usd
from alphaqcm.pipeline.errors import RawError
from alphaqcm.pipeline.reading.aggtrades import (
    AggMinutes,
    aggregate_file,
    merge,
)
from alphaqcm.pipeline.reading.aggtrades.model import SCHEMA
from alphaqcm.pipeline.reading.csv_reader import read_archive
from tests.helpers.aggtrades_oracle import (
    as_text,
    check,
    differences,
    expect,
    make_lines,
    trades_file,
)
from tests.helpers.zips import write_zip

REAL_DAY = "futures/cm/daily/aggTrades/BTCUSD_PERP/BTCUSD_PERP-aggTrades-2026-05-08.zip"
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


def _text(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0])


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
    check(tmp_path, file, as_text(lines))


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
    minutes = check(tmp_path, file, as_text(lines)).frame[1:-1]
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
