"""The public functions on real data roots: what they give is what the layers hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import alphaqcm
from alphaqcm.data_collection.serving.duckdb_views import connect
from alphaqcm.errors import BadName, LayerError, PipelineError, UsageError
from alphaqcm.pipeline.storage.layout import Layout

pytestmark = pytest.mark.process
SYMBOLS = ["BTC_USDT:USDT", "ETH_USDT:USDT", "SOL_USDT:USDT"]


@pytest.fixture
def root(demo: Path) -> Path:
    return demo / "AlphaQCM_data" / "demo"


def table(root: Path) -> pl.DataFrame:
    return pl.read_parquet(root / "final_dataset_all.parquet")


def minutes(root: Path, symbol: str) -> pl.DataFrame:
    folder = root / "binance_klines_1m_parquet" / symbol
    return pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])


def by_loop(rows: pl.DataFrame, start: datetime, length: timedelta, until: datetime) -> list[tuple]:
    """(start, open, high, low, close, volume, minutes) of each finished window, by a plain loop."""
    found: dict[datetime, list[dict[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        found.setdefault(start + (row["minute"] - start) // length * length, []).append(row)
    told = []
    for begin, bar in found.items():
        if begin + length > until:
            continue
        volume = bar[0]["volume"]
        for row in bar[1:]:
            volume += row["volume"]
        high, low = max(row["high"] for row in bar), min(row["low"] for row in bar)
        told.append((begin, bar[0]["open"], high, low, bar[-1]["close"], volume, len(bar)))
    return told


def test_every_row_of_the_table_is_scanned(root: Path) -> None:
    assert alphaqcm.scan(root, valid=False).collect().equals(table(root))


def test_only_valid_rows_are_scanned_unless_asked_for(root: Path) -> None:
    valid = table(root).filter(pl.col("is_valid_for_training") == 1)
    assert 0 < valid.height < table(root).height
    assert alphaqcm.scan(root).collect().equals(valid)


def test_columns_come_after_the_keys_in_the_order_asked_for(root: Path) -> None:
    found = alphaqcm.scan(root, columns=["volume", "close", "symbol"], valid=False).collect()
    assert found.equals(table(root).select("symbol", "datetime", "volume", "close"))


@pytest.mark.parametrize(
    "symbols", ["ETHUSDT", "eth/usdt:usdt", "ETH_USDT:USDT", ["ETH/USDT:USDT", "ETHUSDT"]]
)
def test_a_symbol_is_known_in_any_notation(root: Path, symbols: str | list[str]) -> None:
    found = alphaqcm.scan(root, symbols, ["close"], valid=False).collect()
    assert found["symbol"].unique().to_list() == ["ETH_USDT:USDT"]
    assert found.height == 72
    assert alphaqcm.bars(root, symbols, interval="1d").collect()["symbol"].unique().to_list() == [
        "ETHUSDT"
    ]


def test_bars_come_in_the_order_of_the_symbols_asked_for(root: Path) -> None:
    found = alphaqcm.bars(root, "SOLUSDT,BTCUSDT", interval="1d").collect()
    assert found["symbol"].to_list() == ["SOLUSDT"] * 3 + ["BTCUSDT"] * 3


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2024-02-28", "2024-02-28", 24),
        (date(2024, 2, 28), date(2024, 2, 29), 48),
        (datetime(2024, 2, 28, 3, tzinfo=UTC), datetime(2024, 2, 28, 5, tzinfo=UTC), 2),
        (datetime(2024, 2, 28, 3), "2024-02-28T05:00", 2),  # noqa: DTZ001 - naive means UTC
        ("2024-02-28T05:00+02:00", "2024-02-28T05:00Z", 2),
        ("2024-02-28T03:00:01", "2024-02-28T05:00:01", 2),
        (None, "2024-02-27", 24),
        ("2024-02-29", None, 24),
        ("2030-01-01", None, 0),
    ],
)
def test_days_are_whole_and_instants_end_before(
    root: Path, start: Any, end: Any, hours: int
) -> None:
    rows = alphaqcm.scan(root, "BTCUSDT", ["close"], start, end, valid=False).collect()
    bars = alphaqcm.bars(root, "BTCUSDT", start, end, "1h").collect()
    assert rows.height == bars.height == hours
    assert bars["datetime"].to_list() == rows["datetime"].to_list()


def test_hours_of_bars_are_the_table_s_to_the_last_bit(root: Path) -> None:
    hours = alphaqcm.bars(root, interval="1h").collect()
    names = ["open", "high", "low", "close", "volume"]
    assert hours.select(names).equals(table(root).select(names))


@pytest.mark.parametrize(
    ("interval", "offset"), [("5m", "0m"), ("1h", "25m"), ("4h", "1h"), ("1d", "8h"), ("90m", "0m")]
)
def test_bars_are_those_of_a_plain_loop_over_the_minutes(
    running: Path, interval: str, offset: str
) -> None:
    units = {"m": 1, "h": 60, "d": 1440}
    length, shift = (timedelta(minutes=int(t[:-1]) * units[t[-1]]) for t in (interval, offset))
    begin = datetime(1970, 1, 1, tzinfo=UTC) + shift
    until = datetime(2024, 3, 6, tzinfo=UTC)
    found = alphaqcm.bars(running, "BTCUSDT", interval=interval, offset=offset).collect()
    bar = found.select("datetime", "open", "high", "low", "close", "volume", "n_minutes").rows()
    assert bar == by_loop(minutes(running, "BTCUSDT"), begin, length, until)


@pytest.mark.parametrize(("interval", "offset"), [("4h", "25m"), ("1d", "8h"), ("1w", "1d")])
def test_bars_of_a_range_are_those_of_all_that_start_in_it(
    running: Path, interval: str, offset: str
) -> None:
    first, last = datetime(2024, 2, 24, 7, 31, tzinfo=UTC), datetime(2024, 3, 1, 11, tzinfo=UTC)
    part = alphaqcm.bars(running, None, first, last, interval, offset).collect()
    whole = alphaqcm.bars(running, interval=interval, offset=offset).collect()
    assert part.height > 0
    assert part.equals(whole.filter(pl.col("datetime").is_between(first, last, closed="left")))


def test_a_bar_with_a_hole_tells_how_many_minutes_it_has(running: Path) -> None:
    found = alphaqcm.bars(running, start="2024-03-02", end="2024-03-02", interval="1h").collect()
    holed = found.filter(pl.col("n_minutes") != 60)
    assert holed.select("symbol", "datetime", "n_minutes").rows() == [
        ("BTCUSDT", datetime(2024, 3, 2, 3, tzinfo=UTC), 40)
    ]
    fives = alphaqcm.bars(
        running, "BTCUSDT", "2024-03-02T03:00", "2024-03-02T04:00", interval="5m"
    ).collect()
    assert fives["datetime"].dt.minute().to_list() == [0, 5, 30, 35, 40, 45, 50, 55]


def test_a_week_that_is_not_over_is_not_served(running: Path) -> None:
    weeks = alphaqcm.bars(running, "ETHUSDT", interval="1w").collect()
    assert weeks.select("datetime", "n_minutes").rows() == [
        (datetime(2024, 2, 19, tzinfo=UTC), 4 * 1440),
        (datetime(2024, 2, 26, tzinfo=UTC), 7 * 1440),
    ]


def test_a_day_that_reaches_past_the_last_archived_one_is_not_served(running: Path) -> None:
    days = alphaqcm.bars(running, "ETHUSDT", interval="1d", offset="1h").collect()
    assert days["datetime"][-1] == datetime(2024, 3, 4, 1, tzinfo=UTC)


def test_minutes_are_served_as_they_are(root: Path) -> None:
    found = alphaqcm.bars(root, "SOLUSDT", interval="1m").collect()
    assert found["n_minutes"].unique().to_list() == [1]
    assert found.drop("symbol", "n_minutes").equals(
        minutes(root, "SOLUSDT").rename({"minute": "datetime"})
    )


def test_order_flow_of_an_hour_is_the_hourly_layer_s(root: Path) -> None:
    hours = alphaqcm.flow(root, "BTCUSDT", interval="1h").collect()
    layer = alphaqcm.hourly(root, "aggTrades", "BTCUSDT").collect()
    sums = ["trade_count", "base_volume", "taker_buy_quote", "taker_sell_quote_sq", "price_high"]
    assert hours.select("datetime", *sums).equals(layer.select("datetime", *sums))
    assert hours["price_first"].equals(layer["price_open"], check_names=False)
    assert hours["n_minutes"].max() <= 60  # type: ignore[operator]


def test_hours_of_a_type_are_those_of_its_files(root: Path) -> None:
    path = root / "binance_metrics" / "ETHUSDT_metrics.csv"
    raw = pl.read_csv(path, infer_schema_length=None)
    found = alphaqcm.hourly(root, alphaqcm.DataType.METRICS, "ETHUSDT").collect()
    assert found["datetime"].dt.strftime("%Y-%m-%d %H:%M:%S+00:00").to_list() == (
        raw["create_time"].to_list()
    )
    assert found.drop("symbol", "datetime").equals(raw.drop("create_time").cast(pl.Float64))
    assert alphaqcm.hourly(root, "klines").collect().schema["trade_count"] == pl.Int64


@pytest.mark.parametrize(
    "lazy",
    [
        lambda root: alphaqcm.scan(root, valid=False),
        lambda root: alphaqcm.bars(root, interval="1h"),
        lambda root: alphaqcm.bars(root, interval="1m"),
        lambda root: alphaqcm.flow(root, interval="1h"),
        lambda root: alphaqcm.hourly(root, "klines"),
    ],
)
def test_a_lazy_frame_gives_what_its_schema_says_however_it_is_asked(
    root: Path, lazy: Callable[[Path], pl.LazyFrame]
) -> None:
    frame = lazy(root)
    whole = frame.collect()
    assert whole.schema == frame.collect_schema()
    assert whole.equals(frame.collect(engine="streaming"))
    assert whole.equals(whole.sort("symbol", "datetime"))
    name = whole.columns[-1]
    later = pl.col("datetime") >= datetime(2024, 2, 28, tzinfo=UTC)
    assert frame.filter(later).select(name).collect().equals(whole.filter(later).select(name))
    assert frame.head(5).collect().equals(whole.head(5))
    assert frame.filter(later).head(5).collect().equals(whole.filter(later).head(5))
    assert frame.select(pl.len()).collect().item() == whole.height
    assert frame.select("symbol").collect().equals(whole.select("symbol"))


def test_a_panel_has_a_value_where_the_table_has_one(root: Path) -> None:
    fields = ["close", "is_stable", "vol_regime"]
    times, names, values = alphaqcm.panel(root, fields, valid=False)
    assert names == SYMBOLS
    assert values.shape == (72, 3, 3)
    assert values.dtype == np.float64
    assert (np.diff(times) == np.timedelta64(1, "h")).all()
    for row in table(root).select("symbol", "datetime", *fields).iter_rows():
        moment = int(np.searchsorted(times, np.datetime64(row[1].replace(tzinfo=None))))
        cells = values[moment, :, names.index(row[0])]
        told = [np.nan if value is None else float(value) for value in row[2:]]
        assert np.array_equal(cells, told, equal_nan=True)


def test_a_panel_is_nan_where_a_row_is_not_valid(root: Path) -> None:
    times, _, values = alphaqcm.panel(root, "close", "BTCUSDT")
    valid = alphaqcm.scan(root, "BTCUSDT", ["close"]).collect()
    assert np.isfinite(values).sum() == valid.height
    assert times[0] == np.datetime64(valid["datetime"][0].replace(tzinfo=None))


def test_a_panel_without_rows_is_empty(root: Path) -> None:
    times, names, values = alphaqcm.panel(root, "close", "BTCUSDT", start="2030-01-01")
    assert (times.shape, names, values.shape) == ((0,), ["BTC_USDT:USDT"], (0, 1, 1))


def test_the_manifest_is_the_table_s(root: Path) -> None:
    told = alphaqcm.manifest(root)
    assert told.rows == table(root).height
    assert list(told.columns) == table(root).columns
    assert list(told.symbols) == SYMBOLS


def test_the_columns_are_those_of_the_table(root: Path) -> None:
    told = alphaqcm.columns()
    assert told["name"].to_list() == table(root).columns
    assert told["dtype"].to_list()[:2] == ["String", "Datetime[us, UTC]"]
    assert told.filter(~pl.col("point_in_time"))["name"].to_list() == [
        "cs_coverage_frac",
        "volume_clean",
    ]


def test_a_root_whose_name_looks_like_a_pattern_is_read(root: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a [b]*?{c}"
    shutil.copytree(root, odd)
    for name in ("x", "ab"):  # what the patterns would match
        (tmp_path / f"a {name}").mkdir()
    opened = alphaqcm.open_root(odd)
    for lazy in (
        lambda at: alphaqcm.scan(at, "BTCUSDT"),
        lambda at: alphaqcm.bars(at, interval="1h"),
        lambda at: alphaqcm.bars(at, interval="1m"),
        lambda at: alphaqcm.flow(at, interval="1d"),
        lambda at: alphaqcm.hourly(at, "fundingRate"),
    ):
        assert lazy(opened).collect().equals(lazy(root).collect())
    with connect(Layout(odd)) as here, connect(Layout(root)) as there:
        text = "SELECT (SELECT count(*) FROM klines_1m), (SELECT count(*) FROM metrics_1h)"
        assert here.execute(text).fetchall() == there.execute(text).fetchall()


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda root: alphaqcm.open_root("ftp://host/x"), UsageError, "a folder of this machine"),
        (lambda root: alphaqcm.bars("https://host/x"), UsageError, "a folder of this machine"),
        (lambda root: alphaqcm.open_root(root / "none"), UsageError, "nothing there"),
        (lambda root: alphaqcm.scan(root.parent), UsageError, "a final table"),
        (lambda root: alphaqcm.bars(root.parent), UsageError, "minutes of klines"),
        (lambda root: alphaqcm.bars(root, market="spot"), UsageError, "minutes of klines"),
        (lambda root: alphaqcm.bars(root, "XRPUSDT"), UsageError, "XRPUSDT"),
        (lambda root: alphaqcm.scan(root, ["BTCUSDT", "XRPUSDT"]), UsageError, "XRP_USDT:USDT"),
        (lambda root: alphaqcm.scan(root, []), UsageError, "empty list"),
        (lambda root: alphaqcm.scan(root, "BTC-USDT"), BadName, "BTC-USDT"),
        (lambda root: alphaqcm.scan(root, columns=["clos"]), UsageError, "such as close"),
        (lambda root: alphaqcm.scan(root, start="28.02.2024"), UsageError, "2024-02-28"),
        (lambda root: alphaqcm.scan(root, start="2024-02-28", end="2024-02-27"), UsageError, "end"),
        (lambda root: alphaqcm.bars(root, interval="2d"), BadName, "interval"),
        (lambda root: alphaqcm.bars(root, interval="5m", offset="5m"), BadName, "offset"),
        (lambda root: alphaqcm.bars(root, market="options"), BadName, "options"),
        (lambda root: alphaqcm.hourly(root, "trades"), PipelineError, "trades"),
        (lambda root: alphaqcm.panel(root, ["close", "datetime"]), UsageError, "datetime"),
        (lambda root: alphaqcm.panel(root, []), UsageError, "empty list"),
        (lambda root: alphaqcm.manifest(root.parent), UsageError, "manifest"),
    ],
)
def test_what_cannot_be_read_is_told(
    root: Path, call: Callable[[Path], object], error: type[PipelineError], told: str
) -> None:
    with pytest.raises(error, match=told):
        call(root)


def test_a_damaged_layer_is_told_when_it_is_read(root: Path, tmp_path: Path) -> None:
    broken = tmp_path / "root"
    shutil.copytree(root, broken)
    for path in (broken / "binance_klines_1m_parquet").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-50])
    (broken / "final_dataset_all.parquet").write_bytes(b"PAR1 no table PAR1")
    for interval in ("1m", "1h"):
        with pytest.raises(LayerError):
            alphaqcm.bars(broken, "BTCUSDT", interval=interval).collect()
    with pytest.raises(LayerError):
        alphaqcm.scan(broken)
