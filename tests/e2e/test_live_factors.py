"""A real client against the simulated exchange, faults on: the hour's rows are the archive's."""

from __future__ import annotations

import asyncio
import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.events import Event, FactorHour, FactorRow
from alphaqcm.data_collection.live.run import read_config
from alphaqcm.data_collection.live.service import LiveClient, LiveParts
from alphaqcm.data_collection.simulation.exchange import Exchange, ExchangeSpec
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US, epoch_us
from alphaqcm.pipeline.features.columns import schema
from alphaqcm.pipeline.features.stream.live_columns import LIVE_COLUMNS
from tests.helpers.built_root import settings_of, walk
from tests.helpers.simulated_exchange import plant

SPEC = SampleSpec(
    symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"), start=date(2024, 2, 27), days=4,
    trades_per_day=20_000, compression=1, daily_since=date(2024, 3, 1),
)  # fmt: skip
LAST = SPEC.last
FIRST_US = epoch_us(LAST)
FAULTS = (
    {"kind": "ws-drop", "start": "+600"},
    {"kind": "ws-reset", "start": "+1500"},
    {"kind": "id-gap", "symbol": "BTCUSDT", "start": "+900", "count": 3},
    {"kind": "duplicate", "start": "+700", "count": 20},
    {"kind": "out-of-order", "start": "+1000", "count": 20},
    {"kind": "missing-close", "symbol": "ETHUSDT", "start": "+2000", "count": 2},
)


def as_frame(rows: list[FactorRow]) -> pl.DataFrame:
    kinds = schema(LIVE_COLUMNS)
    plain = {n: pl.Int64() if k.is_temporal() else k for n, k in kinds.items()}
    return pl.DataFrame([row.values for row in rows], plain).cast(pl.Schema(kinds))


async def follow(base: Path, url: str, root: Path, hours: int, seconds: float) -> list[Event]:
    """Run a client until it has told so many hours; what it told of factors."""
    told: list[Event] = []
    done = asyncio.Event()

    def hear(event: Event) -> None:
        if isinstance(event, FactorRow | FactorHour):
            told.append(event)
            if sum(isinstance(one, FactorHour) for one in told) == hours:
                done.set()

    parts = LiveParts(clock=ExchangeClock.from_environment(), data_root=root)
    async with LiveClient(base, read_config(base, url), parts) as client:
        assert client.factors is not None
        client.factors._expire_sec = 3000.0  # a test that waits for nobody would look at its speed
        client.bus.subscribe(hear)
        working = asyncio.create_task(client.run())
        waiting = asyncio.create_task(done.wait())
        await asyncio.wait({working, waiting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        assert done.is_set(), list(client.alerts.latest)
    return told


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("hours", "speed"),
    [
        (1, 90.0),
        pytest.param(24, 240.0, marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
def test_hours_of_the_archive_lived_through_give_the_tables_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int, speed: float
) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    write_sample(source, SPEC)
    whole = settings_of(SPEC, source, tmp_path / "whole")
    walk(whole)
    walk(settings_of(SPEC, source, root, LAST - timedelta(days=1)))
    base = tmp_path / "live"
    base.mkdir()
    config = {"interval": "1m", "trade_type": "usdt_perp", "num_candles": 120}
    (base / "config.json").write_text(
        json.dumps({**config, "num_socket_listeners": 2, "streams": ["aggTrade"]})
    )
    start_ms = (FIRST_US - 4 * MINUTE_US) // 1000
    with Exchange(ExchangeSpec(tape=source, start_ms=start_ms, speed=speed)) as server:
        monkeypatch.setenv("ALPHAQCM_TEST_CLOCK", server.url)
        for fault in FAULTS:
            plant(server, **fault)
        seconds = 4 * hours * 3600 / speed + 100
        told = asyncio.run(follow(base, server.url, root, hours, seconds))
    ends = [event for event in told if isinstance(event, FactorHour)]
    assert [(end.start_us, end.symbols, end.late) for end in ends] == [
        (FIRST_US + number * HOUR_US, 3, ()) for number in range(hours)
    ]
    rows = as_frame([event for event in told if isinstance(event, FactorRow)])
    table = pl.read_parquet(whole.layout.final_table())
    start = pl.col("datetime").cast(pl.Int64)
    wanted = table.filter(start >= FIRST_US, start < FIRST_US + hours * HOUR_US)
    wanted = wanted.sort("datetime", maintain_order=True).select(LIVE_COLUMNS)
    assert_frame_equal(rows, wanted, check_exact=True)
