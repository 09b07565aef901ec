"""The lease on a data root in an object store: one client works on it at a time.

An object says who holds the root, until when, and with which fencing number, which only grows. It
is made and renewed by conditional puts. A client whose lease ended without its knowledge finds
another number there before it writes, and publishes nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Self

import orjson

from alphaqcm.data_collection.archive.objects.object_store import ObjectStore
from alphaqcm.data_collection.errors import LeaseLost, RootBusy, StoreError
from alphaqcm.pipeline.errors import Conflict
from alphaqcm.pipeline.storage.layout import TEMP_NAME

LASTS = 60.0
"""Seconds that a lease counts without being renewed; the hosts' clocks differ by far less."""

_RENEWALS = 4  # in that time


@dataclass(frozen=True, slots=True)
class Holder:
    """What the object says of who holds the root."""

    token: int  # the fencing number
    who: str  # for people
    secret: str  # tells one holder from another with the same words
    until: float  # seconds since 1970 UTC; 0: it was given back


class Lease:
    """A lease that this process holds, until it is given back or lost.

    `clock` gives seconds since 1970 UTC.
    """

    def __init__(
        self, store: ObjectStore, clock: Callable[[], float] = time.time, lasts: float = LASTS
    ) -> None:
        self._store = store
        self._clock = clock
        self._lasts = lasts
        self._path = store.root / TEMP_NAME / "lease.json"
        self._busy = threading.Lock()
        self._version = ""
        self.holder = Holder(0, _who(), os.urandom(8).hex(), 0.0)

    def take(self) -> Self:
        """Take it where nobody holds it, or not any more.

        Raises `RootBusy` naming the holder, `StoreError`.
        """
        found = self._look()
        if found is not None and found[0].until > self._clock():
            raise self._held_by(found[0])
        held, version = found or (replace(self.holder, token=0), None)
        try:
            self._put(held.token + 1, version, self._clock() + self._lasts)
        except Conflict as error:
            there = self._look()
            raise self._held_by(there[0] if there else self.holder) from error
        return self

    def check(self) -> None:
        """Raise `LeaseLost` where this process does not hold the root any more."""
        found = self._look()
        if found is None or found[0].secret != self.holder.secret:
            raise self._lost(found[0] if found else None)
        if found[0].until <= self._clock():
            self.renew()  # nobody took it: a conditional put tells whether that still holds

    def renew(self) -> None:
        """Hold it for longer; raises `LeaseLost`, `StoreError`."""
        with self._busy:
            try:
                self._put(self.holder.token, self._version, self._clock() + self._lasts)
            except Conflict as error:
                found = self._look()
                if found is not None and found[0].secret == self.holder.secret:
                    self._version = found[1]  # our own put, whose answer was lost
                    return
                raise self._lost(found[0] if found else None) from error

    def give_back(self) -> None:
        """Let others take it at once; the fencing number stays."""
        with self._busy, contextlib.suppress(Conflict, StoreError):
            self._put(self.holder.token, self._version, 0.0)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Renew it from time to time while the block runs, and give it back at its end."""
        stop = threading.Event()

        def follow() -> None:
            while not stop.wait(self._lasts / _RENEWALS):
                with contextlib.suppress(StoreError):  # it is tried again before it ends
                    try:
                        self.renew()
                    except LeaseLost:
                        return  # whoever writes next is told

        thread = threading.Thread(target=follow, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.give_back()

    def _put(self, token: int, version: str | None, until: float) -> None:
        holder = replace(self.holder, token=token, until=until)
        self._version = self._store.put_if(self._path, orjson.dumps(asdict(holder)), version)
        self.holder = holder

    def _look(self) -> tuple[Holder, str] | None:
        found = self._store.read_version(self._path)
        if found is None:
            return None
        try:
            return Holder(**orjson.loads(found[0])), found[1]
        except (TypeError, ValueError) as error:
            raise StoreError(
                self._store.name(self._path),
                expected="the lease of a client",
                found="something else",
                next_step="remove that object when nobody works on this data root",
            ) from error

    def _held_by(self, holder: Holder) -> RootBusy:
        until = datetime.fromtimestamp(holder.until, UTC).isoformat(timespec="seconds")
        return RootBusy(
            self._store.url,
            expected="a data root that nobody else works on",
            found=f"{holder.who}, whose lease ends {until} unless it is renewed",
            next_step="wait until it is done, or stop it; it loses nothing",
        )

    def _lost(self, holder: Holder | None) -> LeaseLost:
        return LeaseLost(
            self._store.url,
            expected=f"our lease, number {self.holder.token}",
            found="none" if holder is None else f"number {holder.token} of {holder.who}",
            next_step="nothing was published; run the same command again when that one is done",
        )


def conditional_puts(store: ObjectStore) -> bool:
    """Whether the store refuses a second create and a stale version: a lease needs both.

    Tried with an object of its own, which is removed. Raises `StoreError` where nothing can be put.
    """
    path = store.root / "_tmp" / f"probe-{os.urandom(8).hex()}"
    try:
        first = store.put_if(path, b"1", None)
        try:
            store.put_if(path, b"2", None)
        except Conflict:
            pass
        else:
            return False
        store.put_if(path, b"3", first)
        try:
            store.put_if(path, b"4", first)
        except Conflict:
            return True
        return False
    finally:
        with contextlib.suppress(StoreError):
            store.delete(path)


@contextlib.contextmanager
def hold_store(store: ObjectStore, *, lease: bool = True) -> Iterator[None]:
    """Hold a data root in an object store alone; what this process writes is fenced meanwhile.

    Raises `RootBusy`, `StoreError` where the store has no conditional put, unless `lease` is off.
    """
    if not lease:
        yield
        return
    if not conditional_puts(store):
        raise StoreError(
            store.url,
            expected="a store that refuses a second create and a put over another version",
            found="one that overwrites in silence: two clients would not notice each other",
            next_step="--no-lease, where nobody else can work on this data root meanwhile",
        )
    held = Lease(store).take()
    with held.kept():
        store.fence = held.check
        try:
            yield
        finally:
            store.fence = _open


def _open() -> None:
    """No fence any more."""


def _who() -> str:
    words = " ".join(sys.argv[:2]).rsplit("/", 1)[-1]
    return f"process {os.getpid()} on {socket.gethostname()} ({words})"
