from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.events import Liquidation, LiveTrade
from alphaqcm.data_collection.live.record import recorder as recorder_module
from alphaqcm.data_collection.live.record.compact import archive_file, compact
from alphaqcm.data_collection.live.record.day_parts import DayParts, Kind, read_rows
from alphaqcm.data_collection.live.record.liquidations import (
    LiquidationHours,
    append_hour,
    path_of,
    read,
    scored,
)
from alphaqcm.data_collection.live.record.recorder import Recorder
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.storage.layout import Layout
from tests.conftest import PROJECT
from tests.helpers.live_directory import LiveDirectory
from tests.helpers.simulated_exchange import ask, exchange, plant

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NOON = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()) * 1_000_000


def order(symbol: str, time_us: int, side: str, price: float, quantity: float) -> Liquidation:
    return Liquidation(Market.UM, symbol, time_us, side, price, price, quantity)


def test_a_longs_liquidation_sells_and_every_hour_is_a_sample(tmp_path: Path) -> None:
    hours = LiquidationHours(tmp_path)
    hours.add(order("BTCUSDT", NOON + 5, "SELL", 100.0, 2.0))
    hours.add(order("BTCUSDT", NOON + 6, "SELL", 10.0, 1.0))
    hours.add(order("BTCUSDT", NOON + 7, "BUY", 50.0, 1.0))
    hours.add(order("BTCUSDT", NOON + HOUR_US, "BUY", 7.0, 1.0))  # of the next hour
    for hour_us in (NOON, NOON + HOUR_US):
        assert hours.write(["BTCUSDT", "ETHUSDT"], hour_us, hours.take(hour_us)) == 2
    assert path_of(tmp_path, "BTCUSDT").read_text().splitlines() == [
        "datetime,long_notional,short_notional,n_orders,zscore_168h,sampled",
        "2026-03-10 12:00:00+00:00,210.0,50.0,3,,1",
        "2026-03-10 13:00:00+00:00,0.0,7.0,1,,1",
    ]
    assert read(path_of(tmp_path, "ETHUSDT"))["n_orders"].to_list() == [0, 0]


def test_the_score_is_of_168_trailing_hours_with_the_samples_deviation(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    values = chance.lognormal(10, 2, (200, 2))
    for number, (long, short) in enumerate(values[:3]):
        append_hour(tmp_path, "BTCUSDT", NOON + number * HOUR_US, long, short, 1)
    frame = pl.DataFrame(
        {
            "datetime": pl.Series(
                [NOON + n * HOUR_US for n in range(200)], dtype=pl.Datetime("us", "UTC")
            ),
            "long_notional": values[:, 0],
            "short_notional": values[:, 1],
            "n_orders": [1] * 200,
        }
    )
    score = scored(frame)["zscore_168h"].to_numpy()
    assert np.isnan(score[:167]).all()
    total = values.sum(axis=1)
    for at in range(167, 200):
        window = total[at - 167 : at + 1]
        expected = (total[at] - window.mean()) / window.std(ddof=1)
        assert score[at] == pytest.approx(expected, rel=1e-9)
    flat = frame.with_columns(long_notional=pl.lit(1.0), short_notional=pl.lit(1.0))
    assert scored(flat)["zscore_168h"].null_count() == 200


def test_an_hour_is_written_when_it_was_heard_from_its_beginning(tmp_path: Path) -> None:
    async def record() -> Recorder:
        clock = ExchangeClock(NOON / 1e6 + 1800, speed=1800)
        recorder = Recorder(
            tmp_path, Market.UM, clock, lambda *_: None, lambda: ["BTCUSDT"], liquidations=True
        )
        running = asyncio.create_task(recorder.run())
        recorder.on_event(order("BTCUSDT", NOON + 2000 * 1_000_000, "SELL", 9.0, 1.0))
        recorder.on_event(order("BTCUSDT", NOON + HOUR_US + 5, "SELL", 2.0, 1.0))
        while not path_of(tmp_path, "BTCUSDT").exists():
            await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return recorder

    asyncio.run(asyncio.wait_for(record(), 60))
    rows = read(path_of(tmp_path, "BTCUSDT"))
    assert rows is not None
    assert rows.row(0)[:4] == (datetime(2026, 3, 10, 13, tzinfo=UTC), 2.0, 0.0, 1)
    forced = tmp_path / "recorded" / "parts" / "um" / "forceOrder" / "BTCUSDT" / "2026-03-10.csv"
    assert len(read_rows(forced)) == 2


def test_no_row_is_lost_that_comes_while_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads change places as often as they can, and rows are written all the time."""
    monkeypatch.setattr(recorder_module, "FLUSH_EVERY", 0.0)
    count = 100_000

    async def record() -> Recorder:
        one = Recorder(tmp_path, Market.UM, ExchangeClock(NOON / 1e6), lambda *_: None, list)
        running = asyncio.create_task(one.run())
        for number in range(count):
            one.on_event(
                LiveTrade(
                    Market.UM, "BTCUSDT", number, number, number, NOON + number, 1.0, 1.0, False,
                    "1.0", "1.0",
                )
            )  # fmt: skip
            if number % 50 == 0:
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return one

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        parts = asyncio.run(record()).parts
    finally:
        sys.setswitchinterval(before)
    rows = read_rows(parts.path(Kind.AGG_TRADES, "BTCUSDT", NOON // DAY_US))
    assert [int(row[0]) for row in rows] == list(range(count))


def test_a_row_that_a_crash_cut_is_dropped_and_a_doubled_one_counts_once(tmp_path: Path) -> None:
    parts = DayParts(tmp_path, Market.UM)
    path = parts.path(Kind.AGG_TRADES, "BTCUSDT", NOON // DAY_US)
    path.parent.mkdir(parents=True)
    path.write_text("7,1.0,1.0,7,7,100,true\n8,1.0,1.0,8,8,1")
    assert parts.last_row(Kind.AGG_TRADES, "BTCUSDT") == "7,1.0,1.0,7,7,100,true"
    for row in ("8,1.0,1.0,8,8,100,true", "9,1.5,1.0,9,9,100,false", "8,1.0,1.0,8,8,100,true"):
        parts.add(Kind.AGG_TRADES, "BTCUSDT", NOON, row)
    parts.write(parts.take())
    file = compact(tmp_path, Market.UM, Kind.AGG_TRADES, "BTCUSDT", date(2026, 3, 10), path)
    assert file is not None and file.key.endswith("BTCUSDT-aggTrades-2026-03-10.zip")
    first = (tmp_path / "recorded" / file.key).read_bytes()
    compact(tmp_path, Market.UM, Kind.AGG_TRADES, "BTCUSDT", date(2026, 3, 10), path)
    assert (tmp_path / "recorded" / file.key).read_bytes() == first


def test_a_recorded_day_is_held_against_the_archives_file_when_that_comes(tmp_path: Path) -> None:
    told: list[str] = []
    recorder = Recorder(
        tmp_path, Market.UM, ExchangeClock(NOON / 1e6), lambda _, text: told.append(text), list
    )
    for row in ("7,1.0,1.0,7,7,100,true", "8,1.0,1.0,8,8,100,true", "9,1.5,1.0,9,9,100,false"):
        for symbol in ("BTCUSDT", "ETHUSDT"):
            recorder.parts.add(Kind.AGG_TRADES, symbol, NOON - DAY_US, row)
    recorder.flush()
    assert recorder.compact_days() == 2 and recorder.compare_days() == 0 and told == []
    same = "agg_trade_id,price,q,f,l,t,m\n7,1.00,1.000,7,7,100,True\n8,1,1,8,8,100,true\n"
    for symbol, last in (("BTCUSDT", "9,1.5,2.0,9,9,100,false\n11,1,1,1,1,1,true\n"),
                         ("ETHUSDT", "9,1.50,1,9,9,100,false\n")):  # fmt: skip
        file = archive_file(Market.UM, Kind.AGG_TRADES, symbol, date(2026, 3, 9))
        path = Layout(tmp_path).cache / file.key
        path.parent.mkdir(parents=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{file.name[:-4]}.csv", same + last)
    assert recorder.compare_days() == 1
    assert told == ["BTCUSDT-aggTrades-2026-03-09.zip: 2 rows differ from the archive's"]
    lines = (tmp_path / "recorded" / "differences.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"file": "BTCUSDT-aggTrades-2026-03-09.zip", "rows": 2, "first": ["9", "11"]},
        {"file": "ETHUSDT-aggTrades-2026-03-09.zip", "rows": 0, "first": []},
    ]
    assert recorder.compare_days() == 0  # told once


@pytest.mark.process
@pytest.mark.slow
def test_a_day_is_recorded_over_a_kill_and_read_as_the_archives(tmp_path: Path) -> None:
    """Trades and candles of an evening with a kill and lost frames are the exchange's own."""
    start_ms = int(datetime(2026, 3, 10, 23, 49, 30, tzinfo=UTC).timestamp() * 1000)
    root = tmp_path / "root"
    with exchange(um=2, start_ms=start_ms, trades_per_minute=30) as server:
        live = LiveDirectory(
            server, tmp_path / "live", "--record", str(root),
            streams=["aggTrade", "markPrice"], num_candles=10, keep_symbols=["BTCUSDT"],
        )  # fmt: skip
        part = root / "recorded" / "parts" / "um" / "aggTrades" / "BTCUSDT" / "2026-03-10.csv"
        with live:
            live.wait("recorded trades", lambda s: s["recorder"].get("aggTrades", 0) > 60)
            live.process.kill()  # type: ignore[union-attr]
            live.stop()
        plant(server, "id-gap", symbol="BTCUSDT", start="+60", seconds=70)
        with live:
            live.wait("the day's files", lambda s: s["recorder"].get("days", 0) >= 2)
        rows = read_rows(part)
        ids = [int(row[0]) for row in rows]
        assert ids == list(range(ids[0], ids[-1] + 1))
        day_end = int(datetime(2026, 3, 11, tzinfo=UTC).timestamp() * 1000)
        truth = ask(
            server, "/__truth__/aggTrades", market="um", symbol="BTCUSDT",
            startTime=int(rows[0][5]), endTime=day_end - 1,
        )  # fmt: skip
        told = [[row[k] for k in ("a", "p", "q", "f", "l", "T")] for row in truth]
        expected = [list(map(str, row)) for row in told if int(row[0]) >= ids[0]]
        assert [row[:6] for row in rows] == expected
    name = "futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2026-03-10.zip"
    file = root / "recorded" / "data" / name
    out = tmp_path / "minutes.parquet"
    words = ["minutes", str(file), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "alphaqcm", *words],
        capture_output=True, text=True, check=False, timeout=120, cwd=PROJECT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    minutes = pl.read_parquet(out)
    assert minutes["trade_count"].sum() == len(rows)
    assert minutes["raw_trade_count"].sum() == sum(int(r[4]) - int(r[3]) + 1 for r in rows)
    klines = root / "recorded" / "parts" / "um" / "klines_1m" / "BTCUSDT" / "2026-03-10.csv"
    bars = {int(row[0]): row for row in read_rows(klines)}
    assert max(bars) == day_end - 60_000
