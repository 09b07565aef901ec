"""Stretches without volume: worth telling only where chance would hardly give them."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from alphaqcm.pipeline.checks.bars import examine
from alphaqcm.pipeline.checks.bars.examine import MonthOf
from alphaqcm.pipeline.checks.bars.quiet import Quiet, quiet_findings
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange
from alphaqcm.pipeline.domain.time import DAY_US
from tests.helpers import factor_data as data
from tests.helpers.check_frames import KEY, MINUTE, minutes, us

DAYS = 4
MARCH = datetime.fromisoformat("2024-03-01T00:00:00+00:00")


def silenced(frame: pl.DataFrame, *spans: tuple[int, int]) -> pl.DataFrame:
    """The bars without volume from minute to minute of the frame."""
    row = pl.int_range(pl.len())
    silent = pl.any_horizontal(False, *(row.is_between(a, b - 1) for a, b in spans))
    return frame.with_columns(pl.when(silent).then(0.0).otherwise("volume").alias("volume"))


def quiet(name: str, *frames: pl.DataFrame) -> Quiet:
    months = []
    for frame in frames:
        view = examine.examine_bars(frame, "minute", MINUTE)
        assert view is not None
        span = TimeRange(view.first, view.last + MINUTE)
        months.append(MonthOf(span, view, (KEY.replace("XUSDT", name),)))
    made = Quiet.of(name, months, examine.gaps_in(months, MINUTE))
    assert made is not None
    return made


def busy(name: str, *spans: tuple[int, int]) -> Quiet:
    return quiet(name, silenced(minutes(DAYS * 1440), *spans))


def told(*symbols: Quiet) -> list[Finding]:
    return quiet_findings("klines:1m", symbols)


def test_symbols_that_trade_show_nothing() -> None:
    assert told(busy("A"), busy("B"), busy("C")) == []


def test_all_symbols_without_volume_at_once_are_an_outage_of_the_exchange() -> None:
    """As on 2023-09-12 08:34, for 19 minutes."""
    stop = (8 * 60 + 34, 8 * 60 + 53)
    [finding] = told(busy("A", stop), busy("B", stop), busy("C", (stop[0] - 3, stop[1] + 200)))
    assert (finding.check, finding.severity, finding.symbol) == (
        "exchange-outage",
        Severity.WARNING,
        "*",
    )
    assert str(finding.period) == "2024-02-01 08:34 .. 08:53"
    assert finding.found.startswith("19 min without volume for 3 of 3 symbols")
    assert len(finding.evidence) == 3


def test_bars_that_are_missing_for_some_are_of_the_same_outage() -> None:
    frame = minutes(DAYS * 1440)
    row = pl.int_range(pl.len())
    [finding] = told(busy("A", (100, 130)), quiet("B", frame.filter(~row.is_between(100, 129))))
    assert str(finding.period) == "2024-02-01 01:40 .. 02:10"


def test_a_stop_of_one_symbol_among_others_is_its_own() -> None:
    """As FILUSDT on 2024-10-28: 60 minutes."""
    [finding] = told(busy("A", (1200, 1260)), busy("B"), busy("C"))
    assert (finding.check, finding.severity, finding.symbol) == (
        "bars-without-trades",
        Severity.WARNING,
        "A",
    )
    assert (str(finding.period), finding.found) == ("2024-02-01 20:00", "1 h without volume")


@pytest.mark.parametrize("length", [4, 59])
def test_shorter_stops_are_pauses(length: int) -> None:
    stop = (600, 600 + length)
    assert told(busy("A", stop), busy("B")) == []
    assert told(busy("A", (600, 604)), busy("B", (600, 604))) == []


def test_a_dead_symbol_is_not_alive() -> None:
    """Two symbols, one of them dead: a pause of the other is no outage."""
    dead = busy("A", (0, DAYS * 1440))
    assert told(dead, busy("B", (600, 620))) == []


def test_quiet_minutes_of_symbols_that_seldom_trade_are_chance() -> None:
    random = np.random.default_rng(1)
    frame = minutes(30 * 1440)
    thin = [
        quiet(
            name,
            frame.with_columns(
                pl.Series("volume", np.where(random.random(frame.height) < 0.7, 0.0, 1.0))
            ),
        )
        for name in "ABC"
    ]
    assert max(len(one.stretches) for one in thin) > 100
    assert told(*thin) == []


def test_a_stop_over_the_end_of_a_month_is_one() -> None:
    start = MARCH - timedelta(days=2)
    frame = silenced(minutes(DAYS * 1440, start), (2 * 1440 - 40, 2 * 1440 + 50))
    march = us(MARCH)
    halves = [
        frame.filter(pl.col("minute").dt.epoch("us") < march),
        frame.filter(pl.col("minute").dt.epoch("us") >= march),
    ]
    [finding] = told(quiet("A", *halves), quiet("B", minutes(1440, start)))
    assert finding.found == "1.5 h without volume"


def test_real_symbols_stop_at_no_time_together(real: Path) -> None:
    symbols = [
        quiet(name, data.real_klines(real, name)) for name in ("FILUSDT", "NEARUSDT", "AVAXUSDT")
    ]
    assert all(one.span.end - one.span.start == 29 * DAY_US for one in symbols)
    assert told(*symbols) == []
