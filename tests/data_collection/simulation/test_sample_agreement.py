"""The simulated types follow from the same trades: exact arithmetic, and realistic trades."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from alphaqcm.pipeline.domain.registry import DataType, Market
from tests.helpers.sample_files import Row, day, month, numbers, rows_of, series, times

SMALL = SampleSpec(symbols=("BTCUSDT", "SOLUSDT"), days=2, seed=11, trades_per_day=3_000)
BARS = (DataType.KLINES, DataType.MARK, DataType.INDEX, DataType.PREMIUM)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols, 2024-02-28 and 29."""
    root = tmp_path_factory.mktemp("small")
    write_sample(root, SMALL)
    return root


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `alphaqcm sample` writes without words."""
    root = tmp_path_factory.mktemp("default")
    write_sample(root, SampleSpec())
    return root


# ---- types that agree


def _from_trades(rows: list[Row], unit: int) -> dict[int, dict[str, Decimal]]:
    """Minutes of aggTrades rows by exact arithmetic."""
    minutes: dict[int, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (int(row["transact_time"]), int(row["agg_trade_id"]))):
        minutes[int(row["transact_time"]) // unit * unit].append(row)
    result = {}
    for minute, trades in minutes.items():
        prices, quantities = numbers(trades, "price"), numbers(trades, "quantity")
        amounts = [p * q for p, q in zip(prices, quantities, strict=True)]
        buys = [row["is_buyer_maker"].lower() == "false" for row in trades]
        result[minute] = {
            "open": prices[0],
            "high": max(prices),
            "low": min(prices),
            "close": prices[-1],
            "volume": sum(quantities, Decimal()),
            "quote_volume": sum(amounts, Decimal()),
            "count": Decimal(
                sum(int(row["last_trade_id"]) - int(row["first_trade_id"]) + 1 for row in trades)
            ),
            "taker_buy_volume": sum(
                (q for q, buy in zip(quantities, buys, strict=True) if buy), Decimal()
            ),
            "taker_buy_quote_volume": sum(
                (a for a, buy in zip(amounts, buys, strict=True) if buy), Decimal()
            ),
        }
    return result


def _traded(bars: list[Row]) -> dict[int, dict[str, Decimal]]:
    """The bars that have trades, without the columns that trades do not tell."""
    dropped = ("open_time", "close_time", "ignore")
    return {
        int(bar["open_time"]): {
            name: Decimal(text) for name, text in bar.items() if name not in dropped
        }
        for bar in bars
        if int(bar["count"])
    }


def test_minutes_of_aggtrades_are_the_klines_in_every_column(small: Path) -> None:
    for symbol in SMALL.symbols:
        trades = rows_of(small, month(series(DataType.AGGTRADES, symbol), "2024-02"))
        bars = rows_of(small, month(series(DataType.KLINES, symbol, "1m"), "2024-02"))
        assert len(bars) == 2 * 1440
        assert _from_trades(trades, 60_000) == _traded(bars)


def test_spot_trades_and_klines_agree_in_microseconds(tmp_path: Path) -> None:
    spec = SampleSpec(("BTCUSDT",), 1, start=date(2025, 3, 1), market=Market.SPOT)
    write_sample(tmp_path, replace(spec, trades_per_day=2_000))
    trades = rows_of(tmp_path, day(series(DataType.AGGTRADES, market=Market.SPOT), "2025-03-01"))
    bars = rows_of(
        tmp_path, day(series(DataType.KLINES, "BTCUSDT", "1m", Market.SPOT), "2025-03-01")
    )
    assert any(int(row["transact_time"]) % 1000 for row in trades)
    assert _from_trades(trades, 60_000_000) == _traded(bars)


def test_coin_margined_quote_volume_is_in_coins(tmp_path: Path) -> None:
    spec = SampleSpec(universe(1, Market.CM), 1, market=Market.CM, trades_per_day=2_000)
    write_sample(tmp_path, spec)
    symbol = "BTCUSD_PERP"
    trades = rows_of(
        tmp_path, day(series(DataType.AGGTRADES, symbol, market=Market.CM), "2024-02-29")
    )
    bars = rows_of(tmp_path, day(series(DataType.KLINES, symbol, "1m", Market.CM), "2024-02-29"))
    cent = Decimal("0.00000001")
    coins = sum(
        (Decimal(row["quantity"]) * 100 / Decimal(row["price"])).quantize(cent) for row in trades
    )
    assert sum(numbers(bars, "quote_volume")) == coins
    assert sum(numbers(bars, "volume")) == sum(numbers(trades, "quantity"))
    index = series(DataType.INDEX, "BTCUSD", "1h", Market.CM)
    assert len(rows_of(tmp_path, day(index, "2024-02-29"))) == 24


@pytest.mark.parametrize("data_type", BARS)
def test_hours_are_the_roll_up_of_the_minutes(small: Path, data_type: DataType) -> None:
    minutes = rows_of(small, month(series(data_type, "SOLUSDT", "1m"), "2024-02"))
    for hour in rows_of(small, month(series(data_type, "SOLUSDT", "1h"), "2024-02")):
        start = int(hour["open_time"])
        inside = [row for row in minutes if start <= int(row["open_time"]) < start + 3_600_000]
        assert len(inside) == 60
        assert hour["open"] == inside[0]["open"]
        assert hour["close"] == inside[-1]["close"]
        assert Decimal(hour["high"]) == max(numbers(inside, "high"))
        assert Decimal(hour["low"]) == min(numbers(inside, "low"))
        for name in ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"):
            assert Decimal(hour[name]) == sum(numbers(inside, name))
        assert int(hour["count"]) == sum(times(inside, "count"))


def test_a_minute_without_trades_stands_at_the_previous_close(small: Path) -> None:
    bars = rows_of(small, month(series(DataType.KLINES, "SOLUSDT", "1m"), "2024-02"))
    idle = [(a, b) for a, b in pairwise(bars) if b["count"] == "0"]
    assert idle
    for before, bar in idle:
        assert {bar["open"], bar["high"], bar["low"], bar["close"]} == {before["close"]}
        assert Decimal(bar["volume"]) == 0


def test_a_month_holds_the_rows_of_its_days(small: Path) -> None:
    for of in (
        series(DataType.AGGTRADES, "SOLUSDT"),
        series(DataType.KLINES, "SOLUSDT", "1m"),
        series(DataType.PREMIUM, "SOLUSDT", "1h"),
    ):
        days = [rows_of(small, day(of, text)) for text in ("2024-02-28", "2024-02-29")]
        assert rows_of(small, month(of, "2024-02")) == days[0] + days[1]


def test_mark_index_and_premium_surround_the_last_price(default: Path) -> None:
    last, mark, index, premium = (
        numbers(rows_of(default, month(series(kind, "BTCUSDT", "1m"), "2024-02")), "close")
        for kind in BARS
    )
    for columns in zip(last, mark, index, premium, strict=True):
        traded, marked, indexed, over = (float(value) for value in columns)
        assert abs(marked / indexed - 1) < 0.002
        assert abs(over) < 0.002
        assert abs(indexed * (1 + over) / traded - 1) < 0.01


def test_taker_ratio_of_the_metrics_is_that_of_the_klines(small: Path) -> None:
    rows = rows_of(small, day(series(DataType.METRICS, "SOLUSDT"), "2024-02-29"))
    bars = rows_of(small, day(series(DataType.KLINES, "SOLUSDT", "1m"), "2024-02-29"))
    assert len(rows) == 288
    bought, total = numbers(bars, "taker_buy_volume"), numbers(bars, "volume")
    for place, row in enumerate(rows):
        span = slice(5 * place, 5 * place + 5)
        buy, sell = sum(bought[span]), sum(total[span]) - sum(bought[span])
        expected = "" if sell == 0 else f"{buy / sell:.8f}"
        assert row["sum_taker_long_short_vol_ratio"] == expected


def test_open_interest_value_is_at_the_mark_price(small: Path) -> None:
    rows = rows_of(small, day(series(DataType.METRICS), "2024-02-29"))
    marks = numbers(
        rows_of(small, day(series(DataType.MARK, "BTCUSDT", "1m"), "2024-02-29")), "close"
    )
    for row, mark in zip(rows, marks[4::5], strict=True):
        price = Decimal(row["sum_open_interest_value"]) / Decimal(row["sum_open_interest"])
        assert abs(price - mark) <= Decimal("0.005")


def test_funding_follows_the_premium_with_a_few_milliseconds_of_jitter(small: Path) -> None:
    for symbol, hours in (("BTCUSDT", 8), ("SOLUSDT", 4)):
        rows = rows_of(small, month(series(DataType.FUNDING, symbol), "2024-02"))
        late = [at % (hours * 3_600_000) for at in times(rows, "calc_time")]
        assert len(rows) == 48 // hours
        assert all(0 <= ms <= 17 for ms in late)
        assert 0 in late and any(late)
        assert {row["funding_interval_hours"] for row in rows} == {str(hours)}
        assert len(set(numbers(rows, "last_funding_rate"))) > 1


# ---- realism


def test_trades_come_in_bursts_with_heavy_tails(default: Path) -> None:
    rows = rows_of(default, month(series(DataType.AGGTRADES), "2024-02"))
    at = np.array(times(rows, "transact_time"))
    amounts = np.array([float(row["price"]) * float(row["quantity"]) for row in rows])
    assert (np.diff(at) == 0).mean() > 0.2
    per_second = np.bincount((at - at[0]) // 1000)
    assert per_second.var() / per_second.mean() > 3  # 1 for independent arrivals
    assert 0.0002 < (amounts >= 50_000).mean() < 0.01
    assert (amounts <= 1_000).mean() > 0.5
    hours = np.bincount(at // 3_600_000 % 24, minlength=24)
    assert hours[[0, 22, 23]].mean() > hours[9:13].mean()
    ids = times(rows, "agg_trade_id")
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    firsts, lasts = times(rows, "first_trade_id"), times(rows, "last_trade_id")
    assert [last + 1 for last in lasts[:-1]] == firsts[1:]


def test_symbols_move_together(default: Path) -> None:
    closes = [
        numbers(rows_of(default, month(series(DataType.KLINES, name, "1m"), "2024-02")), "close")
        for name in universe(3)
    ]
    returns = np.diff(np.log(np.array(closes, dtype=float)))
    correlation = np.corrcoef(returns)
    assert correlation[0, 1] > 0.3
    assert correlation.max(initial=0, where=~np.eye(3, dtype=bool)) < 0.95
