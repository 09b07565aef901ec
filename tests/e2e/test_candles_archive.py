"""Candles seeded from an archive, hours held against it, and the calendar of minutes from both."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.data_collection.simulation.exchange import Exchange
from alphaqcm.pipeline.domain.archive_file import Period, Series
from alphaqcm.pipeline.domain.registry import DataType, Market
from tests.helpers.archive_tree import publish
from tests.helpers.simulated_exchange import (
    START_MS,
    ask,
    assert_stored_equals_truth,
    candles,
    exchange,
    footer,
    stats,
    stored,
)

pytestmark = pytest.mark.process

UM = "usdt_futures_5m"
ONE = ("--market", "um", "--symbols", "BTCUSDT")
TODAY = datetime.fromtimestamp(START_MS / 1000, UTC).date()


def publish_day(server: Exchange, tree: Path, interval: str, day: date, leave_out: int = 0) -> None:
    """A day's klines of the exchange's truth as the archive has them."""
    series = Series(Market.UM, DataType.KLINES, "BTCUSDT", interval)
    file = series.file(Period.day(day))
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    rows = ask(
        server, "/__truth__/klines", market="um", symbol="BTCUSDT", interval=interval,
        startTime=begin, endTime=begin + 86_400_000 - 1,
    )  # fmt: skip
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows[leave_out:])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(file.name.replace(".zip", ".csv"), text.getvalue())
    publish(tree, file, stream.getvalue())


@pytest.fixture(scope="module")
def server() -> Iterator[Exchange]:
    with exchange() as running:
        yield running


@pytest.fixture(scope="module")
def tree(server: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six days up to yesterday; of the third one a candle is missing."""
    folder = tmp_path_factory.mktemp("archive")
    for back in range(1, 7):
        day = TODAY - timedelta(days=back)
        publish_day(server, folder, "5m", day, leave_out=1 if back == 3 else 0)
        publish_day(server, folder, "1h", day)
    for back in (1, 2):
        publish_day(server, folder, "1m", TODAY - timedelta(days=back))
    return folder


def klines_asked(server: Exchange) -> int:
    return sum(n for path, n in stats(server)["paths"].items() if path.endswith("/klines"))


def test_the_archive_gives_whole_days_and_rest_the_others(
    server: Exchange, tree: Path, tmp_path: Path
) -> None:
    before = klines_asked(server)
    words = (
        *ONE,
        "--start",
        f"{TODAY - timedelta(days=6)}",
        "--seed-from-archive",
        "--source",
        tree,
    )
    done = candles(server, tmp_path, "fetch", *words)
    assert done.returncode == 0, done.stderr
    sources = [one["source"] for one in footer(tmp_path, UM, "BTCUSDT")["covered"]]
    assert sources == ["archive", "rest", "archive", "rest"]
    assert klines_asked(server) - before == 2  # the day with a hole, and today
    assert_stored_equals_truth(server, tmp_path, UM, "um", "BTCUSDT")


def test_hours_are_held_against_the_archives(server: Exchange, tree: Path, tmp_path: Path) -> None:
    both = ("--market", "um", "--symbols", "BTCUSDT,ETHUSDT")
    candles(server, tmp_path, "fetch", *both, "--start", f"{TODAY - timedelta(days=6)}")
    candles(server, tmp_path, "resample", "--market", "um")
    found = candles(
        server, tmp_path, "compare", "--market", "um", "--reference", "archive-1h", "--source", tree
    )
    assert found.returncode == 0, found.stderr
    assert "144 candles on both sides: equal" in found.stdout
    assert "the reference has nothing of them: 1: ETHUSDT" in found.stdout


def test_the_calendar_has_every_minute_with_its_settlements(
    server: Exchange, tree: Path, tmp_path: Path
) -> None:
    done = candles(server, tmp_path, "holo", *ONE, "--source", tree)
    assert done.returncode == 0, done.stderr
    calendar = pl.read_parquet(tmp_path / "candles/holo_1m/usdt_futures/BTCUSDT.parquet")
    begins = calendar["candle_begin_time"]
    assert begins[0].date() == TODAY - timedelta(days=2)  # where the archive begins
    assert begins.diff().drop_nulls().unique().to_list() == [timedelta(minutes=1)]
    assert calendar.height >= 2 * 1440 + 12 * 60
    minutes = stored(tmp_path, "usdt_futures_1m", "BTCUSDT")
    known = calendar.filter(~pl.col("is_filled"))
    assert known.select(minutes.columns).equals(minutes)
    settled = calendar.filter(pl.col("funding_rate").is_not_null())
    assert settled["candle_begin_time"].dt.hour().unique().sort().to_list() == [0, 8, 16]
    assert settled.height >= 7


def test_hours_of_the_calendar_carry_vwap_and_funding(
    server: Exchange, tree: Path, tmp_path: Path
) -> None:
    candles(server, tmp_path, "holo", *ONE, "--source", tree)
    done = candles(
        server, tmp_path, "resample", "--market", "um", "--from", "holo", "--offsets", "0m,7m"
    )
    assert done.returncode == 0, done.stderr
    hours = stored(tmp_path, "usdt_futures_1h_holo_resample/7m", "BTCUSDT")
    assert hours["candle_begin_time"].dt.minute().unique().to_list() == [7]
    assert hours.filter(~pl.col("vwap").is_between("low", "high")).is_empty()
    settled = hours.filter(pl.col("funding_rate").is_not_null())
    assert settled["candle_begin_time"].dt.hour().unique().sort().to_list() == [7, 15, 23]
    assert hours["n_filled"].dtype == pl.Int32
