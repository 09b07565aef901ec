"""Fetch, resample, compare: the commands in a row, and how each of them finds a difference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from alphaqcm.data_collection.simulation.exchange import Exchange
from tests.helpers.simulated_exchange import candles, exchange, plant, stored

pytestmark = pytest.mark.process

HOURS = "usdt_futures_1h_resample"


@pytest.fixture(scope="module")
def server() -> Iterator[Exchange]:
    with exchange() as running:
        yield running


@pytest.fixture(scope="module")
def fetched(server: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("candles")
    words = ("--market", "um", "--symbols", "BTCUSDT,ETHUSDT", "--start", "2026-03-08T05:20:00Z")
    assert candles(server, root, "fetch", *words, "--end", "2026-03-09").returncode == 0
    return root


@pytest.fixture(scope="module")
def resampled(server: Exchange, fetched: Path) -> Path:
    done = candles(server, fetched, "resample", "--market", "um")
    assert done.returncode == 0, done.stderr
    return fetched


@pytest.fixture
def root(resampled: Path, tmp_path: Path) -> Path:
    """A copy for each test: some change a file."""
    shutil.copytree(resampled, tmp_path / "root")
    return tmp_path / "root"


def rewrite(path: Path, frame: pl.DataFrame) -> None:
    frame.write_parquet(path)


def compare(server: Exchange, root: Path, *words: object) -> tuple[int, str, str]:
    done = candles(server, root, "compare", "--market", "um", *words)
    return done.returncode, done.stdout, done.stderr


def test_hours_at_offset_0_are_the_exchanges_own(server: Exchange, root: Path) -> None:
    code, out, err = compare(server, root, "--reference", "exchange-1h")
    assert code == 0, err
    assert "usdt_futures: 36 candles on both sides: equal" in out


def test_a_symbol_that_the_exchange_has_no_more_is_named(root: Path) -> None:
    with exchange() as server:
        plant(server, "delist", market="um", symbol="ETHUSDT", value=-1121)
        code, out, err = compare(server, root, "--reference", "exchange-1h")
    assert code == 0, err
    assert "usdt_futures: 18 candles on both sides: equal" in out
    assert "the reference has nothing of them: 1: ETHUSDT" in out


def test_where_nothing_can_be_compared_nothing_is_equal(root: Path) -> None:
    with exchange() as server:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            plant(server, "delist", market="um", symbol=symbol, value=-1121)
        code, out, _ = compare(server, root, "--reference", "exchange-1h")
    assert code == 1
    assert "0 candles on both sides: DIFFERENT" in out


def test_every_offset_has_a_file_a_symbol_and_one_long_file(root: Path) -> None:
    for number in range(12):
        offset = f"{5 * number}m"
        files = sorted((root / "candles" / HOURS / offset).iterdir())
        assert [file.name for file in files] == ["BTCUSDT.parquet", "ETHUSDT.parquet"]
        both = pl.concat(
            [pl.read_parquet(file).with_columns(symbol=pl.lit(file.stem)) for file in files]
        )
        long = pl.read_parquet(root / "candles" / f"{HOURS}_all" / f"{offset}.parquet")
        assert long.equals(both.select(long.columns))
        begins = both["candle_begin_time"]
        assert set(begins.dt.minute().to_list()) == {5 * number}
        lengths = (both["candle_end_time"] - begins).unique().to_list()
        assert lengths == [timedelta(hours=1)]


def test_an_hour_is_the_fold_of_its_twelve_candles(root: Path) -> None:
    five = stored(root, "usdt_futures_5m", "BTCUSDT")
    hours = stored(root, f"{HOURS}/25m", "BTCUSDT")
    assert hours.height == 18
    for hour in hours.iter_rows(named=True):
        parts = five.filter(
            (pl.col("candle_begin_time") - hour["candle_begin_time"])
            .dt.total_minutes()
            .is_between(0, 55)
        )
        assert parts.height == 12
        volume = 0.0
        for part in parts["volume"]:
            volume += part
        assert hour["volume"] == volume
        assert (hour["open"], hour["close"]) == (parts["open"][0], parts["close"][-1])
        assert (hour["high"], hour["low"]) == (parts["high"].max(), parts["low"].min())
        assert hour["trade_num"] == parts["trade_num"].sum()


def test_a_changed_cell_is_found_and_reported(server: Exchange, root: Path, tmp_path: Path) -> None:
    path = root / "candles" / HOURS / "0m" / "ETHUSDT.parquet"
    frame = pl.read_parquet(path)
    first = pl.int_range(pl.len()) == 0
    rewrite(path, frame.with_columns(pl.when(first).then(1e-9).otherwise("low").alias("low")))
    out = tmp_path / "out.json"
    code, text, _ = compare(server, root, "--reference", "exchange-1h", "--report", out)
    assert code == 1
    assert "DIFFERENT" in text
    report = json.loads(out.read_bytes())["usdt_futures"]
    assert report["columns"]["low"]["unequal"] == 1
    assert report["columns"]["high"]["unequal"] == 0
    assert report["missing_ours"] == []


def test_a_missing_row_is_found(server: Exchange, root: Path) -> None:
    path = root / "candles" / HOURS / "0m" / "ETHUSDT.parquet"
    frame = pl.read_parquet(path)
    rewrite(path, pl.concat([frame[:7], frame[8:]]))
    code, text, _ = compare(server, root, "--reference", "exchange-1h")
    assert code == 1
    assert "missing in ours: 1: ETHUSDT 2026-03-08T13:00:00Z" in text


def test_a_row_too_many_and_a_doubled_one_are_found(
    server: Exchange, root: Path, tmp_path: Path
) -> None:
    long = pl.read_parquet(root / "candles" / f"{HOURS}_all" / "5m.parquet")
    lacking, twice = tmp_path / "lacking.parquet", tmp_path / "twice.parquet"
    rewrite(lacking, long[1:])
    rewrite(twice, pl.concat([long, long[:1]]))
    code, text, _ = compare(server, root, "--reference", lacking)
    assert code == 1
    assert "missing in the reference: 1: BTCUSDT" in text
    code, text, _ = compare(server, root, "--reference", twice)
    assert code == 1
    assert "twice: 1: BTCUSDT" in text


def test_a_file_of_the_same_candles_is_equal(server: Exchange, root: Path) -> None:
    path = root / "candles" / f"{HOURS}_all" / "5m.parquet"
    assert compare(server, root, "--reference", path)[0] == 0


def test_sums_may_lie_as_far_apart_as_is_asked_for(
    server: Exchange, root: Path, tmp_path: Path
) -> None:
    long = pl.read_parquet(root / "candles" / f"{HOURS}_all" / "5m.parquet")
    volume = np.nextafter(long["volume"].to_numpy(), np.inf)
    rewrite(tmp_path / "near.parquet", long.with_columns(pl.Series("volume", volume)))
    words = ("--reference", tmp_path / "near.parquet", "--max-ulp")
    assert compare(server, root, *words, 1)[0] == 0
    assert compare(server, root, *words, 0)[0] == 1


@pytest.mark.parametrize(
    ("reference", "told"),
    [("moon", "exchange-1h, archive-1h"), ("no.parquet", "a parquet file of candles")],
)
def test_an_unknown_reference_is_refused(
    server: Exchange, root: Path, reference: str, told: str
) -> None:
    code, _, err = compare(server, root, "--reference", reference)
    assert code == 2
    assert told in err


def test_nothing_to_compare_is_a_clear_error(server: Exchange, tmp_path: Path) -> None:
    code, _, err = compare(server, tmp_path, "--reference", "exchange-1h")
    assert code == 2
    assert "a candle store" in err


def test_other_intervals_are_folded_as_well(server: Exchange, fetched: Path) -> None:
    done = candles(
        server, fetched, "resample", "--market", "um", "--interval", "15m", "--offsets", "0m,10m"
    )
    assert done.returncode == 0, done.stderr
    quarter = stored(fetched, "usdt_futures_15m_resample/10m", "BTCUSDT")
    assert quarter["candle_begin_time"].dt.minute().unique().sort().to_list() == [10, 25, 40, 55]
