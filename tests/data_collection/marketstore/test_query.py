"""Queries with the real client, held against the parquet files read by other means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pymarketstore as pymkts
import pytest

from alphaqcm.data_collection.build.candles.store import CandleStore, Covered
from alphaqcm.data_collection.exchange.answers import candle_frame
from alphaqcm.data_collection.marketstore.config import MarketstoreConfig
from alphaqcm.pipeline.features.columns import COLUMNS
from tests.helpers.marketstore_server import Served, served
from tests.helpers.root_of_a_day import root_of_a_day

DAY = 86_400
MONDAY = 4 * DAY  # 1970-01-05
LENGTHS = {
    "1Min": 60,
    "3Min": 180,
    "5Min": 300,
    "15Min": 900,
    "30Min": 1800,
    "1H": 3600,
    "4H": 4 * 3600,
    "1D": DAY,
    "1W": 7 * DAY,
}
END = 1_706_745_600  # 2024-02-01, where the archive of the root ends
FIRST = 1_704_067_200  # 2024-01-01, a Monday


def minutes(root: Path, symbol: str) -> list[tuple[Any, ...]]:
    """Rows of the parquet files: second, open, high, low, close, volume, …"""
    rows: list[tuple[Any, ...]] = []
    for path in sorted((root / "binance_klines_1m_parquet" / symbol).glob("*.parquet")):
        table = pq.read_table(path)
        times = [moment.timestamp() for moment in table["minute"].to_pylist()]
        names = (
            "open", "high", "low", "close", "volume", "quote_volume", "count",
            "taker_buy_volume", "taker_buy_quote_volume",
        )  # fmt: skip
        rows += zip(map(int, times), *(table[name].to_pylist() for name in names), strict=True)
    return rows


def folded(rows: list[tuple[Any, ...]], length: int) -> Iterator[tuple[Any, ...]]:
    """Windows of so many seconds: sums from left to right, with the minutes that are there."""
    window: list[tuple[Any, ...]] = []
    origin = MONDAY if length == 7 * DAY else 0
    for row in [*rows, None]:
        if window and (
            row is None or (row[0] - origin) // length != (window[0][0] - origin) // length
        ):
            start = (window[0][0] - origin) // length * length + origin
            if start + length <= END:
                sums = list(window[0][5:])
                for one in window[1:]:
                    sums = [a + b for a, b in zip(sums, one[5:], strict=True)]
                high = max(one[2] for one in window)
                low = min(one[3] for one in window)
                yield (start, window[0][1], high, low, window[-1][4], *sums, len(window))
            window = []
        if row is not None:
            window.append(row)


@pytest.mark.parametrize("timeframe", LENGTHS)
def test_every_timeframe_equals_the_parquet_files_bit_for_bit(
    client: pymkts.Client, month: Path, timeframe: str
) -> None:
    array = client.query(pymkts.Params("BTCUSDT", timeframe, "OHLCV_EXT")).first().array
    expected = list(folded(minutes(month, "BTCUSDT"), LENGTHS[timeframe]))
    assert array.dtype.names == (
        "Epoch", "Open", "High", "Low", "Close", "Volume", "QuoteVolume", "Count",
        "TakerBuyVolume", "TakerBuyQuoteVolume", "Minutes",
    )  # fmt: skip
    assert [tuple(row) for row in array.tolist()] == expected
    if timeframe != "1Min":
        assert min(row[-1] for row in expected) < LENGTHS[timeframe] // 60  # holes are in it


ALIASES = ("1m", "3m", "5m", "15m", "30m", "1h", "4h", "1d", "1w")


@pytest.mark.parametrize(("alias", "own"), [*zip(ALIASES, LENGTHS, strict=True)])
def test_an_alias_gives_the_same_under_the_own_name(
    client: pymkts.Client, alias: str, own: str
) -> None:
    reply = client.query(pymkts.Params("ETHUSDT", alias, "OHLCV", limit=2))
    assert reply.keys() == [f"ETHUSDT/{own}/OHLCV"]
    other = client.query(pymkts.Params("ETHUSDT", own, "OHLCV", limit=2))
    assert np.array_equal(reply.first().array, other.first().array)


def epochs(client: pymkts.Client, **words: Any) -> list[int]:
    params = pymkts.Params("ETHUSDT", words.pop("timeframe", "1Min"), "OHLCV", **words)
    return list(client.query(params).first().array["Epoch"])


def test_both_ends_are_included(client: pymkts.Client) -> None:
    found = epochs(client, start=FIRST + 60, end=FIRST + 180)
    assert found == [FIRST + 60, FIRST + 120, FIRST + 180]


def test_an_end_a_nanosecond_before_a_candle_leaves_it_out(client: pymkts.Client) -> None:
    found = epochs(
        client, start="2024-01-01 00:00:00.000000001", end="2024-01-01 00:02:59.999999999"
    )
    assert found == [FIRST + 60, FIRST + 120]


@pytest.mark.parametrize("timeframe", ["1Min", "4H"])
def test_a_limit_counts_from_the_end_or_from_the_start(
    client: pymkts.Client, timeframe: str
) -> None:
    every = epochs(client, timeframe=timeframe)
    assert epochs(client, timeframe=timeframe, limit=5) == every[-5:]
    assert epochs(client, timeframe=timeframe, limit=5, limit_from_start=True) == every[:5]
    assert epochs(client, timeframe=timeframe, limit=len(every) + 5) == every


def test_a_limit_reaches_over_a_hole_of_days(client: pymkts.Client) -> None:
    """Two days are missing before this end: the rows of the limit lie before them."""
    end = int(np.datetime64("2024-01-11T07:15").astype("datetime64[s]").astype(int))
    params = pymkts.Params("BTCUSDT", "1Min", "OHLCV", end=end, limit=10)
    found = list(client.query(params).first().array["Epoch"])
    hole = int(np.datetime64("2024-01-09").astype("datetime64[s]").astype(int))
    assert found == [*range(hole - 7 * 60, hole, 60), end - 120, end - 60, end]


def test_columns_are_chosen_and_epoch_stays_first(client: pymkts.Client) -> None:
    frame = (
        client.query(pymkts.Params("ETHUSDT", "1H", "OHLCV", columns=["Close", "Open"]))
        .first()
        .df()
    )
    assert list(frame.columns) == ["Open", "Close"]
    assert str(frame.index.tz) == "UTC"
    assert frame.index.name == "Epoch"


def test_several_symbols_and_globs_come_in_one_reply(client: pymkts.Client) -> None:
    named = client.query(pymkts.Params(["BTCUSDT", "ETHUSDT"], "1D", "OHLCV"))
    assert set(named.by_symbols()) == {"BTCUSDT", "ETHUSDT"}
    assert len(named.by_symbols()["BTCUSDT"].array) == 29  # two days are missing as a whole
    assert len(named.by_symbols()["ETHUSDT"].array) == 31
    for glob, symbols in {"*": {"BTCUSDT", "ETHUSDT"}, "E*USDT": {"ETHUSDT"}}.items():
        reply = client.query(pymkts.Params(glob, "1D", "OHLCV"))
        assert set(reply.by_symbols()) == symbols
        for symbol in symbols:
            assert np.array_equal(
                reply.by_symbols()[symbol].array, named.by_symbols()[symbol].array
            )


def test_several_queries_in_one_request(client: pymkts.Client) -> None:
    several = [pymkts.Params("BTCUSDT", "1D", "OHLCV"), pymkts.Params("ETHUSDT", "1W", "OHLCV")]
    assert client.query(several).keys() == ["BTCUSDT/1D/OHLCV", "ETHUSDT/1W/OHLCV"]


def test_an_empty_range_of_a_known_bucket_is_no_rows(client: pymkts.Client) -> None:
    for start, end in (("2030-01-01", None), (None, "2001-01-01"), ("2024-01-10", "2024-01-09")):
        reply = client.query(pymkts.Params("BTCUSDT", "1H", "OHLCV", start=start, end=end))
        assert reply.first().array.size == 0
        assert reply.keys() == ["BTCUSDT/1H/OHLCV"]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (pymkts.Params("NOSUCH", "1Min", "OHLCV"), "no files returned from query parse"),
        (pymkts.Params("BTCUSDT", "1Min", "NOSUCH"), "no files returned from query parse"),
        (pymkts.Params("BTCUSDT", "2H", "OHLCV"), "no files returned from query parse"),
        (pymkts.Params("SPOT.BTCUSDT", "1Min", "OHLCV"), "no files returned from query parse"),
        (pymkts.Params("BTCUSDT", "1M", "OHLCV"), "no files returned from query parse"),
        (pymkts.Params("BTCUSDT", "7Foo", "OHLCV"), "timeframe '7Foo'"),
        (pymkts.Params("BTCUSDT", "1Min", "OHLCV", columns=["Klose"]), "columns Klose"),
        (pymkts.Params("..", "1Min", "OHLCV"), "part '..' of a key"),
        (pymkts.Params("A/B", "1Min", "OHLCV"), "key 'A/B/1Min/OHLCV'"),
        (pymkts.Params("BTCUSDT", "1Min", "OHLCV", limit=-1), "limit_record_count -1"),
        (pymkts.Params("BTCUSDT", "1Min", "OHLCV", functions=["drop()"]), "function 'drop()'"),
        (
            pymkts.Params("BTCUSDT", "1H", "OHLCV", functions=["candlecandler('5Min')"]),
            "a whole multiple",
        ),
    ],
)
def test_what_cannot_be_answered_is_a_clear_error(
    client: pymkts.Client, params: pymkts.Params, told: str
) -> None:
    with pytest.raises(Exception, match=told.replace("(", r"\(").replace(")", r"\)")):
        client.query(params)


def test_sql_is_refused_clearly(client: pymkts.Client) -> None:
    with pytest.raises(Exception, match=r"SQL is not offered: .*alphaqcm sql"):
        client.sql("SELECT * FROM `BTCUSDT/1Min/OHLCV`")


def test_candlecandler_equals_the_bucket_of_that_timeframe(client: pymkts.Client) -> None:
    own = client.query(pymkts.Params("BTCUSDT", "5Min", "OHLCV")).first().array
    made = pymkts.Params("BTCUSDT", "1Min", "OHLCV", functions=["candlecandler('5Min')"])
    assert np.array_equal(client.query(made).first().array, own)
    words = "candlecandler('5Min',Open,High,Low,Close,Sum::Volume,Avg::Volume)"
    named = client.query(pymkts.Params("BTCUSDT", "1Min", "OHLCV", functions=[words])).first().array
    assert named.dtype.names == (
        "Epoch", "Open", "High", "Low", "Close", "Volume_SUM", "Volume_AVG"
    )  # fmt: skip
    assert np.array_equal(named["Volume_SUM"], own["Volume"])


def test_aggregates_are_of_the_rows_asked_for(client: pymkts.Client) -> None:
    words: dict[str, Any] = {"start": FIRST, "end": FIRST + 3600}
    rows = client.query(pymkts.Params("ETHUSDT", "1Min", "OHLCV", **words)).first().array
    expected = {
        "count(*)": ("Count", len(rows)),
        "max(High)": ("Max", rows["High"].max()),
        "min(Low)": ("Min", rows["Low"].min()),
        "avg(Close)": ("Avg", rows["Close"].mean()),
    }
    for call, (name, value) in expected.items():
        params = pymkts.Params("ETHUSDT", "1Min", "OHLCV", functions=[call], **words)
        found = client.query(params).first().array
        assert found.dtype.names == ("Epoch", name)
        assert found[name].tolist() == [value]


@pytest.mark.slow
def test_the_wide_table_is_a_bucket(tmp_path: Path) -> None:
    root = root_of_a_day(tmp_path)
    table = pq.read_table(root / "final_dataset_all.parquet")
    with served(root) as running:
        array = running.client().query(pymkts.Params("BTCUSDT", "1H", "FEATURES")).first().array
        assert "BTCUSDT/1H/FEATURES" in running.client().list_symbols(pymkts.ListSymbolsFormat.TBK)
    assert array.dtype.names[0] == "Epoch"
    assert set(array.dtype.names[1:]) == set(COLUMNS) - {
        "symbol",
        "datetime",
        "bar_end_time",
        "feature_time",
    }
    assert list(array["Epoch"]) == [int(t.timestamp()) for t in table["datetime"].to_pylist()]
    for name in array.dtype.names[1:]:
        for found, told in zip(array[name].tolist(), table[name].to_pylist(), strict=True):
            assert (math.isnan(found) and told is None) or found == float(told)


def test_rest_candles_follow_the_archive_in_one_window(tmp_path: Path, month: Path) -> None:
    """The archive ends at midnight; minutes that REST told since are in the same day's week."""
    (tmp_path / "binance_klines_1m_parquet").symlink_to(month / "binance_klines_1m_parquet")
    store = CandleStore(tmp_path, "usdt_futures", "1m")
    begin = END * 1000
    table = np.array(
        [[begin + n * 60_000, 9, 10, 8, 9, 1.5, 0, 2, 3, 0.5, 0.25, 0] for n in range(90)], float
    )
    frame = candle_frame(table, 60_000)
    # REST also knows two minutes that the archive lacks, and one that it has otherwise
    hole = int(np.datetime64("2024-01-09").astype("datetime64[ms]").astype(int))
    more = table[:3].copy()
    more[:, 0] = [hole - 60_000, hole, hole + 60_000]
    parts = [
        Covered(hole, hole + 120_000, "rest", ""),
        Covered(begin, begin + 5_400_000, "rest", ""),
    ]
    store.add("BTCUSDT", [candle_frame(more, 60_000), frame], parts)
    with served(tmp_path) as running:
        client = running.client()
        hours = client.query(pymkts.Params("BTCUSDT", "1H", "OHLCV_EXT", start=END)).first().array
        assert hours["Epoch"].tolist() == [END]  # the second hour is not finished
        assert hours["Minutes"].tolist() == [60]
        assert hours["Volume"].tolist() == [90.0]
        there = (
            client.query(
                pymkts.Params(
                    "BTCUSDT", "1Min", "OHLCV", start=hole // 1000 - 60, end=hole // 1000 + 120
                )
            )
            .first()
            .array
        )
        assert there["Epoch"].tolist() == [hole // 1000 + n for n in (-60, 0, 60)]
        assert there["Open"][0] != 9  # the archive's own
        assert there["Open"][1:].tolist() == [9, 9]


def test_other_markets_have_a_prefix(tmp_path: Path) -> None:
    table = np.array(
        [[60_000 * n, 9, 10, 8, 9, 1.5, 0, 2, 3, 0.5, 0.25, 0] for n in range(5)], float
    )
    for kind in ("spot", "coin_futures", "usdt_futures"):
        store = CandleStore(tmp_path, kind, "1m")
        store.add("ABCUSD", [candle_frame(table, 60_000)], [Covered(0, 300_000, "rest", "")])
    with served(tmp_path) as running:
        names = running.client().list_symbols()
        assert names == ["ABCUSD", "CM.ABCUSD", "SPOT.ABCUSD"]
        for name in names:
            reply = running.client().query(pymkts.Params(name, "5Min", "OHLCV"))
            assert reply.keys() == [f"{name}/5Min/OHLCV"]
            assert reply.first().array["Volume"].tolist() == [7.5]


@pytest.mark.slow
def test_a_hundred_clients_at_once(endpoint: Served) -> None:
    expected = endpoint.client().query(pymkts.Params("BTCUSDT", "15Min", "OHLCV")).first().array

    def ask(_: int) -> bool:
        reply = endpoint.client().query(pymkts.Params("BTCUSDT", "15Min", "OHLCV"))
        return np.array_equal(reply.first().array, expected)

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(ask, range(100))) == [True] * 100


def test_lists_name_symbols_and_keys(client: pymkts.Client) -> None:
    assert {"BTCUSDT", "ETHUSDT"} <= set(client.list_symbols())
    keys = client.list_symbols(pymkts.ListSymbolsFormat.TBK)
    for timeframe in LENGTHS:
        assert f"BTCUSDT/{timeframe}/OHLCV" in keys
        assert f"BTCUSDT/{timeframe}/OHLCV_EXT" in keys


def test_the_version_is_told_in_a_header(client: pymkts.Client) -> None:
    from alphaqcm import __version__

    assert client.server_version() == __version__


def test_frames_are_in_the_time_zone_of_the_configuration(month: Path) -> None:
    with served(month, MarketstoreConfig(timezone="Asia/Hong_Kong")) as running:
        frame = running.client().query(pymkts.Params("ETHUSDT", "1D", "OHLCV", limit=1)).first()
    assert frame.df().index[0].isoformat() == "2024-01-31T08:00:00+08:00"  # the day is UTC's
