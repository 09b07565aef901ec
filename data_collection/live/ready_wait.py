"""Waiting for ready files: told by the kernel where it can, else looked for every 20 ms."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from pathlib import Path

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.exchange.timing import DEFAULT_TZ
from alphaqcm.data_collection.live.files.ready_names import latest_ready, stamp_of

_POLL = 0.02  # seconds between two looks
_LOOK_AGAIN_MS = 1_000  # the kernel may drop what it tells when much happens at once
_GATHER_MS, _STEP_MS = 20, 5  # what happens together is told together


def run_time_us(run_time: datetime) -> int:
    """A run time in µs since the epoch; naive ones are Hong Kong time."""
    aware = run_time if run_time.tzinfo else run_time.replace(tzinfo=DEFAULT_TZ)
    return int(aware.timestamp()) * 1_000_000


async def ready_symbols(
    folder: Path, symbols: Iterable[str], run_time: datetime, expire_at: float, clock: ExchangeClock
) -> AsyncGenerator[str, None]:
    """Each of `symbols` as its candles up to `run_time` are ready, until the clock's `expire_at`.

    A ready file of a later run time says the same of an earlier one. `expire_at` is in seconds
    since the epoch.
    """
    waiting, wanted = dict.fromkeys(symbols), stamp_of(run_time_us(run_time))
    async with contextlib.aclosing(_looks(folder, expire_at, clock)) as looks:
        async for _ in looks:
            there = latest_ready(folder)
            for symbol in [name for name in waiting if there.get(name, "") >= wanted]:
                del waiting[symbol]
                yield symbol
            if not waiting:
                return


async def _looks(
    folder: Path, expire_at: float, clock: ExchangeClock
) -> AsyncGenerator[None, None]:
    """One yield at once, one whenever the folder may have changed, and one at the end."""
    yield
    async with contextlib.aclosing(_changes(folder)) as changes:
        while (left := expire_at - clock.now()) > 0:
            try:
                await asyncio.wait_for(anext(changes), left / clock.speed)
            except TimeoutError:
                break
            yield
    yield


async def _changes(folder: Path) -> AsyncGenerator[None, None]:
    """A yield as soon as changes can be seen, then one at every change."""
    with contextlib.suppress(ImportError, OSError, RuntimeError):
        from watchfiles import awatch

        told = awatch(
            folder,
            watch_filter=None,
            recursive=False,
            debounce=_GATHER_MS,
            step=_STEP_MS,
            rust_timeout=_LOOK_AGAIN_MS,
            yield_on_timeout=True,
        )
        async with contextlib.aclosing(told):
            coming = asyncio.ensure_future(anext(told))
            try:
                await asyncio.sleep(0)  # the watch is set up by now: what comes is told
                yield
                while True:
                    await coming
                    yield
                    coming = asyncio.ensure_future(anext(told))
            finally:
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, OSError):
                    await coming
    while True:
        await asyncio.sleep(_POLL)
        yield
