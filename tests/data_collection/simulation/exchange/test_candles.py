"""Candles: exact sums of the trades, and the pages that each market makes of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.data_collection.simulation.exchange.conftest import START_MS, Client, Start

MINUTE = 60_000
FIVE = 5 * MINUTE
HOUR = 60 * MINUTE
DAY = 24 * HOUR
BASES = {"spot": "/api/v3", "um": "/fapi/v1", "cm": "/dapi/v1"}
SYMBOLS = {"spot": "BTCUSDT", "um": "BTCUSDT", "cm": "BTCUSD_PERP"}


def summed(trades: list[dict[str, Any]], size: int | None) -> list[object]:
    """A candle's cells from its trades, in decimals; `size` is a coin-margined contract's."""

    def amount(trade: dict[str, Any]) -> Decimal:
        price, quantity = Decimal(trade["p"]), Decimal(trade["q"])
        if size is None:
            return price * quantity
        return (size * quantity / price).quantize(Decimal("1e-8"))

    prices = [Decimal(trade["p"]) for trade in trades]
    takers = [trade for trade in trades if not trade["m"]]
    return [
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(Decimal(trade["q"]) for trade in trades),
        sum(amount(trade) for trade in trades),
        sum(trade["l"] - trade["f"] + 1 for trade in trades),
        sum(Decimal(trade["q"]) for trade in takers),
        sum(amount(trade) for trade in takers),
    ]


@pytest.mark.parametrize("market", BASES)
@pytest.mark.parametrize(("interval", "width"), [("1m", MINUTE), ("15m", 15 * MINUTE)])
def test_a_candle_is_the_exact_sum_of_its_trades(
    client: Client, market: str, interval: str, width: int
) -> None:
    symbol = SYMBOLS[market]
    start = START_MS - START_MS % HOUR - 2 * HOUR
    rows = client.json(
        f"{BASES[market]}/klines",
        symbol=symbol, interval=interval, startTime=start, endTime=start + HOUR - 1,
    )  # fmt: skip
    assert [row[0] for row in rows] == list(range(start, start + HOUR, width))
    for row in rows:
        trades = client.json(
            f"{BASES[market]}/aggTrades",
            symbol=symbol, startTime=row[0], endTime=row[6], limit=1000,
        )  # fmt: skip
        cells = [*row[1:6], row[7], row[8], row[9], row[10]]
        size = 100 if market == "cm" else None
        assert [Decimal(cell) for cell in cells] == summed(trades, size)


def test_the_running_candle_ends_with_the_last_trade_and_grows(client: Client) -> None:
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "5m", "limit": 1}
    before = client.json("/fapi/v1/klines", **asked)[0]
    last = client.json("/fapi/v1/aggTrades", symbol="BTCUSDT", limit=1)[0]
    assert before[0] <= client.now < before[6]
    assert before[4] == last["p"]
    client.advance(200)
    after = client.json("/fapi/v1/klines", **asked)[0]
    assert after[0] == before[0]
    assert after[8] > before[8]


@pytest.mark.parametrize("market", BASES)
@pytest.mark.parametrize("interval", ["1m", "3m", "5m", "30m", "1h", "4h", "1d", "1w", "1M"])
def test_truth_gives_every_closed_candle_of_every_interval(
    client: Client, market: str, interval: str
) -> None:
    symbol = SYMBOLS[market]
    rows = client.json(f"{BASES[market]}/klines", symbol=symbol, interval=interval, limit=20)
    closed = [row for row in rows if row[6] < client.now]
    truth = client.json(
        "/__truth__/klines",
        market=market, symbol=symbol, interval=interval, startTime=rows[0][0],
    )  # fmt: skip
    assert truth == closed
    assert len(truth) >= 10


def test_weeks_start_on_monday(client: Client) -> None:
    rows = client.json("/fapi/v1/klines", symbol="BTCUSDT", interval="1w", limit=3)
    assert {(row[0] // DAY + 3) % 7 for row in rows} == {0}


@pytest.mark.parametrize("market", ["spot", "um"])
def test_spot_and_um_count_from_the_start_on(client: Client, market: str) -> None:
    start = START_MS - START_MS % FIVE - 100 * FIVE
    rows = client.json(
        f"{BASES[market]}/klines",
        symbol="BTCUSDT", interval="5m", startTime=start, endTime=START_MS, limit=10,
    )  # fmt: skip
    assert [row[0] for row in rows] == [start + k * FIVE for k in range(10)]


def test_cm_counts_back_from_the_end(client: Client) -> None:
    end = START_MS - START_MS % FIVE - FIVE
    rows = client.json(
        "/dapi/v1/klines",
        symbol="BTCUSD_PERP", interval="5m", startTime=end - 100 * FIVE, endTime=end, limit=10,
    )  # fmt: skip
    assert [row[0] for row in rows] == [end - k * FIVE for k in reversed(range(10))]


@pytest.mark.parametrize("market", BASES)
def test_an_end_alone_gives_the_newest_up_to_it(client: Client, market: str) -> None:
    end = START_MS - START_MS % FIVE - 7 * FIVE
    rows = client.json(
        f"{BASES[market]}/klines", symbol=SYMBOLS[market], interval="5m", endTime=end, limit=3
    )
    assert [row[0] for row in rows] == [end - 2 * FIVE, end - FIVE, end]


@pytest.mark.parametrize("market", BASES)
def test_a_range_of_exactly_the_limit_is_the_same_page_everywhere(
    client: Client, market: str
) -> None:
    start = START_MS - START_MS % FIVE - 499 * FIVE
    rows = client.json(
        f"{BASES[market]}/klines",
        symbol=SYMBOLS[market], interval="5m", startTime=start,
        endTime=start + 499 * FIVE - 1, limit=499,
    )  # fmt: skip
    assert [row[0] for row in rows] == [start + k * FIVE for k in range(499)]


def test_a_start_between_two_candles_begins_with_the_next(client: Client) -> None:
    start = START_MS - START_MS % FIVE - 10 * FIVE
    rows = client.json(
        "/fapi/v1/klines", symbol="BTCUSDT", interval="5m", startTime=start + 1, limit=1
    )
    assert rows[0][0] == start + FIVE


def test_cm_refuses_more_than_200_days(client: Client) -> None:
    asked: dict[str, Any] = {"symbol": "BTCUSD_PERP", "interval": "1d", "endTime": START_MS}
    assert client.get("/dapi/v1/klines", startTime=START_MS - 200 * DAY, **asked).status_code == 200
    refused = client.get("/dapi/v1/klines", startTime=START_MS - 200 * DAY - 1, **asked)
    assert (refused.status_code, refused.json()["code"]) == (400, -1127)


def test_spot_gives_at_most_1000_and_futures_1500_rows(client: Client) -> None:
    spot = client.json("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=5000)
    assert len(spot) == 1000
    um = client.json("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1500)
    assert len(um) == 1500
    refused = client.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1501)
    assert refused.json()["code"] == -1130


def test_a_symbol_listed_three_days_ago_has_no_earlier_candles(client: Client) -> None:
    info = client.json("/fapi/v1/exchangeInfo")["symbols"]
    onboard = next(row["onboardDate"] for row in info if row["symbol"] == "NEWUSDT")
    rows = client.json(
        "/fapi/v1/klines", symbol="NEWUSDT", interval="5m", startTime=START_MS - 15 * DAY, limit=5
    )
    assert rows[0][0] == onboard - onboard % FIVE
    assert len(rows) == 5


def test_a_delisted_symbol_has_its_history_and_no_more(client: Client) -> None:
    rows = client.json("/fapi/v1/klines", symbol="OLDUSDT", interval="5m", limit=5)
    assert len(rows) == 5
    assert rows[-1][6] < START_MS - 6 * DAY


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "NOPEUSDT", "interval": "5m"}, -1121),
        ({"symbol": "SOONUSDT", "interval": "5m"}, -1122),
        ({"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ({"symbol": "BTCUSDT", "interval": "1s"}, -1120),
        ({"interval": "5m"}, -1102),
        ({"symbol": "BTC/USDT", "interval": "5m"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "5m", "startTime": "yesterday"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "5m", "startTime": 2, "endTime": 1}, -1023),
    ],
)
def test_errors_are_those_of_the_exchange(
    client: Client, params: dict[str, Any], code: int
) -> None:
    answer = client.get("/fapi/v1/klines", **params)
    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert set(answer.json()) == {"code", "msg"}


def test_a_name_that_is_not_ascii_is_a_symbol_like_any_other(client: Client) -> None:
    rows = client.json("/fapi/v1/klines", symbol="币安人生USDT", interval="5m", limit=2)
    assert len(rows) == 2


def test_spot_gives_microseconds_on_request(client: Client) -> None:
    plain = client.json("/api/v3/klines", symbol="BTCUSDT", interval="1h", limit=1)[0]
    answer = client.session.get(
        client.url + "/api/v3/klines",
        params={"symbol": "BTCUSDT", "interval": "1h", "limit": "1"},
        headers={"X-MBX-TIME-UNIT": "MICROSECOND"},
        timeout=20,
    )
    fine = answer.json()[0]
    assert (fine[0], fine[6]) == (plain[0] * 1000, plain[6] * 1000 + 999)
    assert fine[1:6] == plain[1:6]


def test_a_hole_is_absent_from_rest_trades_and_truth(client: Client) -> None:
    start = START_MS - START_MS % FIVE - 12 * FIVE
    client.fault(kind="hole", market="um", symbol="BTCUSDT", start=start, seconds=2 * 300)
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "startTime": start - FIVE}
    rows = client.json("/fapi/v1/klines", interval="5m", limit=4, **asked)
    assert [row[0] - start for row in rows] == [-FIVE, 2 * FIVE, 3 * FIVE, 4 * FIVE]
    truth = client.json("/__truth__/klines", interval="5m", **asked)
    assert truth[:4] == rows
    trades = client.json("/fapi/v1/aggTrades", endTime=start + 40 * MINUTE, **asked)
    assert trades
    assert not [row for row in trades if start <= row["T"] < start + 2 * FIVE]
    other = client.json("/fapi/v1/klines", symbol="ETHUSDT", interval="5m", startTime=start)
    assert other[0][0] == start


def test_a_hole_in_part_of_a_candle_leaves_the_rest_of_it(client: Client) -> None:
    start = START_MS - START_MS % FIVE - 12 * FIVE
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "startTime": start, "endTime": start + FIVE - 1}
    whole = client.json("/fapi/v1/klines", interval="1m", **asked)
    client.fault(kind="hole", market="um", symbol="BTCUSDT", start=start, seconds=120)
    assert client.json("/fapi/v1/klines", interval="1m", **asked) == whole[2:]
    (rest,) = client.json("/fapi/v1/klines", interval="5m", **asked)
    assert rest[8] == sum(row[8] for row in whole[2:])
    assert rest[1] == whole[2][1]


def test_the_same_seed_gives_the_same_candles_and_another_seed_others(start: Start) -> None:
    asked: dict[str, Any] = {"symbol": "ETHUSDT", "interval": "1h", "endTime": START_MS - HOUR}
    first, same, other = (start(seed=seed).json("/api/v3/klines", **asked) for seed in (3, 3, 4))
    assert first == same
    assert first != other


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/fapi/v1/markPriceKlines", {"symbol": "BTCUSDT"}),
        ("/fapi/v1/premiumIndexKlines", {"symbol": "BTCUSDT"}),
        ("/fapi/v1/indexPriceKlines", {"pair": "BTCUSDT"}),
        ("/fapi/v1/continuousKlines", {"pair": "BTCUSDT", "contractType": "CURRENT_QUARTER"}),
        ("/dapi/v1/markPriceKlines", {"symbol": "BTCUSD_PERP"}),
        ("/dapi/v1/indexPriceKlines", {"pair": "BTCUSD"}),
        ("/dapi/v1/continuousKlines", {"pair": "BTCUSD", "contractType": "NEXT_QUARTER"}),
    ],
)
def test_the_variants_of_klines_have_rows_on_the_grid(
    client: Client, path: str, params: dict[str, str]
) -> None:
    start = START_MS - START_MS % HOUR - 5 * HOUR
    rows = client.json(path, interval="1h", startTime=start, endTime=start + 3 * HOUR - 1, **params)
    assert [row[0] for row in rows] == [start, start + HOUR, start + 2 * HOUR]
    for row in rows:
        prices = [Decimal(cell) for cell in row[1:5]]
        assert prices[2] == min(prices)
        assert prices[1] == max(prices)
        assert len(row) == 12


def test_mark_price_hours_are_those_of_their_minutes(client: Client) -> None:
    start = START_MS - START_MS % HOUR - 5 * HOUR
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "startTime": start, "endTime": start + HOUR - 1}
    (hour,) = client.json("/fapi/v1/markPriceKlines", interval="1h", **asked)
    minutes = client.json("/fapi/v1/markPriceKlines", interval="1m", **asked)
    assert hour[1] == minutes[0][1]
    assert hour[4] == minutes[-1][4]
    assert Decimal(hour[2]) == max(Decimal(row[2]) for row in minutes)
