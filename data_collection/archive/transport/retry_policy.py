"""The manners of all transports: how fast, when to wait, how often to ask again.

One `Weather` is shared by every thread of an `Archive`. It holds the pool back when the source
throttles (fewer at once, nobody before Retry-After), limits the bytes a second, repeats attempts
with exponential backoff and jitter, and counts every trouble for the summary.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from alphaqcm.data_collection.errors import Refused, Trouble, TroubleKind, Unreachable

T = TypeVar("T")

_LONGEST_WAIT = 60.0  # seconds between two attempts
_SILENCE = (TroubleKind.CONNECTION, TroubleKind.NAME)
_FIRST_CONTACT = 3  # retries of an address that has never answered: most likely it is wrong
_LONGEST_PAUSE = 900.0  # seconds a source may ask us to stay away before we give up


class Stopped(Exception):
    """The pool is being stopped; raised in its threads only."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How polite and how patient: see `FetchOptions`."""

    connections: int
    rate_limit: int | None  # bytes a second
    retries: int
    backoff: float  # seconds before the second attempt


class Weather:
    """Shared by the threads of one pool."""

    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self.troubles: Counter[str] = Counter()
        self.stop = threading.Event()
        self._changed = threading.Condition()
        self._active = 0
        self._width = float(manners.connections)  # how many may be active at once
        self._resume_at = 0.0
        self._throttles = 0  # in a row
        self._barren = 0  # things given up in a row
        self._answered = False
        self._budget_at = time.monotonic()  # when the bytes taken so far will have been earned

    def count(self, kind: TroubleKind) -> None:
        """Note a trouble for the summary."""
        with self._changed:
            self.troubles[kind.value] += 1

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """A place among the active requests; waits while the source asked for a pause."""
        with self._changed:
            while True:
                if self.stop.is_set():
                    raise Stopped
                pause = self._resume_at - time.monotonic()
                if pause <= 0 and self._active < max(1, int(self._width)):
                    break
                self._changed.wait(min(pause, 0.5) if pause > 0 else 0.5)
            self._active += 1
        try:
            yield
            self._went_well()
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify(2)  # the pool may also have become wider

    def _went_well(self) -> None:
        with self._changed:
            self._answered = True
            self._throttles = self._barren = 0
            self._width = min(float(self.manners.connections), self._width + 1 / self._width)

    @property
    def hopeless(self) -> bool:
        """Whether as much was given up in a row as there are connections: the source is gone."""
        return self._barren >= self.manners.connections

    def slow_down(self, retry_after: float | None) -> None:
        """The source throttles: halve the pool and pause it, as long as it asked for."""
        with self._changed:
            now = time.monotonic()
            if now >= self._resume_at:  # else an answer to a request from before the pause
                self._throttles += 1
                self._width = max(1.0, self._width / 2)
                self._resume_at = now + self._wait_seconds(self._throttles)
            if retry_after is not None:
                self._resume_at = max(self._resume_at, now + retry_after)

    def spend(self, count: int) -> None:
        """Wait until `count` more bytes are within the rate limit."""
        if self.stop.is_set():
            raise Stopped
        if self.manners.rate_limit is None:
            return
        with self._changed:
            now = time.monotonic()
            self._budget_at = max(self._budget_at, now - 0.1) + count / self.manners.rate_limit
            wait = self._budget_at - now
        if wait > 0:
            self.stop.wait(wait)

    def _wait_seconds(self, attempt: int) -> float:
        longest = min(_LONGEST_WAIT, self.manners.backoff * 2 ** min(attempt, 16))
        return random.uniform(longest / 2, longest)  # noqa: S311

    def patiently(self, subject: str, attempt: Callable[[], T], progress: Callable[[], int]) -> T:
        """Run `attempt` until it works; raises `Unreachable` after `retries` fruitless ones.

        `progress` tells how many bytes are there: an attempt that brought many was not fruitless.
        """
        fruitless, had = 0, progress()

        def enough(state: tenacity.RetryCallState) -> bool:
            nonlocal fruitless, had
            now = progress()
            fruitless = 0 if now - had >= _GOOD_PROGRESS else fruitless + 1
            had = now
            return fruitless > self._patience(state)

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, Trouble) and error.kind is TroubleKind.THROTTLED:
                return 0.0  # the whole pool waits, in `turn`
            return self._wait_seconds(fruitless)

        def once() -> T:
            with self.turn():
                try:
                    return attempt()
                except Trouble as trouble:
                    self._met(trouble)
                    raise

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Trouble),
            stop=lambda state: enough(state) or self.stop.is_set(),
            wait=pause,
            sleep=tenacity.sleep_using_event(self.stop),
            reraise=True,
        )
        try:
            return retrying(once)
        except Trouble as trouble:
            if self.stop.is_set():
                raise Stopped from trouble
            with self._changed:
                self._barren += 1
            kind = "" if trouble.kind is TroubleKind.CONNECTION else f"{trouble.kind.value}: "
            raise Unreachable(
                trouble.subject if "://" in trouble.subject else subject,
                expected=f"an answer within {fruitless} attempts",
                found=f"{kind}{trouble.found}",
                next_step="check the network and --source; the same command goes on from here",
            ) from trouble

    def _patience(self, state: tenacity.RetryCallState) -> int:
        """Fruitless attempts to bear: few while nothing was ever heard from that address."""
        error = state.outcome.exception() if state.outcome else None
        unheard = isinstance(error, Trouble) and error.kind in _SILENCE and not self._answered
        return min(self.manners.retries, _FIRST_CONTACT) if unheard else self.manners.retries

    def _met(self, trouble: Trouble) -> None:
        self.count(trouble.kind)
        if trouble.kind is not TroubleKind.THROTTLED:
            return
        if trouble.retry_after is not None and trouble.retry_after > _LONGEST_PAUSE:
            raise _shut_out(trouble, f"Retry-After {trouble.retry_after:g} s")
        self.slow_down(trouble.retry_after)
        if self._throttles > 2 * self.manners.retries:
            raise _shut_out(trouble, f"{self._throttles} times in a row")


def _shut_out(trouble: Trouble, how_long: str) -> Refused:
    return Refused(
        trouble.subject,
        expected=f"to be let in again within {_LONGEST_PAUSE:g} s",
        found=f"{trouble.found}, {how_long}",
        next_step="wait, then run the same command with fewer --connections",
    )


_GOOD_PROGRESS = 1 << 20  # bytes of an attempt that was worth its while
