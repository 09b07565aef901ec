"""Recorded answers of the exchange parse to the frames they stand for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from alphaqcm.data_collection.exchange.answers import (
    KLINES,
    ExchangeInfo,
    FundingRow,
    read_klines,
    trading_rules,
)
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA
from alphaqcm.pipeline.domain.registry import Market


def body_of(path: Path) -> bytes:
    """An answer's JSON; captures have the URL and the time in front."""
    data = path.read_bytes()
    return data if data[:1] in b"[{" else data.split(b": ", 1)[1].splitlines()[0]


@pytest.mark.parametrize(
    ("name", "interval_ms"),
    [
        ("api_v3_klines.BTCUSDT.1h.20200430-20200611.json", 3_600_000),
        ("api_v3_klines.BTCUSDT.1h.20221231-20230108.json", 3_600_000),
        ("fapi_v1_klines.LTCUSDT.5m.20201014-20201016.json", 300_000),
    ],
)
def test_klines_keep_every_number_of_the_answer(real: Path, name: str, interval_ms: int) -> None:
    body = body_of(real / "rest" / name)
    rows = json.loads(body)
    page = read_klines(KLINES.decode(body), interval_ms, rows[0][0], rows[-1][0] + interval_ms)
    assert page.rejected == ()
    assert list(page.candles.schema.items()) == list(CANDLE_SCHEMA.items())
    places = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "quote_volume": 7}
    places |= {"taker_buy_base_asset_volume": 9, "taker_buy_quote_asset_volume": 10}
    for column, place in places.items():
        assert page.candles[column].to_list() == [float(row[place]) for row in rows]
    assert page.candles["trade_num"].to_list() == [row[8] for row in rows]
    begins = [datetime.fromtimestamp(row[0] / 1000, UTC) for row in rows]
    assert page.candles["candle_begin_time"].to_list() == begins


@pytest.mark.parametrize(
    ("name", "market", "limit"),
    [
        ("capture_exchangeInfo.spot.json", Market.SPOT, 1200),
        ("capture_exchangeInfo.um.json", Market.UM, 2400),
        ("fapi_v1_exchangeInfo.json", Market.UM, 2400),
        ("capture_exchangeInfo.cm.json", Market.CM, 2400),
    ],
)
def test_exchange_info_gives_rules_and_the_limit(
    real: Path, name: str, market: Market, limit: int
) -> None:
    info = msgspec.json.decode(body_of(real / "rest" / name), type=ExchangeInfo)
    assert info.minute_weight == limit
    rules = {one.symbol: trading_rules(one, market) for one in info.symbols}
    assert len(rules) == len(info.symbols) > 10
    assert all(one["price_tick"] > 0 and one["status"] for one in rules.values())
    assert ("contract_type" in rules[info.symbols[0].symbol]) == (market is not Market.SPOT)


def test_a_perpetuals_rules_are_those_of_the_documents(real: Path) -> None:
    body = body_of(real / "rest" / "fapi_v1_exchangeInfo.json")
    info = msgspec.json.decode(body, type=ExchangeInfo)
    bitcoin = next(one for one in info.symbols if one.symbol == "BTCUSDT")
    assert trading_rules(bitcoin, Market.UM) == {
        "symbol": "BTCUSDT",
        "contract_type": "PERPETUAL",
        "status": "TRADING",
        "base_asset": "BTC",
        "quote_asset": "USDT",
        "margin_asset": "USDT",
        "price_tick": Decimal("0.10"),
        "lot_size": Decimal("0.001"),
        "min_notional_value": Decimal(100),
    }
    assert bitcoin.onboardDate == 1_569_398_400_000


def test_funding_rows_keep_their_text(real: Path) -> None:
    body = body_of(real / "rest" / "fapi_v1_fundingRate.BTCUSDT.202009-202010.json")
    rows = msgspec.json.decode(body, type=list[FundingRow])
    assert [(row.fundingTime, row.fundingRate) for row in rows] == [
        (row["fundingTime"], row["fundingRate"]) for row in json.loads(body)
    ]


def row(begin: int, low: float = 1.0, high: float = 4.0) -> tuple[float, ...]:
    return (begin, 2.0, high, low, 3.0, 5.0, begin + 299_999, 6.0, 7, 1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("rows", "kept", "reason"),
    [
        ([row(0), row(300_001)], 1, "off the grid"),
        ([row(0), row(3_000_000)], 1, "outside the range that was asked for"),
        ([row(0), row(300_000, low=2.5)], 1, "low above another price"),
        ([row(0), row(300_000, high=2.5)], 1, "high below another price"),
        ([row(0), row(300_000, high=float("inf"))], 1, "not a number"),
        ([row(0), (*row(300_000)[:5], -1.0, *row(300_000)[6:])], 1, "an amount below zero"),
        (
            [row(0), (*row(300_000)[:8], 2**63, *row(300_000)[9:])],
            1,
            "more trades than can be counted",
        ),
        ([row(0), row(0, high=9.0), row(300_000)], 1, "twice with different values"),
    ],
)
def test_a_row_that_cannot_be_a_candle_is_put_aside(
    rows: list[tuple[float, ...]], kept: int, reason: str
) -> None:
    page = read_klines(rows, 300_000, 0, 1_500_000)  # type: ignore[arg-type]
    assert page.candles.height == kept
    assert {one.reason for one in page.rejected} == {reason}


def test_a_row_twice_with_the_same_values_is_one_candle() -> None:
    page = read_klines([row(300_000), row(0), row(300_000)], 300_000, 0, 600_000)  # type: ignore[list-item]
    assert page.candles.height == 2
    assert page.rejected == ()
    assert page.candles["candle_begin_time"].is_sorted()
