"""What other series say of a gap in a symbol's bars."""

from __future__ import annotations

import pytest

from alphaqcm.pipeline.checks.bars.examine import MonthOf
from alphaqcm.pipeline.checks.finding import TimeRange
from alphaqcm.pipeline.checks.other_series import Presence, Trading, silent_gaps
from alphaqcm.pipeline.checks.trades import TradeMonth
from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US, MINUTE_US

GAP = TimeRange(10 * DAY_US, 13 * DAY_US)
MONTH = 30 * DAY_US
NO_TRADES = Trading([], [])


def month(number: int, ids: tuple[int, int], **counters: int) -> MonthOf[TradeMonth]:
    span = TimeRange(number * MONTH, (number + 1) * MONTH)
    view = TradeMonth(span.start, span.end - MINUTE_US, *ids, counters)
    return MonthOf(span, view, ())


def hours(*spans: tuple[int, int]) -> Presence:
    """A series with rows in these days."""
    found = Presence.at([TimeRange(first * DAY_US, last * DAY_US) for first, last in spans])
    assert found is not None
    return found


def test_rows_of_another_series_in_the_gap_show_a_market() -> None:
    assert silent_gaps([GAP], NO_TRADES, [hours((0, 30)), hours((0, 10), (13, 30))]) == frozenset()


def test_a_gap_in_every_other_series_shows_that_there_was_none() -> None:
    others = [hours((0, 9), (14, 30)), hours((0, 10), (13, 30))]
    assert silent_gaps([GAP], NO_TRADES, others) == {GAP}


@pytest.mark.parametrize("others", [[], [hours((20, 30))], [hours((0, 5))]])
def test_nothing_is_shown_by_series_that_are_not_there_before_and_after(
    others: list[Presence],
) -> None:
    assert silent_gaps([GAP], NO_TRADES, others) == frozenset()


def test_trades_in_the_gap_show_a_market() -> None:
    beyond = [TimeRange(11 * DAY_US, 11 * DAY_US + HOUR_US)]
    trading = Trading([month(0, (1, 900))], beyond)
    assert silent_gaps([GAP], trading, [hours((0, 9), (14, 30))]) == frozenset()


def test_trade_ids_that_go_on_show_that_nothing_was_traded() -> None:
    assert silent_gaps([GAP], Trading([month(0, (1, 900))], []), [hours((0, 30))]) == {GAP}
    gap = TimeRange(29 * DAY_US, 31 * DAY_US)
    months = [month(0, (1, 900)), month(1, (901, 950))]
    assert silent_gaps([gap], Trading(months, []), []) == {gap}


@pytest.mark.parametrize(
    "months",
    [
        [month(0, (1, 900), id_gaps=3, single_skips=2)],
        [month(0, (1, 900)), month(1, (950, 990))],
        [month(0, (1, 900)), month(1, (800, 990))],
        [month(1, (901, 990))],
    ],
)
def test_trade_ids_that_are_missing_show_nothing(months: list[MonthOf[TradeMonth]]) -> None:
    gap = GAP if len(months) == 1 else TimeRange(29 * DAY_US, 31 * DAY_US)
    assert silent_gaps([gap], Trading(months, []), []) == frozenset()
