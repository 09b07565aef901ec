"""Weight governor: how much may be asked of the exchange now, for all tasks of a process.

Weight is reserved before a request is sent. What counts as used in a window is the larger of what
this process reserved and what the exchange's header told plus what is on its way, so that other
processes behind the same address show too. Windows are the exchange's fixed minutes: a request that
may fall into either of two is counted in both.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.exchange.endpoints import POOL_LIMITS, Pool, PoolLimit

SOFT_CAP = 0.95
IN_FLIGHT = 64
_GUARD = 0.25  # seconds around a window's edge in which a request may count on either side


class Priority(IntEnum):
    """Who goes first."""

    REPAIR = 0
    LIVE = 1
    BACKFILL = 2


@dataclass(slots=True)
class _Window:
    local: int = 0
    header: int = 0


@dataclass(slots=True)
class _Waiter:
    weight: int
    granted: asyncio.Future[None]


@dataclass(slots=True)
class _Queue:
    """Waiters of one priority: groups take turns, a group's own wait in line."""

    groups: OrderedDict[str, deque[_Waiter]] = field(default_factory=OrderedDict)

    def push(self, group: str, waiter: _Waiter) -> None:
        self.groups.setdefault(group, deque()).append(waiter)

    def head(self) -> _Waiter | None:
        while self.groups:
            group, line = next(iter(self.groups.items()))
            while line and line[0].granted.done():  # cancelled meanwhile
                line.popleft()
            if line:
                return line[0]
            del self.groups[group]
        return None

    def pop(self) -> None:
        group, line = next(iter(self.groups.items()))
        line.popleft()
        if line:
            self.groups.move_to_end(group)
        else:
            del self.groups[group]


@dataclass(slots=True)
class _PoolState:
    limit: PoolLimit
    windows: dict[int, _Window] = field(default_factory=dict)
    queues: dict[Priority, _Queue] = field(default_factory=lambda: {p: _Queue() for p in Priority})
    outstanding: int = 0
    frozen_until: float = 0.0
    timer: asyncio.TimerHandle | None = None

    def head(self) -> tuple[Priority, _Waiter] | None:
        for priority in Priority:
            waiter = self.queues[priority].head()
            if waiter is not None:
                return priority, waiter
        return None


class Spending:
    """Weight that was reserved for one request."""

    def __init__(self, governor: Governor, pool: Pool, weight: int) -> None:
        self.pool = pool
        self.weight = weight
        self._governor = governor
        self._granted = governor.clock.now()

    def saw(self, used: int) -> None:
        """Take over the used weight that the answer's header tells."""
        self._governor.observe(self.pool, used, since=self._granted)


class Governor:
    """Hands out weight; one a process. Every coroutine that uses it runs in one event loop."""

    def __init__(
        self,
        clock: ExchangeClock,
        limits: Mapping[Pool, PoolLimit] = POOL_LIMITS,
        soft_cap: float = SOFT_CAP,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self.clock = clock
        self.soft_cap = soft_cap
        self._slots = in_flight
        self._pools = {pool: _PoolState(limit) for pool, limit in limits.items()}
        self._turns = list(limits)  # the pool that waited longest since its last grant first

    def set_limit(self, pool: Pool, limit: int) -> None:
        """Take over a limit that the exchange itself tells."""
        state = self._pools[pool]
        state.limit = PoolLimit(limit, state.limit.window, state.limit.told_by_header)

    def limit(self, pool: Pool) -> int:
        """The pool's hard limit in one window."""
        return self._pools[pool].limit.limit

    def cap(self, pool: Pool) -> int:
        """How much of the limit is used at most."""
        return int(self.limit(pool) * self.soft_cap)

    def used(self, pool: Pool) -> int:
        """What counts as used in the window that is now."""
        state = self._pools[pool]
        number = math.floor(self.clock.now() / state.limit.window)
        return self._used(state, number) if number in state.windows else 0

    def frozen_for(self, pool: Pool) -> float:
        """Seconds for which nothing of the pool may be sent."""
        return max(0.0, self._pools[pool].frozen_until - self.clock.now())

    @asynccontextmanager
    async def spend(
        self,
        pool: Pool,
        weight: int,
        priority: Priority = Priority.BACKFILL,
        group: str = "",
    ) -> AsyncIterator[Spending]:
        """Wait until `weight` fits, hold it reserved while the block sends its one request.

        Groups of one priority take turns. Raises `UsageError` for a weight that never fits.
        """
        if weight > self.cap(pool):
            raise UsageError(
                f"a request of weight {weight}",
                expected=f"at most {self.cap(pool)}, the usable part of pool {pool}",
            )
        await self._acquire(pool, weight, priority, group)
        spending = Spending(self, pool, weight)
        try:
            yield spending
        finally:
            self._release(pool, weight)

    def freeze(self, pool: Pool, until: float) -> None:
        """Send nothing of the pool before `until` (the exchange's time, seconds)."""
        state = self._pools[pool]
        state.frozen_until = max(state.frozen_until, until)

    def next_window(self, pool: Pool) -> float:
        """When the pool's next window has begun for sure."""
        window = self._pools[pool].limit.window
        now = self.clock.now()
        return (math.floor((now + self._guard) / window) + 1) * window + self._guard

    def observe(self, pool: Pool, used: int, since: float | None = None) -> None:
        """A header told `used`; it counts where all of `since`..now lies in one window."""
        state = self._pools[pool]
        now = self.clock.now()
        first, last = self._span(state, now if since is None else since, now)
        for number in range(first, last + 1):
            self._window(state, number)
        if first == last and state.limit.told_by_header:
            window = self._window(state, first)
            window.header = max(window.header, used)

    @property
    def _guard(self) -> float:
        return _GUARD + 2 * self.clock.uncertainty

    def _span(self, state: _PoolState, start: float, end: float) -> tuple[int, int]:
        window = state.limit.window
        return (
            math.floor((start - self._guard) / window),
            math.floor((end + self._guard) / window),
        )

    def _window(self, state: _PoolState, number: int) -> _Window:
        """The window; when it opens, what is on its way may still be counted in it."""
        if number not in state.windows:
            state.windows[number] = _Window(local=state.outstanding)
            for old in [key for key in state.windows if key < number - 2]:
                del state.windows[old]
        return state.windows[number]

    def _used(self, state: _PoolState, number: int) -> int:
        window = self._window(state, number)
        coming = state.outstanding if window.header else 0
        return max(window.local, window.header + coming)

    def _fits(self, state: _PoolState, weight: int, cap: int) -> bool:
        now = self.clock.now()
        first, last = self._span(state, now, now)
        return all(self._used(state, n) + weight <= cap for n in range(first, last + 1))

    async def _acquire(self, pool: Pool, weight: int, priority: Priority, group: str) -> None:
        waiter = _Waiter(weight, asyncio.get_running_loop().create_future())
        self._pools[pool].queues[priority].push(group, waiter)
        self._pump()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                self._release(pool, weight)
            raise

    def _release(self, pool: Pool, weight: int) -> None:
        state = self._pools[pool]
        now = self.clock.now()
        first, last = self._span(state, now, now)
        for number in range(first, last + 1):
            self._window(state, number)
        state.outstanding -= weight
        self._slots += 1
        self._pump()

    def _pump(self) -> None:
        """Grant what may go: the first priority of all pools first, pools in turns."""
        blocked: set[Pool] = set()
        while self._slots > 0:
            heads = {
                pool: head
                for pool in self._turns
                if pool not in blocked and (head := self._pools[pool].head()) is not None
            }
            if not heads:
                return
            best = min(priority for priority, _ in heads.values())
            for pool, (priority, waiter) in heads.items():
                if priority is best and self._slots > 0 and not self._grant(pool, priority, waiter):
                    blocked.add(pool)

    def _grant(self, pool: Pool, priority: Priority, waiter: _Waiter) -> bool:
        state = self._pools[pool]
        now = self.clock.now()
        if now < state.frozen_until:
            self._wake(state, state.frozen_until)
            return False
        if not self._fits(state, waiter.weight, self.cap(pool)):
            self._wake(state, self.next_window(pool))
            return False
        first, last = self._span(state, now, now)
        for number in range(first, last + 1):
            self._window(state, number).local += waiter.weight
        state.outstanding += waiter.weight
        self._slots -= 1
        state.queues[priority].pop()
        self._turns.remove(pool)
        self._turns.append(pool)
        waiter.granted.set_result(None)
        return True

    def _wake(self, state: _PoolState, moment: float) -> None:
        if state.timer is not None:
            state.timer.cancel()
        delay = max(0.001, (moment - self.clock.now()) / self.clock.speed)
        state.timer = asyncio.get_running_loop().call_later(delay, self._pump)
