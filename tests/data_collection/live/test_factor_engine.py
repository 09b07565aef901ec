"""Hours of live columns from a bus: told when whole, late ones named, the rows of the table."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.events import (
    BarSource,
    ClosedBar,
    Control,
    ControlKind,
    Event,
    FactorHour,
    FactorRow,
    LiveTrade,
    LocalBus,
)
from alphaqcm.data_collection.live.factor_engine import FactorEngine
from alphaqcm.data_collection.live.factor_part import has_table
from alphaqcm.data_collection.live.factor_start import open_factors
from alphaqcm.data_collection.live.record.recorder import Recorder
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US, epoch_us
from alphaqcm.pipeline.features.columns import schema
from alphaqcm.pipeline.features.stream.live_columns import LIVE_COLUMNS
from tests.helpers.built_root import settings_of, walk
from tests.helpers.sample_files import rows_of

UM = Market.UM
SPEC = SampleSpec(
    symbols=("BTCUSDT", "ETHUSDT"), start=date(2024, 2, 28), days=3, trades_per_day=1200,
    compression=1, daily_since=date(2024, 3, 1),
)  # fmt: skip
LAST = SPEC.last
FIRST_US = epoch_us(LAST)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pl.DataFrame, list[Event]]:
    """A root of all days but the last, the whole table, and the last day as a bus tells it."""
    folder = tmp_path_factory.mktemp("factors")
    source = folder / "source"
    write_sample(source, SPEC)
    whole = settings_of(SPEC, source, folder / "whole")
    walk(whole)
    walk(settings_of(SPEC, source, folder / "root", LAST - timedelta(days=1)))
    events = [event for name in SPEC.symbols for event in events_of(source, name)]
    events.sort(key=_when)
    return folder / "root", pl.read_parquet(whole.layout.final_table()), events


def events_of(source: Path, symbol: str) -> Iterator[Event]:
    """The archive's candles and trades of the last day."""
    day = Period.day(LAST)
    for row in rows_of(source, Series(UM, DataType.KLINES, symbol, "1m").file(day)):
        names = ("open", "high", "low", "close", "volume", "quote_volume")
        buys = (float(row["taker_buy_volume"]), float(row["taker_buy_quote_volume"]))
        yield ClosedBar(
            UM, symbol, "1m", int(row["open_time"]) * 1000, *(float(row[one]) for one in names),
            int(row["count"]), *buys, BarSource.SOCKET,
        )  # fmt: skip
    for row in rows_of(source, Series(UM, DataType.AGGTRADES, symbol, "").file(day)):
        yield LiveTrade(
            UM, symbol, int(row["agg_trade_id"]), int(row["first_trade_id"]),
            int(row["last_trade_id"]), int(row["transact_time"]) * 1000, float(row["price"]),
            float(row["quantity"]), row["is_buyer_maker"] == "true", row["price"], row["quantity"],
        )  # fmt: skip


def _when(event: Event) -> tuple[int, int]:
    """A candle comes at its end, before or after the trades of the same moment."""
    if isinstance(event, ClosedBar):
        return event.open_time_us + MINUTE_US, random.Random(event.open_time_us).choice((-1, 1))
    assert isinstance(event, LiveTrade)
    return event.time_us, 0


def clock_at(moment_us: int) -> ExchangeClock:
    return ExchangeClock(moment_us / 1e6, speed=1e-6)


class Told:
    """What a factor engine tells on a bus of its own."""

    def __init__(self, root: Path, now_us: int = FIRST_US, quiet: tuple[str, ...] = ()) -> None:
        self.events: list[Event] = []
        self.alerts: list[str] = []
        self.bus = LocalBus(lambda _, error: pytest.fail(repr(error)))
        trading = [name for name in SPEC.symbols if name not in quiet]
        self.engine: FactorEngine = open_factors(
            root, UM, self.bus, clock_at(now_us), lambda: trading,
            lambda _, text: self.alerts.append(text),
        )  # fmt: skip
        self.bus.subscribe(self.engine.on_event)
        self.bus.subscribe(
            lambda one: self.events.append(one) if isinstance(one, FactorRow | FactorHour) else None
        )

    def play(self, events: list[Event]) -> None:
        """Tell the events, the loop turning after each candle."""

        async def run() -> None:
            for event in events:
                self.bus.publish(event)
                if isinstance(event, ClosedBar):
                    await asyncio.sleep(0)
            await asyncio.sleep(0)

        asyncio.run(run())

    @property
    def hours(self) -> list[FactorHour]:
        return [event for event in self.events if isinstance(event, FactorHour)]

    def frame(self) -> pl.DataFrame:
        rows = [event.values for event in self.events if isinstance(event, FactorRow)]
        kinds = schema(LIVE_COLUMNS)
        plain = {n: pl.Int64() if k.is_temporal() else k for n, k in kinds.items()}
        return pl.DataFrame(rows, plain).cast(pl.Schema(kinds))


def wanted(table: pl.DataFrame, first: int = 0, last: int = 24) -> pl.DataFrame:
    hour = pl.col("datetime").dt.hour()
    rows = table.filter(pl.col("datetime").dt.date() == LAST, hour >= first, hour < last)
    return rows.sort("datetime", maintain_order=True).select(LIVE_COLUMNS)


pytestmark = pytest.mark.slow


def test_each_hour_is_told_whole_and_equal_to_the_table(
    made: tuple[Path, pl.DataFrame, list[Event]],
) -> None:
    root, table, events = made
    told = Told(root)
    told.play(events)
    assert [hour.start_us for hour in told.hours] == [FIRST_US + n * HOUR_US for n in range(24)]
    assert {(hour.symbols, hour.late) for hour in told.hours} == {(2, ())}
    assert_frame_equal(told.frame(), wanted(table), check_exact=True)
    assert told.alerts == []


def test_an_hour_is_told_at_its_last_event_and_not_before(
    made: tuple[Path, pl.DataFrame, list[Event]],
) -> None:
    root, _, events = made
    told = Told(root)
    hour = [one for one in events if _when(one)[0] <= FIRST_US + HOUR_US]
    last = max(n for n, one in enumerate(hour) if isinstance(one, ClosedBar | LiveTrade))
    told.play(hour[:last])
    assert told.hours == []
    told.play(hour[last:])
    assert len(told.hours) == 1


def test_a_late_symbol_is_named_and_has_its_row_when_it_is_whole(
    made: tuple[Path, pl.DataFrame, list[Event]],
) -> None:
    root, table, events = made
    end_us = FIRST_US + HOUR_US
    told = Told(root, end_us - 1_000_000)
    held = [
        e
        for e in events
        if getattr(e, "symbol", "") == "ETHUSDT" and _when(e)[0] > end_us - 5 * MINUTE_US
    ]
    told.play([e for e in events if _when(e)[0] <= end_us and e not in held])
    assert told.hours == []

    told.engine._clock = ExchangeClock(end_us / 1e6 - 1, speed=100.0)

    async def expire() -> None:
        running = asyncio.ensure_future(told.engine.run())
        while not told.hours:
            await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(asyncio.wait_for(expire(), 60))
    assert told.hours[0].late == ("ETHUSDT",)
    assert told.hours[0].symbols == 1
    assert told.alerts == ["1 symbols without their factors: ETHUSDT"]
    told.play([e for e in held if _when(e)[0] <= end_us])
    late = [e for e in told.events if isinstance(e, FactorRow) and e.symbol == "ETHUSDT"]
    assert [e.start_us for e in late] == [FIRST_US]
    row = wanted(table, 0, 1).filter(symbol="ETH_USDT:USDT").row(0, named=True)
    assert late[0].values["close"] == row["close"]
    assert late[0].values["at_cvd_quote"] == row["at_cvd_quote"]
    assert "relative_volume" not in late[0].values
    told.play([e for e in events if end_us < _when(e)[0] <= end_us + HOUR_US])
    assert_frame_equal(told.frame()[-2:], wanted(table, 1, 2), check_exact=True)


def test_a_minute_without_a_candle_is_waited_for_until_it_is_known_to_be_none(
    made: tuple[Path, pl.DataFrame, list[Event]],
) -> None:
    root, _, events = made
    gap = FIRST_US + 7 * MINUTE_US
    told = Told(root, quiet=("ETHUSDT",))
    mine = [
        e for e in events
        if getattr(e, "symbol", "") == "BTCUSDT" and _when(e)[0] <= FIRST_US + HOUR_US
        and not (isinstance(e, ClosedBar) and e.open_time_us == gap)
        and not (isinstance(e, LiveTrade) and e.time_us // MINUTE_US * MINUTE_US == gap)
    ]  # fmt: skip
    told.play(mine)
    assert told.hours == []
    told.play([Control(ControlKind.GAP, UM, "BTCUSDT", gap)])
    assert [hour.symbols for hour in told.hours] == [1]
    assert told.frame()["n_minutes"].to_list() == [59]


def test_trades_that_cannot_be_had_are_gone_without_and_counted(
    made: tuple[Path, pl.DataFrame, list[Event]],
) -> None:
    root, _, events = made
    told = Told(root, quiet=("ETHUSDT",))
    mine = [
        e
        for e in events
        if getattr(e, "symbol", "") == "BTCUSDT" and _when(e)[0] <= FIRST_US + HOUR_US
    ]
    lost = next(e for e in mine if isinstance(e, LiveTrade))
    told.play([e for e in mine if e is not lost])
    assert told.hours == []
    end_us = lost.time_us // MINUTE_US * MINUTE_US + MINUTE_US
    told.play([Control(ControlKind.TRADED, UM, "BTCUSDT", end_us, {"exact": False})])
    assert len(told.hours) == 1
    assert told.engine.counts["inexact minutes"] == 1


@pytest.mark.parametrize("minutes", [180, 211])
def test_a_start_in_mid_day_goes_on_from_what_was_recorded(
    tmp_path: Path, made: tuple[Path, pl.DataFrame, list[Event]], minutes: int
) -> None:
    """Stopped at a moment within an hour, started later: what was missed comes as on a start."""
    root, table, events = made
    stop_us = FIRST_US + minutes * MINUTE_US + 17_000_000
    restart_us = stop_us + 5 * MINUTE_US
    bus = LocalBus(lambda _, error: pytest.fail(repr(error)))
    recorder = Recorder(tmp_path, UM, clock_at(stop_us), lambda *_: None, lambda: SPEC.symbols)
    bus.subscribe(recorder.on_event)
    for event in events:
        if _when(event)[0] <= stop_us:
            bus.publish(event)
    recorder.flush()
    for path in root.iterdir():
        if path.name != "recorded":
            (tmp_path / path.name).symlink_to(path)
    told = Told(tmp_path, restart_us)
    for name in SPEC.symbols:  # the history of the start
        told.engine.fill(
            name,
            [
                e
                for e in events
                if isinstance(e, ClosedBar) and e.symbol == name and _when(e)[0] <= restart_us
            ],
        )
    # trades go on from the last recorded one, candles from the start
    told.play([e for e in events if isinstance(e, LiveTrade) and stop_us < e.time_us <= restart_us])
    told.play([e for e in events if _when(e)[0] > restart_us])
    first = minutes // 60
    assert [hour.start_us for hour in told.hours] == [
        FIRST_US + n * HOUR_US for n in range(first, 24)
    ]
    assert_frame_equal(told.frame(), wanted(table, first), check_exact=True)


def test_a_symbol_that_lacks_an_hour_is_named_and_nobody_waits_for_it(
    made: tuple[Path, pl.DataFrame, list[Event]],
) -> None:
    root, _, events = made
    told = Told(root)
    told.play([
        e for e in events
        if _when(e)[0] > FIRST_US + HOUR_US or getattr(e, "symbol", "") == "BTCUSDT"
    ])  # fmt: skip
    late = [hour.late for hour in told.hours]
    assert late[0] == ("ETHUSDT",)
    assert set(late) == {("ETHUSDT",)}
    assert "lack earlier hours: update the data root" in told.alerts[-1]
    # what can never be told is not kept for ever
    known = told.engine._symbols["ETHUSDT"]
    assert len(known.hours) <= 5
    assert len(known.counts) <= 5 * 60
    assert len(known.builder._open) < 5 * 100
    assert len(told.engine._engine._tracks["ETHUSDT"].hours) <= 5


def test_a_root_without_a_table_has_no_live_columns(tmp_path: Path) -> None:
    assert not has_table(tmp_path, UM)
