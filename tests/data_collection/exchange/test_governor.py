"""The weight governor: limits, windows, priorities, fairness, freezing; its clock is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.exchange.endpoints import Pool, PoolLimit
from alphaqcm.data_collection.exchange.governor import Governor, Priority

LIMITS = {Pool.SPOT: PoolLimit(100, 60), Pool.FUTURES: PoolLimit(100, 60)}
NOON = 1_772_020_800.0  # a whole minute


def governor(at: float = NOON + 10, speed: float = 600.0, in_flight: int = 64) -> Governor:
    clock = ExchangeClock(at, speed)
    clock.uncertainty = 0.0
    return Governor(clock, LIMITS, in_flight=in_flight)


def run(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 30))  # type: ignore[arg-type]


def test_no_window_gets_more_than_the_soft_cap() -> None:
    async def body() -> None:
        one = governor()
        windows: dict[int, int] = {}

        async def spend() -> None:
            async with one.spend(Pool.SPOT, 10):
                minute = int(one.clock.now() // 60)
                windows[minute] = windows.get(minute, 0) + 10

        await asyncio.gather(*(spend() for _ in range(30)))
        assert sum(windows.values()) == 300
        assert max(windows.values()) <= 95
        assert len(windows) >= 4

    run(body)


def test_what_the_header_tells_of_other_processes_counts() -> None:
    async def body() -> None:
        one = governor()
        async with one.spend(Pool.SPOT, 1) as spending:
            spending.saw(94)
        assert one.used(Pool.SPOT) == 94
        before = one.clock.now()
        async with one.spend(Pool.SPOT, 5):
            assert one.clock.now() // 60 > before // 60  # the next minute

    run(body)


def test_an_answer_that_overtook_a_later_one_does_not_lower_what_is_used() -> None:
    async def body() -> None:
        one = governor(speed=0.001)
        one.observe(Pool.SPOT, 90)
        one.observe(Pool.SPOT, 30)
        assert one.used(Pool.SPOT) == 90

    run(body)


def test_what_is_on_its_way_comes_on_top_of_what_the_header_tells() -> None:
    async def body() -> None:
        one = governor(speed=0.001)
        one.observe(Pool.SPOT, 50)
        async with one.spend(Pool.SPOT, 40):
            assert one.used(Pool.SPOT) == 90
            late = asyncio.create_task(one.spend(Pool.SPOT, 10).__aenter__())
            await asyncio.sleep(0.05)
            assert not late.done()
        late.cancel()

    run(body)


def test_a_header_that_does_not_tell_the_pools_weight_is_not_taken_over() -> None:
    async def body() -> None:
        clock = ExchangeClock(NOON + 10, 0.001)
        clock.uncertainty = 0.0
        one = Governor(clock, {Pool.FUNDING: PoolLimit(100, 300, told_by_header=False)})
        one.observe(Pool.FUNDING, 90)
        assert one.used(Pool.FUNDING) == 0

    run(body)


def test_a_header_read_around_the_windows_edge_is_not_taken_for_the_new_window() -> None:
    async def body() -> None:
        one = governor(at=NOON + 59.9, speed=0.001)
        one.observe(Pool.SPOT, 94, since=NOON + 59.8)
        assert one.used(Pool.SPOT) == 0

    run(body)


def test_weight_on_its_way_over_the_edge_counts_in_both_windows() -> None:
    async def body() -> None:
        one = governor(at=NOON + 59.0, speed=1.0)
        async with one.spend(Pool.SPOT, 60):
            await one.clock.sleep_until(NOON + 60.5)
            assert one.used(Pool.SPOT) == 0 or one.used(Pool.SPOT) == 60
            late = asyncio.create_task(one.spend(Pool.SPOT, 60).__aenter__())
            await asyncio.sleep(0.05)
            assert not late.done()  # 60 may still land in this window
            assert one.used(Pool.SPOT) == 60
        late.cancel()

    run(body)


def test_a_frozen_pool_waits_and_the_other_goes_on() -> None:
    async def body() -> None:
        one = governor()
        until = one.clock.now() + 90
        one.freeze(Pool.SPOT, until)
        async with one.spend(Pool.FUTURES, 1):
            assert one.clock.now() < until
        async with one.spend(Pool.SPOT, 1):
            assert one.clock.now() >= until

    run(body)


def test_a_shorter_freeze_does_not_end_a_longer_one() -> None:
    async def body() -> None:
        one = governor()
        until = one.clock.now() + 90
        one.freeze(Pool.SPOT, until)
        one.freeze(Pool.SPOT, until - 60)
        async with one.spend(Pool.SPOT, 1):
            assert one.clock.now() >= until

    run(body)


def test_repair_goes_before_backfill_that_waits_already() -> None:
    async def body() -> None:
        one = governor()
        order: list[str] = []

        async def spend(name: str, priority: Priority) -> None:
            async with one.spend(Pool.SPOT, 50, priority):
                order.append(name)

        tasks = [asyncio.create_task(spend(f"backfill{n}", Priority.BACKFILL)) for n in range(3)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(spend("repair", Priority.REPAIR)))
        await asyncio.gather(*tasks)
        assert order[:2] == ["backfill0", "repair"]

    run(body)


def test_repair_goes_first_whatever_its_pool() -> None:
    async def body() -> None:
        one = governor(in_flight=1)
        order: list[str] = []

        async def spend(pool: Pool, priority: Priority) -> None:
            async with one.spend(pool, 1, priority):
                order.append(priority.name)

        async with one.spend(Pool.SPOT, 1):
            tasks = [
                asyncio.create_task(spend(Pool.SPOT, Priority.BACKFILL)),
                asyncio.create_task(spend(Pool.FUTURES, Priority.REPAIR)),
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert order == ["REPAIR", "BACKFILL"]

    run(body)


def test_pools_take_turns_where_all_slots_are_taken() -> None:
    async def body() -> None:
        one = governor(in_flight=1)
        order: list[Pool] = []

        async def spend(pool: Pool) -> None:
            async with one.spend(pool, 1):
                order.append(pool)

        async with one.spend(Pool.SPOT, 1):
            tasks = [asyncio.create_task(spend(Pool.SPOT)) for _ in range(4)]
            tasks += [asyncio.create_task(spend(Pool.FUTURES)) for _ in range(4)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert order[:4].count(Pool.FUTURES) == 2

    run(body)


def test_groups_take_turns() -> None:
    async def body() -> None:
        one = governor(in_flight=1)
        order: list[str] = []

        async def spend(group: str) -> None:
            async with one.spend(Pool.SPOT, 1, group=group):
                order.append(group)
                await asyncio.sleep(0)

        many = [asyncio.create_task(spend("many")) for _ in range(6)]
        await asyncio.sleep(0)
        await asyncio.gather(*many, spend("few"))
        assert order.index("few") <= 3

    run(body)


def test_no_more_than_so_many_are_on_their_way() -> None:
    async def body() -> None:
        one = governor(in_flight=5)
        running = most = 0

        async def spend() -> None:
            nonlocal running, most
            async with one.spend(Pool.SPOT, 1):
                running += 1
                most = max(most, running)
                await asyncio.sleep(0)
                running -= 1

        await asyncio.gather(*(spend() for _ in range(40)))
        assert most == 5

    run(body)


def test_a_waiter_that_is_cancelled_takes_nothing_with_it() -> None:
    async def body() -> None:
        one = governor(in_flight=1)
        async with one.spend(Pool.SPOT, 1):
            waiting = asyncio.create_task(one.spend(Pool.SPOT, 1).__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        for _ in range(3):
            async with one.spend(Pool.SPOT, 1):
                pass
        assert one.used(Pool.SPOT) == 4

    run(body)


def test_a_waiter_that_is_cancelled_as_its_turn_comes_gives_it_back() -> None:
    async def body() -> None:
        one = governor(in_flight=1)
        first = one.spend(Pool.SPOT, 1)
        await first.__aenter__()
        waiting = asyncio.create_task(one.spend(Pool.SPOT, 1).__aenter__())
        await asyncio.sleep(0)
        await first.__aexit__(None, None, None)  # it is the other's turn, who has not run yet
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(5), one.spend(Pool.SPOT, 1):
            pass

    run(body)


def test_a_weight_that_never_fits_is_refused() -> None:
    async def body() -> None:
        with pytest.raises(UsageError, match="at most 95"):
            async with governor().spend(Pool.SPOT, 96):
                pass

    run(body)
