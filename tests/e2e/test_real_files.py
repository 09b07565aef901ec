"""Binance's own files through a whole run."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.data_collection.simulation.mirror import Mirror
from alphaqcm.pipeline.features.columns import COLUMNS
from tests.conftest import REAL
from tests.helpers.command import alphaqcm

pytestmark = pytest.mark.process

SYMBOLS = ("FILUSDT", "NEARUSDT", "AVAXUSDT")


def lines(path: Path) -> Iterator[list[str]]:
    """The rows of a ZIP's CSV, read with the standard library alone."""
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    for row in csv.reader(io.StringIO(text)):
        if row[0][0].isdigit():
            yield row


def rolled_up(path: Path) -> dict[datetime, tuple[float, float, float, float, Decimal]]:
    """Hours of a 1m kline ZIP: open, high, low, close, volume (exact)."""
    hours: dict[datetime, list[list[str]]] = {}
    for row in lines(path):
        moment = datetime.fromtimestamp(int(row[0]) // 1000, UTC)
        hours.setdefault(moment.replace(minute=0), []).append(row)
    return {
        hour: (
            float(rows[0][1]),
            max(float(row[2]) for row in rows),
            min(float(row[3]) for row in rows),
            float(rows[-1][4]),
            sum((Decimal(row[5]) for row in rows), Decimal()),
        )
        for hour, rows in hours.items()
    }


@pytest.fixture(scope="module", params=["http", "directory"])
def february(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    real = request.getfixturevalue("real_archive")
    root = tmp_path_factory.mktemp("february")
    words = ["run", "--symbols", ",".join(SYMBOLS), "--data-root", root]
    words += ["--start", "2024-02-01", "--end", "2024-02-29", "--source"]
    if request.param == "directory":
        done = alphaqcm(*words, real)
    else:
        with Mirror(real) as mirror:
            done = alphaqcm(*words, mirror.url)
    assert done.returncode == 0, done.stderr
    return root, done.stdout


@pytest.fixture(scope="module")
def real_archive() -> Path:
    folder = REAL / "archive"
    if not folder.is_dir():
        pytest.skip("the real files are not at hand")
    return folder


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_hours_equal_a_roll_up_of_the_minutes(
    symbol: str, february: tuple[Path, str], real_archive: Path
) -> None:
    table = pl.read_parquet(february[0] / "final_dataset_all.parquet")
    rows = table.filter(pl.col("symbol") == symbol.replace("USDT", "_USDT:USDT"))
    expected = rolled_up(
        real_archive / f"data/futures/um/monthly/klines/{symbol}/1m/{symbol}-1m-2024-02.zip"
    )
    assert rows.height == len(expected) == 696
    names = ["datetime", "open", "high", "low", "close", "volume"]
    for hour, *prices, volume in rows.select(names).iter_rows():
        *expected_prices, expected_volume = expected[hour]
        assert prices == expected_prices
        assert volume == pytest.approx(float(expected_volume), rel=1e-14)


def test_what_the_archive_does_not_have_is_null_and_told(february: tuple[Path, str]) -> None:
    root, told = february
    table = pl.read_parquet(root / "final_dataset_all.parquet")
    empty = {name for name in COLUMNS if table[name].null_count() == table.height}
    absent = ("funding_", "triad_", "oi_", "ls_", "at_", "arb_pressure")
    assert empty == {name for name in COLUMNS if name.startswith(absent)}
    for kind in ("aggTrades", "fundingRate", "metrics", "markPriceKlines:1h"):
        assert f"{kind} 2024-02: FILUSDT, NEARUSDT, AVAXUSDT" in told


def test_spot_minutes_of_three_days(real_archive: Path, tmp_path: Path) -> None:
    done = alphaqcm(
        *("run", "--market", "spot", "--symbols", "BTC/USDT", "--data-root", tmp_path),
        *("--start", "2020-01-01", "--end", "2020-01-03", "--source", real_archive),
    )
    assert done.returncode == 0, done.stderr
    assert "spot ends at the 1-minute and hourly layers" in done.stdout
    minutes = pl.read_parquet(
        tmp_path / "spot" / "binance_klines_1m_parquet" / "BTCUSDT" / "2020-01.parquet"
    )
    start = datetime(2020, 1, 1, tzinfo=UTC)
    assert minutes["minute"].to_list() == [start + timedelta(minutes=n) for n in range(3 * 1440)]
    hourly = {
        row[0]: row[1:]
        for row in minutes.group_by(pl.col("minute").dt.truncate("1h").alias("hour"))
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
        )
        .iter_rows()
    }
    official = real_archive / "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2020-01.zip"
    for row in list(lines(official))[:72]:
        moment = datetime.fromtimestamp(int(row[0]) // 1000, UTC)
        assert hourly[moment] == tuple(map(float, row[1:5]))


def test_spot_hours_in_microseconds(real_archive: Path, tmp_path: Path) -> None:
    done = alphaqcm(
        *("run", "--market", "spot", "--symbols", "BTCUSDT", "--data-root", tmp_path),
        *("--start", "2026-05-08", "--end", "2026-05-09", "--source", real_archive),
    )
    assert done.returncode == 0, done.stderr
    hours = pl.read_csv(tmp_path / "spot" / "binance_klines_1h" / "BTCUSDT_klines.csv")
    assert hours.height == 48
    assert hours.row(0)[:5] == ("2026-05-08 00:00:00+00:00", 80006.0, 80142.84, 79729.72, 79831.99)


def test_coin_margined_trades_of_a_day(real_archive: Path, tmp_path: Path) -> None:
    done = alphaqcm(
        *("run", "--market", "cm", "--symbols", "BTC/USD:BTC", "--data-root", tmp_path),
        *("--start", "2026-05-08", "--end", "2026-05-08", "--source", real_archive),
    )
    assert done.returncode == 0, done.stderr
    minutes = pl.read_parquet(
        tmp_path / "cm" / "binance_aggTrades_1m_parquet" / "BTCUSD_PERP" / "2026-05.parquet"
    )
    key = "data/futures/cm/daily/aggTrades/BTCUSD_PERP/BTCUSD_PERP-aggTrades-2026-05-08.zip"
    rows = list(lines(real_archive / key))
    assert minutes["trade_count"].sum() == len(rows) == 105_280
    contracts = sum(float(row[2]) for row in rows)
    assert minutes["quote_volume"].sum() == pytest.approx(contracts * 100, rel=1e-12)  # USD
    coins = sum(float(row[2]) * 100 / float(row[1]) for row in rows)
    assert minutes["base_volume"].sum() == pytest.approx(coins, rel=1e-12)
    assert minutes["first_agg_trade_id"].min() == int(rows[0][0])
    assert minutes["last_agg_trade_id"].max() == int(rows[-1][0])


def test_funding_of_a_month_without_bars(real_archive: Path, tmp_path: Path) -> None:
    done = alphaqcm(
        *("run", "--symbols", "BTCUSDT", "--data-root", tmp_path),
        *("--start", "2026-04-01", "--end", "2026-04-30", "--source", real_archive),
    )
    assert done.returncode == 0, done.stderr
    assert "no symbol has a 1m kline" in done.stdout
    held = pl.read_csv(tmp_path / "binance_fundingRate" / "BTCUSDT_fundingRate.csv")
    key = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2026-04.zip"
    settlements = list(lines(real_archive / key))
    assert len(settlements) == 90
    assert held.height == 30 * 24
    assert held["last_funding_rate"].to_list()[::8] == [float(row[2]) for row in settlements]
