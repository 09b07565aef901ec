"""The queue's steps on frozen values: order, dependencies, retries, plans that meet a state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alphaqcm.data_collection.errors import LeaseLost, QueueError
from alphaqcm.data_collection.queue.merge import merge_plan, reopen
from alphaqcm.data_collection.queue.state import (
    Limits,
    Planned,
    QueueState,
    TaskState,
    is_over,
    next_due,
)
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.data_collection.queue.transitions import (
    claim,
    complete,
    fail,
    free_dead,
    hand_back,
    retry_failed,
)

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
LIMITS = Limits(attempts=3, first_delay=10, factor=2, longest_delay=100, deaths=2)
DONE = Outcome(TaskResult.DONE, built=True, rows=3, bytes=5, output="x")
ABSENT = Outcome(TaskResult.ABSENT)


def month(stamp: str, symbol: str = "BTCUSDT", kind: str = "aggTrades") -> str:
    return f"month/{kind}/{symbol}/{stamp}"


HOURLY, FACTORS = "hourly/aggTrades/BTCUSDT", "factors/BTCUSDT"


def needing(name: str, *needs: str, size: int = 0, key: str = "") -> Planned:
    return Planned(name, size, key, needs)


def book_of(*planned: Planned) -> QueueState:
    return merge_plan(None, planned, {"end": "2024-02-29"}, "first")[0]


def take(book: QueueState, worker: str = "A", now: datetime = NOON):
    taken = claim(book, worker, "host", now, LIMITS)
    assert taken is not None
    return taken


def do(book: QueueState, task: str, outcome: Outcome = DONE) -> QueueState:
    """Claim until `task` comes, and complete it."""
    book, lease = take(book)
    assert lease.id == task
    return complete(book, lease, outcome, 1.0, NOON)


def state_of(book: QueueState, task: str) -> TaskState:
    return next(entry.state for entry in book.entries if entry.id == task)


def test_the_largest_task_is_claimed_first():
    book = book_of(Planned(month("2024-01"), 5), Planned(month("2024-02"), 9))
    book, first = take(book)
    _, second = take(book, "B")
    assert [first.id, second.id] == [month("2024-02"), month("2024-01")]


def test_equal_sizes_are_claimed_by_name():
    book = book_of(*(Planned(month(stamp), 5) for stamp in ("2024-02", "2024-01")))
    assert take(book)[1].id == month("2024-01")


def test_a_task_waits_for_all_that_it_needs():
    book = book_of(
        needing(HOURLY, month("2024-01"), month("2024-02"), size=9),
        Planned(month("2024-01"), 2),
        Planned(month("2024-02"), 1),
        Planned(month("2024-01", kind="metrics"), 0),
    )
    book = do(book, month("2024-01"))
    book = do(book, month("2024-02"), ABSENT)
    assert take(book)[1].id == HOURLY


def test_a_task_waits_for_what_its_needs_need():
    book = book_of(
        needing(FACTORS, month("2024-01", kind="klines:1m"), HOURLY, size=9),
        Planned(month("2024-01", kind="klines:1m"), 3),
        Planned(month("2024-01"), 2),
        needing(HOURLY, month("2024-01"), size=1),
    )
    book = do(book, month("2024-01", kind="klines:1m"))
    book = do(book, month("2024-01"))
    book = do(book, HOURLY)
    assert take(book)[1].id == FACTORS


def test_what_is_not_needed_is_not_waited_for():
    book = book_of(
        Planned(month("2024-01", "ETHUSDT"), 1),
        Planned(month("2024-01"), 3),
        needing(HOURLY, month("2024-01"), size=2),
    )

    book = do(book, month("2024-01"))
    assert take(book)[1].id == HOURLY


def test_a_need_that_is_not_in_the_queue_is_not_waited_for():
    assert take(book_of(needing(HOURLY, month("2023-12"))))[1].id == HOURLY


def test_unreachable_is_what_needs_a_failure_through_any_number_of_others():
    book = book_of(
        Planned(month("2024-01"), 9),
        needing(HOURLY, month("2024-01")),
        needing(FACTORS, HOURLY),
        Planned(month("2024-01", "ETHUSDT")),
    )
    assert book.unreachable() == frozenset()
    book, lease = take(book)
    book = fail(book, lease, "rubbish", NOON, LIMITS, final=True)
    assert book.unreachable() == {HOURLY, FACTORS}


def test_a_failure_rests_longer_each_time_and_then_stays():
    book = book_of(Planned(month("2024-01")))
    now, rests = NOON, []
    for _ in range(LIMITS.attempts):
        book, lease = take(book, now=now)
        book = fail(book, lease, "no luck", now, LIMITS)
        rest = next_due(book, now, LIMITS)
        rests.append(rest)
        now += timedelta(seconds=rest or 0)
    assert rests == [10.0, 20.0, None]
    assert is_over(book)
    assert book.entries[0].reason == "no luck"


def test_a_failed_task_is_not_claimed_before_its_rest_is_over():
    book = book_of(Planned(month("2024-01")))
    book, lease = take(book)
    book = fail(book, lease, "no luck", NOON, LIMITS)
    assert claim(book, "A", "host", NOON + timedelta(seconds=9), LIMITS) is None
    assert claim(book, "A", "host", NOON + timedelta(seconds=10), LIMITS) is not None


def test_a_clock_set_back_does_not_lengthen_a_rest():
    book = book_of(Planned(month("2024-01")))
    book, lease = take(book)
    book = fail(book, lease, "no luck", NOON, LIMITS)
    assert claim(book, "A", "host", NOON - timedelta(days=1), LIMITS) is not None


def test_a_final_failure_is_not_tried_again():
    book = book_of(Planned(month("2024-01")))
    book, lease = take(book)
    book = fail(book, lease, "rubbish", NOON, LIMITS, final=True)
    assert is_over(book)


def test_what_stands_on_a_failure_does_not_keep_the_queue_open():
    book = book_of(
        Planned(month("2024-01"), 1), needing(HOURLY, month("2024-01")), needing(FACTORS, HOURLY)
    )
    book, lease = take(book)
    book = fail(book, lease, "rubbish", NOON, LIMITS, final=True)
    assert is_over(book)
    assert state_of(book, FACTORS) is TaskState.PENDING


def test_retry_brings_failed_tasks_back_with_all_their_attempts():
    book = book_of(Planned(month("2024-01")))
    book, lease = take(book)
    book = retry_failed(fail(book, lease, "rubbish", NOON, LIMITS, final=True))
    assert (book.entries[0].state, book.entries[0].attempts) == (TaskState.PENDING, 0)


def test_tasks_of_a_dead_worker_are_free_again_and_its_late_result_is_refused():
    book = book_of(Planned(month("2024-01")))
    book, late = take(book, "A")
    book, freed = free_dead(book, lambda worker, host: worker == "A", NOON, LIMITS)
    book, lease = take(book, "B")
    assert [entry.worker for entry in freed] == ["A"]
    with pytest.raises(LeaseLost, match="in_progress by B, token 2"):
        complete(book, late, DONE, 1.0, NOON)
    assert state_of(complete(book, lease, DONE, 1.0, NOON), month("2024-01")) is TaskState.DONE


def test_a_task_is_not_completed_twice_by_the_same_lease():
    book = book_of(Planned(month("2024-01")))
    book, lease = take(book)
    book = complete(book, lease, DONE, 1.0, NOON)
    with pytest.raises(LeaseLost):
        complete(book, lease, DONE, 1.0, NOON)


def test_a_lease_of_an_earlier_making_of_the_queue_is_refused():
    book = book_of(Planned(month("2024-01")))
    book, lease = take(book)
    with pytest.raises(LeaseLost, match="made anew"):
        complete(replace(book, generation="second"), lease, DONE, 1.0, NOON)


def test_a_task_handed_back_counts_no_attempt():
    book = book_of(Planned(month("2024-01")))
    book, lease = take(book)
    book = hand_back(book, lease)
    assert (book.entries[0].state, book.entries[0].attempts) == (TaskState.PENDING, 0)


def test_a_task_that_kills_its_workers_comes_last_and_fails_in_the_end():
    book = book_of(Planned(month("2024-01"), 9), Planned(month("2024-02"), 1))
    book, _ = take(book)
    book, _ = free_dead(book, lambda *_: True, NOON, LIMITS)
    book, lease = take(book)
    assert lease.id == month("2024-02")
    book = complete(book, lease, DONE, 1.0, NOON)
    book, _ = take(book)
    book, _ = free_dead(book, lambda *_: True, NOON, LIMITS)
    assert state_of(book, month("2024-01")) is TaskState.FAILED
    assert "2 workers died" in book.entries[0].reason


def test_a_wider_plan_keeps_what_is_done_for_the_same_days():
    old = book_of(
        Planned(month("2024-01"), 1, "all of january"),
        needing(HOURLY, month("2024-01"), key="january"),
    )
    old = do(old, month("2024-01"))
    old = do(old, HOURLY)
    new, settled = merge_plan(
        old,
        [
            Planned(month("2024-01"), 1, "all of january"),
            Planned(month("2024-02"), 1, "all of february"),
            needing(HOURLY, month("2024-01"), month("2024-02"), key="january and february"),
        ],
        {"end": "2024-02-29", "start": "2024-01-01"},
        "unused",
    )
    assert state_of(new, month("2024-01")) is TaskState.DONE
    assert state_of(new, HOURLY) is TaskState.PENDING
    assert str(settled) == (
        "1 tasks kept, 1 added, 1 to be looked at again, start: none -> 2024-01-01"
    )


def test_tasks_outside_of_a_new_plan_are_told():
    old = do(book_of(Planned(month("2024-01"), 1), Planned(month("2024-02"))), month("2024-01"))
    new, settled = merge_plan(old, [Planned(month("2024-03"))], {"end": "2024-02-29"}, "unused")
    assert [entry.id for entry in new.entries] == [month("2024-03")]
    assert (settled.dropped, settled.dropped_done) == (2, 1)


def test_tokens_never_come_back_with_a_new_plan():
    old, lease = take(book_of(Planned(month("2024-01"), 1, "a")))
    new, _ = merge_plan(old, [Planned(month("2024-01"), 1, "b")], {}, "unused")
    with pytest.raises(LeaseLost):
        complete(new, lease, DONE, 1.0, NOON)
    assert take(new)[1].token > lease.token


def test_a_step_is_done_only_as_long_as_what_it_stands_on():
    book = book_of(
        Planned(month("2024-01"), 2),
        needing(HOURLY, month("2024-01"), size=1),
        needing(FACTORS, HOURLY),
    )
    for task in (month("2024-01"), HOURLY, FACTORS):
        book = do(book, task)
    book = reopen(book, lambda entry: entry.id.startswith("month/"))
    assert {entry.state for entry in book.entries} == {TaskState.PENDING}


def test_a_plan_with_a_task_twice_is_refused():
    with pytest.raises(QueueError, match="2024-01 twice"):
        book_of(Planned(month("2024-01")), Planned(month("2024-01")))
