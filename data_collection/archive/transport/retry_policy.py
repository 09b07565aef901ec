"""Retry policy of all downloads: attempts, backoff, throttling and rate limit.

One `RetryPolicy` is shared by every thread of an `Archive`. It holds the pool back when the source
throttles (fewer at once, nobody before Retry-After), limits the bytes a second, repeats attempts
with exponential backoff and jitter, and counts every error for the summary.
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

from alphaqcm.data_collection.archive.transport.shared_limits import SharedLimits
from alphaqcm.data_collection.errors import ErrorKind, Refused, TransientError, Unreachable

T = TypeVar("T")

_LONGEST_WAIT = 60.0  # seconds between two attempts
_SILENCE = (ErrorKind.CONNECTION, ErrorKind.NAME)
_FIRST_CONTACT = 3  # retries of an address that has never answered: most likely it is wrong
_LONGEST_PAUSE = 900.0  # seconds a source may ask us to stay away before we give up


class Stopped(Exception):
    """The pool is being stopped; raised in its threads only."""


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How polite and how patient: see `FetchOptions`."""

    connections: int
    rate_limit: int | None  # bytes a second
    retries: int
    backoff: float  # seconds before the second attempt


class RetryPolicy:
    """Shared by the threads of one pool; `limits` by all processes on the cache."""

    def __init__(self, settings: RetrySettings, limits: SharedLimits | None = None) -> None:
        self.settings = settings
        self._limits = limits
        self.retried_errors: Counter[str] = Counter()
        self.stop = threading.Event()
        self._changed = threading.Condition()
        self._active = 0
        self._width = float(settings.connections)  # how many may be active at once
        self._resume_at = 0.0
        self._throttles = 0  # in a row
        self._given_up = 0  # things given up in a row
        self._answered = False
        self.brought = 0  # bytes of bodies so far

    def count(self, kind: ErrorKind) -> None:
        """Note an error for the summary."""
        with self._changed:
            self.retried_errors[kind.value] += 1

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
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
            with self._limits.connection(self._check) if self._limits else contextlib.nullcontext():
                yield
            self._went_well()
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify(2)  # the pool may also have become wider

    def _check(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _went_well(self) -> None:
        with self._changed:
            self._answered = True
            self._throttles = self._given_up = 0
            self._width = min(float(self.settings.connections), self._width + 1 / self._width)

    @property
    def circuit_open(self) -> bool:
        """Whether as much was given up in a row as there are connections: the source is gone."""
        return self._given_up >= self.settings.connections

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
        with self._changed:
            self.brought += count
        if self._limits is not None:
            self._limits.spend(count, self.stop)

    def _wait_seconds(self, attempt: int) -> float:
        longest = min(_LONGEST_WAIT, self.settings.backoff * 2 ** min(attempt, 16))
        return random.uniform(longest / 2, longest)  # noqa: S311

    def retry(self, subject: str, attempt: Callable[[], T], progress: Callable[[], int]) -> T:
        """Run `attempt` until it works; raises `Unreachable` after `retries` fruitless ones.

        `progress` tells how many bytes are there: an attempt that brought many was not fruitless.
        """
        fruitless, had = 0, progress()

        def enough(state: tenacity.RetryCallState) -> bool:
            nonlocal fruitless, had
            now = progress()
            fruitless = 0 if now - had >= _GOOD_PROGRESS else fruitless + 1
            had = now
            return fruitless > self._allowed_retries(state)

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, TransientError) and error.kind is ErrorKind.THROTTLED:
                return 0.0  # the whole pool waits, in `slot`
            return self._wait_seconds(fruitless)

        def once() -> T:
            with self.slot():
                try:
                    return attempt()
                except TransientError as error:
                    self._met(error)
                    raise

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            stop=lambda state: enough(state) or self.stop.is_set(),
            wait=pause,
            sleep=tenacity.sleep_using_event(self.stop),
            reraise=True,
        )
        try:
            return retrying(once)
        except TransientError as error:
            if self.stop.is_set():
                raise Stopped from error
            with self._changed:
                self._given_up += 1
            kind = "" if error.kind is ErrorKind.CONNECTION else f"{error.kind.value}: "
            raise Unreachable(
                error.subject if "://" in error.subject else subject,
                expected=f"an answer within {fruitless} attempts",
                found=f"{kind}{error.found}",
                next_step="check the network and --source; the same command goes on from here",
            ) from error

    def _allowed_retries(self, state: tenacity.RetryCallState) -> int:
        """Fruitless attempts to bear: few while nothing was ever heard from that address."""
        error = state.outcome.exception() if state.outcome else None
        unheard = (
            isinstance(error, TransientError) and error.kind in _SILENCE and not self._answered
        )
        return min(self.settings.retries, _FIRST_CONTACT) if unheard else self.settings.retries

    def _met(self, error: TransientError) -> None:
        self.count(error.kind)
        if error.kind is not ErrorKind.THROTTLED:
            return
        if error.retry_after is not None and error.retry_after > _LONGEST_PAUSE:
            raise _shut_out(error, f"Retry-After {error.retry_after:g} s")
        self.slow_down(error.retry_after)
        if self._throttles > 2 * self.settings.retries:
            raise _shut_out(error, f"{self._throttles} times in a row")


def _shut_out(error: TransientError, how_long: str) -> Refused:
    return Refused(
        error.subject,
        expected=f"to be let in again within {_LONGEST_PAUSE:g} s",
        found=f"{error.found}, {how_long}",
        next_step="wait, then run the same command with fewer --connections",
    )


_GOOD_PROGRESS = 1 << 20  # bytes of an attempt that was worth its while
