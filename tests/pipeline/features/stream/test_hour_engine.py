"""The wide table's live columns, hour by hour: every cell and key of the whole table's rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.domain.time import HOUR_US, epoch_us
from alphaqcm.pipeline.errors import TableError
from alphaqcm.pipeline.features.columns import COLUMNS, REGISTRY
from alphaqcm.pipeline.features.cross_section import cross_section
from alphaqcm.pipeline.features.factors.segments import times_us
from alphaqcm.pipeline.features.stream.hour_engine import HourEngine, HourRows
from alphaqcm.pipeline.features.stream.live_columns import LIVE_COLUMNS, NOT_LIVE, why_not_live
from alphaqcm.pipeline.features.stream.symbol_state import STATE_COLUMNS, SymbolState
from alphaqcm.pipeline.tables.symbol_table import build_symbol_table
from alphaqcm.pipeline.tables.wide_table import wide_frames
from tests.conftest import PROJECT
from tests.helpers import factor_data as data

# New York's clocks change on 2024-03-10; more than 168 hours
SPAN = DateRange(date(2024, 3, 4), date(2024, 3, 12))
ODD, PLAIN, LATE = (Symbol(Market.UM, name) for name in ("ZZZUSDT", "1000SHIBUSDT", "AAAUSDT"))
LISTED = data.midnight(date(2024, 3, 8)) + timedelta(hours=12, minutes=17)


@dataclass(frozen=True)
class Part:
    """A symbol's rows in memory."""

    symbol: str
    frame: pl.DataFrame

    def read(self, columns: list[str]) -> pl.DataFrame:
        return self.frame.select(columns)


@dataclass(frozen=True)
class Market3:
    """Three symbols' minutes, and the table that the archive's way makes of them."""

    klines: dict[Symbol, pl.DataFrame]
    flow: dict[Symbol, pl.DataFrame]
    table: pl.DataFrame


@cache
def made() -> Market3:
    klines, flow, parts = {}, {}, []
    for seed, symbol in enumerate((ODD, PLAIN, LATE)):
        given = data.inputs(SPAN, seed + 1, odd=symbol is ODD)
        if symbol is LATE:
            since = pl.col("minute") >= LISTED
            given = replace(
                given,
                klines=given.klines.filter(since),  # type: ignore[union-attr]
                aggtrades=given.aggtrades.filter(since),  # type: ignore[union-attr]
            )
        if symbol is PLAIN:  # an hour of volume that its week has not seen
            spike = pl.col("minute").dt.truncate("1h") == data.midnight(date(2024, 3, 9))
            busy = pl.when(spike).then(pl.col("volume") * 50).otherwise("volume")
            given = replace(given, klines=given.klines.with_columns(busy))  # type: ignore[union-attr]
        klines[symbol], flow[symbol] = given.klines, given.aggtrades
        parts.append(Part(symbol.table, build_symbol_table(symbol, given, SPAN).frame))
    parts.sort(key=lambda part: part.symbol.encode())
    frames = [frame for _, frame in wide_frames(parts, cross_section(parts))]  # type: ignore[arg-type]
    return Market3(klines, flow, pl.concat(frames))


def states(until_us: int) -> dict[Symbol, SymbolState]:
    """What is known of the rows before an hour."""
    before = made().table.filter(pl.col("datetime").cast(pl.Int64) < until_us)
    return {
        symbol: SymbolState.warm(before.filter(symbol=symbol.table).select(STATE_COLUMNS))
        for symbol in (ODD, PLAIN, LATE)
    }


def minutes_of(frame: pl.DataFrame, hour_us: int) -> pl.DataFrame:
    start = pl.lit(hour_us).cast(pl.Datetime("us", "UTC"))
    return frame.filter(
        pl.col("minute").is_between(start, start + timedelta(hours=1), closed="left")
    )


def feed(engine: HourEngine, symbol: Symbol, hour_us: int) -> None:
    bars = minutes_of(made().klines[symbol], hour_us)
    for moment, row in zip(times_us(bars["minute"]).tolist(), bars.iter_rows(), strict=True):
        engine.add_bar(symbol.exchange, moment, row[1:6])
    engine.add_flow(symbol.exchange, minutes_of(made().flow[symbol], hour_us))


def stream(since_us: int, count: int) -> list[HourRows]:
    """The hours from `since_us` on, their symbols closing one after the other."""
    engine = HourEngine(states(since_us))
    for symbol in (ODD, PLAIN, LATE):
        past = minutes_of(made().klines[symbol], since_us - HOUR_US)
        for row in past.iter_rows():
            engine.add_past(symbol.exchange, int(row[0].timestamp() * 1e6), row[1:6])
    found = []
    for hour_us in range(since_us, since_us + count * HOUR_US, HOUR_US):
        for symbol in (PLAIN, LATE, ODD):
            feed(engine, symbol, hour_us)
        engine.close({PLAIN.exchange}, hour_us)
        engine.close({ODD.exchange, LATE.exchange}, hour_us)
        found.append(engine.publish(hour_us))
    assert engine.refused == 0
    return found


def table_since(since_us: int) -> pl.DataFrame:
    """The archive's rows, in the order in which hours are published."""
    return (
        made()
        .table.filter(pl.col("datetime").cast(pl.Int64) >= since_us)
        .sort("datetime", maintain_order=True)
        .select(LIVE_COLUMNS)
    )


FIRST = epoch_us(SPAN.start)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("since", "count"),
    [
        (0, 9 * 24),  # from nothing
        (12, 6),  # in hours without a trade
        (14, 30),  # in the middle of New York's first hour
        (43, 24),  # in an outage
        (171, 24),
    ],
)
def test_every_cell_and_key_is_the_tables(since: int, count: int) -> None:
    since_us = FIRST + since * HOUR_US
    published = stream(since_us, count)
    rows = pl.concat([hour.frame for hour in published])
    wanted = table_since(since_us).filter(
        pl.col("datetime").cast(pl.Int64) < since_us + count * HOUR_US
    )
    assert_frame_equal(rows, wanted, check_exact=True)
    assert [hour.late for hour in published] == [()] * count


def test_the_data_has_what_the_definitions_are_about() -> None:
    """A test of nulls only, or of flags that never change, would say little."""
    table = made().table.select(LIVE_COLUMNS)
    varied = [name for name in LIVE_COLUMNS if table[name].n_unique() > 1]
    assert set(LIVE_COLUMNS) - set(varied) == set()
    assert all(table[name].is_not_null().any() for name in LIVE_COLUMNS)
    assert table["seg_us_open_60m_logret"].is_not_null().sum() > 20


def test_every_column_is_live_or_told_why_not() -> None:
    assert len(LIVE_COLUMNS) == 133
    assert [name for name in COLUMNS if name in LIVE_COLUMNS or name in NOT_LIVE] == list(COLUMNS)
    assert all(REGISTRY[name].point_in_time for name in LIVE_COLUMNS)
    assert [name for name in COLUMNS if bool(why_not_live(name)) is (name in LIVE_COLUMNS)] == []
    assert why_not_live("volume_clean") == "looks at later hours"
    assert why_not_live("funding_pressure") == "needs fundingRate"


def test_a_late_symbol_is_named_and_left_out_of_the_cross_section() -> None:
    since_us = FIRST + 171 * HOUR_US
    engine = HourEngine(states(since_us))
    for symbol in (ODD, PLAIN, LATE):
        feed(engine, symbol, since_us)
    engine.close([ODD.exchange, LATE.exchange], since_us)
    hour = engine.publish(since_us, [PLAIN.exchange])
    assert hour.late == (PLAIN.exchange,)
    assert hour.frame["cs_universe_size"].to_list() == [2, 2]
    assert hour.frame["cs_coverage_frac_pit"].to_list() == [2 / 3, 2 / 3]
    rest = [
        name for name in LIVE_COLUMNS if not name.startswith("cs_") and name != "relative_volume"
    ]
    there = table_since(since_us).filter(pl.col("symbol") != PLAIN.table).head(2)
    assert_frame_equal(hour.frame.select(rest), there.select(rest), check_exact=True)
    # its own row comes when it closes, and its next ones are right
    own = engine.close([PLAIN.exchange], since_us)
    wanted = made().table.filter(pl.col("datetime") == own["datetime"][0], symbol=PLAIN.table)
    assert_frame_equal(own, wanted.select(own.columns), check_exact=True)


def test_a_minute_of_an_hour_that_is_done_is_refused_and_counted() -> None:
    engine = HourEngine(states(FIRST))
    feed(engine, PLAIN, FIRST)
    engine.close([PLAIN.exchange], FIRST)
    engine.add_bar(PLAIN.exchange, FIRST + 60_000_000, [1.0] * 5)
    assert engine.refused == 1
    with pytest.raises(TableError, match="in order of time"):
        engine.close([PLAIN.exchange], FIRST)


def test_an_hour_is_not_left_out() -> None:
    engine = HourEngine(states(FIRST))
    feed(engine, PLAIN, FIRST)
    feed(engine, PLAIN, FIRST + HOUR_US)
    with pytest.raises(TableError, match="1 earlier hours open"):
        engine.close([PLAIN.exchange], FIRST + HOUR_US)


def test_a_symbol_that_nobody_named_is_refused_until_it_is_added() -> None:
    engine = HourEngine(states(FIRST))
    with pytest.raises(TableError, match="NEWUSDT"):
        engine.add_bar("NEWUSDT", FIRST, [1.0] * 5)
    engine.add_symbol(Symbol(Market.UM, "NEWUSDT"))
    engine.add_bar("NEWUSDT", FIRST, [1.0] * 5)
    assert engine.close(["NEWUSDT"], FIRST)["symbol"].to_list() == ["NEW_USDT:USDT"]
    assert engine.symbols == (PLAIN.exchange, LATE.exchange, "NEWUSDT", ODD.exchange)


def test_the_page_lists_what_is_live_and_what_is_not() -> None:
    page = (PROJECT / "docs" / "stream_factors.md").read_text(encoding="utf-8")
    above, _, below = page.partition("Live are:")
    listed = below.partition("\n#")[0]
    assert tuple(listed.strip().rstrip(".").replace("\n", " ").split(", ")) == LIVE_COLUMNS
    for name in NOT_LIVE:
        assert f"| {name} | {why_not_live(name)} |" in above
    assert f"{len(LIVE_COLUMNS)} of the table's columns are live" in above
