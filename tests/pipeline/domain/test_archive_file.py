from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series, quote_key
from alphaqcm.pipeline.domain.period import Period, months_between
from alphaqcm.pipeline.domain.registry import INTERVALS, REGISTRY, DataType, Market, Partition
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import BadName


@pytest.mark.parametrize(
    ("text", "market", "exchange", "ccxt", "table"),
    [
        ("BTCUSDT", Market.UM, "BTCUSDT", "BTC/USDT:USDT", "BTC_USDT:USDT"),
        ("BTC/USDT:USDT", Market.UM, "BTCUSDT", "BTC/USDT:USDT", "BTC_USDT:USDT"),
        ("BTC_USDT:USDT", Market.UM, "BTCUSDT", "BTC/USDT:USDT", "BTC_USDT:USDT"),
        (" btcusdt ", Market.UM, "BTCUSDT", "BTC/USDT:USDT", "BTC_USDT:USDT"),
        ("1000SHIBUSDT", Market.UM, "1000SHIBUSDT", "1000SHIB/USDT:USDT", "1000SHIB_USDT:USDT"),
        ("币安人生USDT", Market.UM, "币安人生USDT", "币安人生/USDT:USDT", "币安人生_USDT:USDT"),
        (
            "BTCUSDT_240628",
            Market.UM,
            "BTCUSDT_240628",
            "BTC/USDT:USDT-240628",
            "BTC_USDT:USDT-240628",
        ),
        ("BTC/USDT", Market.SPOT, "BTCUSDT", "BTC/USDT", "BTC_USDT"),
        ("BTC/USD:BTC", Market.CM, "BTCUSD_PERP", "BTC/USD:BTC", "BTC_USD:BTC"),
        ("BTCUSD_PERP", Market.CM, "BTCUSD_PERP", "BTC/USD:BTC", "BTC_USD:BTC"),
        ("BTC_USD:BTC", Market.CM, "BTCUSD_PERP", "BTC/USD:BTC", "BTC_USD:BTC"),
        ("BNBUSD_PERP", Market.CM, "BNBUSD_PERP", "BNB/USD:BNB", "BNB_USD:BNB"),
        ("DOTUSD_PERP", Market.CM, "DOTUSD_PERP", "DOT/USD:DOT", "DOT_USD:DOT"),
        ("BTCUSD_240628", Market.CM, "BTCUSD_240628", "BTC/USD:BTC-240628", "BTC_USD:BTC-240628"),
    ],
)
def test_symbol_notations(text: str, market: Market, exchange: str, ccxt: str, table: str) -> None:
    symbol = Symbol.parse(text, market)
    assert (symbol.exchange, symbol.ccxt, symbol.table) == (exchange, ccxt, table)
    assert Symbol.parse(symbol.ccxt, market) == Symbol.parse(symbol.table, market) == symbol


@pytest.mark.parametrize(
    ("text", "market"),
    [
        ("", Market.UM),
        ("BTC USDT", Market.UM),
        ("BTC/USDT:USDC", Market.UM),
        ("BTC/USDT:USDT", Market.SPOT),
        ("BTC/USD:USD", Market.CM),
        ("../etc/passwd", Market.UM),
    ],
)
def test_no_symbol(text: str, market: Market) -> None:
    with pytest.raises(BadName, match="next:"):
        Symbol.parse(text, market)


def test_settled_contract_keeps_its_name() -> None:
    assert Symbol.parse("BTCSTUSDTSETTLED", Market.UM).table == "BTCSTUSDTSETTLED"


def test_period_of_a_month_ends_where_the_next_begins() -> None:
    month = Period.parse("2024-02")
    assert (month.start, month.end) == (date(2024, 2, 1), date(2024, 3, 1))
    assert len(list(month.days())) == 29
    assert month.end_us - month.start_us == 29 * 86_400_000_000


@pytest.mark.parametrize("stamp", ["2024", "2024-13", "2024-02-30", "2024-2-1", "20240201", ""])
def test_no_period(stamp: str) -> None:
    with pytest.raises(BadName):
        Period.parse(stamp)


def test_months_between_touches_both_ends() -> None:
    months = months_between(date(2023, 12, 31), date(2024, 2, 1))
    assert [month.stamp for month in months] == ["2023-12", "2024-01", "2024-02"]


@st.composite
def archive_files(draw: st.DrawFn) -> ArchiveFile:
    spec = draw(st.sampled_from(list(REGISTRY.values())))
    series = Series(
        draw(st.sampled_from(spec.markets)),
        spec.type,
        draw(st.sampled_from(["BTCUSDT", "BTCUSD_PERP", "币安人生USDT", "1000SHIBUSDT"])),
        draw(st.sampled_from(INTERVALS)) if spec.has_interval else "",
    )
    day = draw(st.dates(date(2017, 1, 1), date(2030, 1, 1)))
    partition = draw(st.sampled_from(spec.partitions))
    period = Period.month(day) if partition is Partition.MONTHLY else Period.day(day)
    return ArchiveFile(series, period)


@given(archive_files())
def test_key_reads_back(file: ArchiveFile) -> None:
    assert ArchiveFile.parse(file.key) == file
    assert ArchiveFile.parse(file.checksum_key) == file
    assert ArchiveFile.from_name(file.name, file.series.market, file.series.type) == file


@pytest.mark.parametrize(
    "key",
    [
        "",
        "data/spot/monthly/klines/BTCUSDT/1m/ETHUSDT-1m-2024-02.zip",
        "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02.zip",
        "data/spot/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-02.zip",
        "data/futures/um/monthly/klines/BTCUSDT/7m/BTCUSDT-7m-2024-02.zip",
        "data/futures/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02.csv",
        "data/option/daily/x/BTCUSDT/BTCUSDT-x-2024-02-01.zip",
    ],
)
def test_no_key(key: str) -> None:
    with pytest.raises(BadName):
        ArchiveFile.parse(key)


def test_key_is_the_archives_own(real: object) -> None:
    root = real / "archive"  # type: ignore[operator]
    keys = [str(path.relative_to(root)) for path in root.rglob("*.zip")]
    assert keys
    assert [ArchiveFile.parse(key).key for key in keys] == keys


def test_url_quotes_what_is_not_ascii() -> None:
    assert quote_key("data/币USDT/a b.zip") == "data/%E5%B8%81USDT/a%20b.zip"


def test_coin_margined_index_files_go_by_pair() -> None:
    assert Symbol.parse("BTC/USD:BTC", Market.CM).pair == "BTCUSD"


def test_series_of_a_market_without_the_type() -> None:
    with pytest.raises(BadName, match="um"):
        Series(Market.SPOT, DataType.FUNDING, "BTCUSDT")
