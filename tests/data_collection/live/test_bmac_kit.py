"""BmacKit: candles as they are ready, factors on them, and what is told of the late ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from alphaqcm.data_collection.errors import CandlesLate, UsageError
from alphaqcm.data_collection.live.files.ready_names import latest_ready
from alphaqcm.pipeline.errors import LayerError
from bmac_kit import (
    BmacAllMarketCalculator,
    BmacSingleSymbolCalculator,
    CandleFileReader,
    convert_interval_to_timedelta,
    next_run_time,
    now_time,
    sleep_until_run_time,
)
from tests.helpers.bmac_files import candles, publish, publish_exginfo, ready_file, write_data

PACKAGE = "scripts.examples.factor"
FACTORS = [("PctChg", 100), ("TrdNumMeanV1", 80)]
STEP = timedelta(minutes=5)


@pytest.fixture
def run_time() -> datetime:
    """The last close, at most five minutes ago."""
    return next_run_time("5m") - STEP


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "usdt_perp_5m"
    path.mkdir()
    return path


def single(folder: Path, expire: int = 3600, save_type: str = "parquet") -> (
    BmacSingleSymbolCalculator
):  # fmt: skip
    reader = CandleFileReader(folder, save_type)
    return BmacSingleSymbolCalculator("BTCUSDT", reader, FACTORS, PACKAGE, expire)


def market(tmp_path: Path, expire: int = 3600) -> BmacAllMarketCalculator:
    return BmacAllMarketCalculator(
        CandleFileReader(tmp_path / "exginfo_5m", "parquet"),
        CandleFileReader(tmp_path / "usdt_perp_5m", "parquet"),
        FACTORS,
        PACKAGE,
        expire,
    )


def wanted(frame: pd.DataFrame) -> pd.DataFrame:
    """The candles with the factors, by pandas' own means."""
    return frame.assign(
        PctChg_100=frame["close"] / frame["close"].shift(100) - 1,
        TrdNumMeanV1_80=frame["trade_num"].rolling(80).sum() / 80,
    )


def test_a_reader_knows_the_files_of_its_folder(folder: Path) -> None:
    moment = datetime(2026, 3, 10, 16, 5, tzinfo=UTC)
    reader = CandleFileReader(folder, "parquet")
    for name in ("BTCUSDT", "BTCUSDT_260626"):
        publish(folder, name, candles(moment, 3), moment)
    write_data(folder, "ETHUSDT", candles(moment, 3))
    ready = Path(reader.format_ready_file_path("BTCUSDT", moment))
    assert ready == folder / "BTCUSDT_20260311_000500.ready"
    assert Path(reader.format_data_file_path("BTCUSDT")) == folder / "BTCUSDT.pqt"
    assert reader.check_ready("BTCUSDT", moment)
    assert not reader.check_ready("BTCUSDT", moment - STEP)
    assert not reader.check_ready("ETHUSDT", moment)
    assert reader.has_symbol("ETHUSDT")
    assert not reader.has_symbol("BTC")
    assert reader.get_all_symbols() == ["BTCUSDT", "BTCUSDT_260626", "ETHUSDT"]
    pd.testing.assert_frame_equal(
        reader.read_candle("BTCUSDT"), candles(moment, 3), check_freq=False
    )
    mine = reader.read_candle("BTCUSDT")
    mine.loc[mine.index[0], "close"] = 1.0  # a factor may write into its frame
    assert mine["close"].iloc[0] == 1.0
    with pytest.raises(LayerError, match=r"NOPE\.pqt"):
        reader.read_candle("NOPE")
    with pytest.raises(UsageError, match="parquet or feather"):
        CandleFileReader(folder, "csv")


def test_a_symbol_that_begins_like_another_is_not_taken_for_it(folder: Path) -> None:
    moment = datetime(2026, 3, 10, 16, 5, tzinfo=UTC)
    ready_file(folder, "BTCUSDT_260626", moment).touch()
    ready_file(folder, "BTCUSDT", moment - STEP).touch()
    (folder / "_20260311_000500.ready").touch()
    assert latest_ready(folder) == {
        "BTCUSDT_260626": "20260311_000500",
        "BTCUSDT": "20260311_000000",
    }


@pytest.mark.parametrize("save_type", ["parquet", "feather"])
def test_factors_of_a_symbol_end_at_the_run_time(
    folder: Path, run_time: datetime, save_type: str
) -> None:
    """The file has a candle more already, which a strategy that works at `run_time` cannot know."""
    frame = candles(run_time + STEP, 301)
    publish(folder, "BTCUSDT", frame, run_time, save_type)
    df = asyncio.run(single(folder, save_type=save_type).calc_factors(run_time))
    expected = wanted(frame.iloc[:-1])
    if save_type == "feather":
        expected = expected.reset_index(drop=True)
    pd.testing.assert_frame_equal(df, expected, check_freq=False)


def test_another_symbol_can_be_asked_for(folder: Path, run_time: datetime) -> None:
    frame = candles(run_time, 120, seed=5)
    publish(folder, "ETHUSDT", frame, run_time)
    df = asyncio.run(single(folder).calc_factors(run_time, "ETHUSDT"))
    pd.testing.assert_frame_equal(df, wanted(frame), check_freq=False)


def test_feather_of_a_folder_by_another_name_is_trimmed_too(
    tmp_path: Path, run_time: datetime
) -> None:
    publish(tmp_path, "BTCUSDT", candles(run_time + STEP, 5), run_time, "feather")
    df = asyncio.run(single(tmp_path, save_type="feather").calc_factors(run_time))
    assert len(df) == 4


@pytest.fixture(params=["told by the kernel", "looked for"])
def waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the library that tells of changes, and without it."""
    if request.param == "looked for":
        monkeypatch.setitem(sys.modules, "watchfiles", None)
    else:
        pytest.importorskip("watchfiles")


def both(first: Awaitable[object], second: Awaitable[object]) -> object:
    async def run() -> object:
        found, _ = await asyncio.gather(first, second)
        return found

    return asyncio.run(run())


@pytest.mark.usefixtures("waiting")
def test_a_ready_file_is_waited_for(folder: Path, run_time: datetime) -> None:
    frame = candles(run_time, 120)
    publish(folder, "BTCUSDT", frame.iloc[:-1], run_time - STEP)

    async def close() -> None:
        await asyncio.sleep(0.1)
        publish(folder, "ETHUSDT", frame, run_time)
        await asyncio.sleep(0.1)
        publish(folder, "BTCUSDT", frame, run_time)

    df = both(single(folder).calc_factors(run_time), close())
    assert isinstance(df, pd.DataFrame)
    pd.testing.assert_frame_equal(df, wanted(frame), check_freq=False)


@pytest.mark.usefixtures("waiting")
def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path, run_time: datetime) -> None:
    frame = candles(run_time, 120)

    async def start() -> None:
        await asyncio.sleep(0.1)
        publish(tmp_path / "late_5m", "BTCUSDT", frame, run_time)

    df = both(single(tmp_path / "late_5m").calc_factors(run_time), start())
    assert isinstance(df, pd.DataFrame)
    assert len(df) == 120


def test_a_later_ready_file_says_the_same(folder: Path, run_time: datetime) -> None:
    """A strategy that comes after the next close still gets its rows, and only those."""
    frame = candles(run_time + 2 * STEP, 122)
    publish(folder, "BTCUSDT", frame, run_time + 2 * STEP)
    df = asyncio.run(single(folder).calc_factors(run_time))
    pd.testing.assert_frame_equal(df, wanted(frame.iloc[:-2]), check_freq=False)


@pytest.mark.usefixtures("waiting")
def test_what_is_not_ready_in_time_is_a_timeout(folder: Path, run_time: datetime) -> None:
    """Once with a second to wait for, once long after."""
    publish(folder, "BTCUSDT", candles(run_time - STEP, 10), run_time - STEP)
    second = int((now_time() - run_time).total_seconds()) + 1
    for expire in (second, 0):
        with pytest.raises(TimeoutError) as caught:
            asyncio.run(single(folder, expire).calc_factors(run_time))
    assert isinstance(caught.value, CandlesLate)
    text = str(caught.value)
    assert "BTCUSDT at" in text
    assert str(ready_file(folder, "BTCUSDT", run_time)) in text
    assert f"{ready_file(folder, 'BTCUSDT', run_time - STEP).stem[8:]} where" in text


def test_the_whole_market_has_a_row_a_symbol_and_names_the_late_ones(
    tmp_path: Path, run_time: datetime
) -> None:
    folder = tmp_path / "usdt_perp_5m"
    frames = {name: candles(run_time, 120, seed=n) for n, name in enumerate(("AUSDT", "BUSDT"))}
    frames["牛USDT"] = candles(run_time, 120, seed=9)
    for name, frame in frames.items():
        publish(folder, name, frame, run_time)
    publish(folder, "LATEUSDT", candles(run_time - STEP, 120), run_time - STEP)
    publish(folder, "HOLEUSDT", candles(run_time - STEP, 120), run_time)
    publish_exginfo(
        tmp_path / "exginfo_5m", run_time, AUSDT="TRADING", LATEUSDT="TRADING", BUSDT="TRADING",
        HOLEUSDT="TRADING", 牛USDT="SETTLING", HALTUSDT="BREAK",
    )  # fmt: skip
    second = int((now_time() - run_time).total_seconds()) + 1
    df = asyncio.run(market(tmp_path, second).calc_all_factors(run_time))
    expected = pd.concat([wanted(frame).iloc[-1:] for frame in frames.values()])
    expected.insert(0, "symbol", list(frames))
    pd.testing.assert_frame_equal(df, expected, check_freq=False)
    assert df.attrs == {"late": ["LATEUSDT"], "absent": ["HOLEUSDT"]}


def test_a_market_without_late_symbols_does_not_wait_for_what_is_halted(
    tmp_path: Path, run_time: datetime
) -> None:
    publish(tmp_path / "usdt_perp_5m", "AUSDT", candles(run_time, 120), run_time)
    publish_exginfo(tmp_path / "exginfo_5m", run_time, AUSDT="TRADING", HALTUSDT="BREAK")
    df = asyncio.run(market(tmp_path, 86_400).calc_all_factors(run_time))
    assert df["symbol"].tolist() == ["AUSDT"]
    assert df.attrs["late"] == []


@pytest.mark.parametrize("late", ["exginfo", "funding"])
def test_late_exchange_info_or_funding_is_a_timeout(
    tmp_path: Path, run_time: datetime, late: str
) -> None:
    publish(tmp_path / "usdt_perp_5m", "AUSDT", candles(run_time, 120), run_time)
    info = tmp_path / "exginfo_5m"
    publish_exginfo(info, run_time, AUSDT="TRADING")
    publish(info, "funding", pd.DataFrame({"symbol": ["AUSDT"], "rate": [1e-4]}), run_time)
    assert len(asyncio.run(market(tmp_path, 3600).calc_all_factors(run_time))) == 1
    ready_file(info, late, run_time).unlink()
    with pytest.raises(TimeoutError, match=late):
        asyncio.run(market(tmp_path, 0).calc_all_factors(run_time))


def test_a_factor_without_its_function_is_refused_at_once(tmp_path: Path) -> None:
    reader = CandleFileReader(tmp_path, "parquet")
    with pytest.raises(UsageError, match=r"bmac_files; expected a function signal"):
        BmacSingleSymbolCalculator("BTCUSDT", reader, [("bmac_files", 1)], "tests.helpers")
    with pytest.raises(ModuleNotFoundError):
        BmacSingleSymbolCalculator("BTCUSDT", reader, [("Nope", 1)], PACKAGE)


def test_the_helpers_of_time_are_there() -> None:
    moment = now_time()
    assert moment.utcoffset() == timedelta(hours=8)
    assert convert_interval_to_timedelta("5m") == STEP
    assert moment < next_run_time("1m") <= moment + timedelta(minutes=1, seconds=30)
    asyncio.run(sleep_until_run_time(moment))
    assert now_time() >= moment
