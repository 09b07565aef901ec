from __future__ import annotations

import random

import numpy as np

from alphaqcm.data_collection.live.bars.book import Book, Candle, Outcome
from alphaqcm.data_collection.live.bars.history import missing_spans
from alphaqcm.data_collection.live.bars.series import Series
from alphaqcm.data_collection.live.events import BarSource

STEP = 60_000
SOCKET, REST = BarSource.SOCKET, BarSource.REST


def candle(number: int, source: BarSource = SOCKET, price: float = 1.0) -> Candle:
    return Candle(number * STEP, (price, *([1.0] * 8)), source)


def book(keep: int = 100) -> Book:
    return Book(STEP, Series(keep), 0)


def test_candles_in_any_order_and_twice_are_each_taken_once_and_in_order() -> None:
    chance = random.Random(5)
    for _ in range(50):
        one = book()
        numbers = [*range(30), *chance.choices(range(30), k=15)]
        chance.shuffle(numbers)
        taken = [got.open_ms // STEP for n in numbers for got in one.offer(candle(n)).taken]
        assert taken == list(range(30))
        assert one.expected_ms == 30 * STEP and not one.waiting
        assert one.series.times().tolist() == [n * STEP for n in range(30)]


def test_the_better_source_counts_and_a_change_is_a_revision() -> None:
    one = book()
    one.offer(candle(0, REST))
    assert one.offer(candle(0)).outcome is Outcome.SAME
    refused = one.offer(candle(0, price=2.0))
    assert refused.outcome is Outcome.REFUSED
    assert refused.before is not None and refused.before[1] is REST
    assert one.series.at(0)[0][0] == 1.0
    assert one.offer(candle(0, REST, price=3.0)).outcome is Outcome.REVISED
    assert one.series.at(0) == ((3.0, *([1.0] * 8)), REST)


def test_the_better_source_counts_while_candles_wait_too() -> None:
    one = book()
    assert one.offer(candle(2)).outcome is Outcome.WAITING
    assert one.offer(candle(2, REST, price=5.0)).outcome is Outcome.REVISED
    assert one.offer(candle(2, price=7.0)).outcome is Outcome.REFUSED
    one.offer(candle(0))
    taken = one.offer(candle(1)).taken
    assert [(got.open_ms // STEP, got.values[0]) for got in taken] == [(1, 1.0), (2, 5.0)]


def test_what_the_exchange_does_not_have_is_a_gap_and_what_waits_follows() -> None:
    one = book()
    one.offer(candle(0))
    for number in (3, 4, 6):
        one.offer(candle(number))
    gaps, taken = one.absent(5 * STEP)
    assert [gap // STEP for gap in gaps] == [1, 2]
    assert [got.open_ms // STEP for got in taken] == [3, 4]
    assert one.expected_ms == 5 * STEP and one.gaps == {STEP, 2 * STEP}
    assert one.offer(candle(1)).outcome is Outcome.TOO_OLD  # not in between, ever


def test_before_the_first_candle_there_is_no_gap() -> None:
    one = book()
    one.offer(candle(3))
    gaps, taken = one.absent(3 * STEP)
    assert gaps == () and [got.open_ms // STEP for got in taken] == [3]


def test_a_series_keeps_the_newest_and_can_be_changed() -> None:
    series = Series(10)
    for number in range(1000):
        series.append(number * STEP, (float(number),) * 9, SOCKET)
    assert series.times().tolist() == [n * STEP for n in range(990, 1000)]
    assert series.rows()[:, 0].tolist() == [float(n) for n in range(990, 1000)]
    index = series.index(995 * STEP)
    assert index is not None and series.index(995 * STEP + 1) is None
    series.replace(index, (0.5,) * 9, REST)
    assert series.rows()[5, 8] == 0.5
    kept = series.rows()
    series.replace(index, (0.75,) * 9, REST)
    assert kept[5, 8] == 0.5  # what a writer was given does not change under it


def test_spans_that_are_missing() -> None:
    there = np.array([2, 3, 7], dtype=np.int64) * STEP
    assert missing_spans(there, 0, 10 * STEP, STEP) == [
        (0, 2 * STEP), (4 * STEP, 7 * STEP), (8 * STEP, 10 * STEP),
    ]  # fmt: skip
    assert missing_spans(there, 2 * STEP, 4 * STEP, STEP) == []
    assert missing_spans(np.empty(0, np.int64), 1, 2 * STEP, STEP) == [(STEP, 2 * STEP)]
