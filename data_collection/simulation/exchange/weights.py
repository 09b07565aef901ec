"""Used weight of every address: fixed windows of the exchange's clock, refusals and bans."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from alphaqcm.data_collection.simulation.exchange.facts import POOLS, Pool
from alphaqcm.data_collection.simulation.exchange.tape.intervals import MINUTE_MS

_FIRST_BAN_MS = 2 * MINUTE_MS
_LONGEST_BAN_MS = 3 * 24 * 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is let through; `status` 429 or 418 where it is not."""

    status: int
    retry_after: int = 0  # seconds
    until_ms: int = 0  # end of a ban
    pool: Pool | None = None  # the one that is used up


@dataclass(slots=True)
class _Address:
    """What one address has used, has been refused, and is banned for."""

    ignored: int = 0  # 429 answers since the last window in which none was given
    refused_in: int = -1  # the minute of the last 429
    banned_until: int = 0
    bans: int = 0


class WeightBook:
    """Counts weight for each address and pool in fixed windows.

    A refused request counts as well. `patience` 429 answers in one minute turn into a ban (418)
    of two minutes, twice as long each time.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._addresses: dict[str, _Address] = {}
        self.used: Counter[tuple[str, Pool, int]] = Counter()
        """Weight by address, pool and start of the window (ms)."""

    def charge(self, address: str, spent: dict[Pool, int], now_ms: int) -> Verdict:
        """Count one request that costs `spent`; whether it may be answered."""
        who = self._addresses.setdefault(address, _Address())
        if now_ms < who.banned_until:
            return self._banned(who, now_ms)
        full: Pool | None = None
        for pool, weight in spent.items():
            key = (address, pool, self.window(pool, now_ms))
            self.used[key] += weight
            if self.used[key] > POOLS[pool].limit:
                full = pool
        if full is None:
            return Verdict(200)
        minute = now_ms // MINUTE_MS
        who.ignored = who.ignored + 1 if who.refused_in == minute else 1
        who.refused_in = minute
        if who.ignored > self._patience:
            self.ban(address, now_ms)
            return self._banned(who, now_ms)
        end = self.window(full, now_ms) + POOLS[full].minutes * MINUTE_MS
        return Verdict(429, max(1, -(-(end - now_ms) // 1000)), pool=full)

    def ban(self, address: str, now_ms: int, length_ms: int | None = None) -> None:
        """Ban an address from now on, by default twice as long as the last time."""
        who = self._addresses.setdefault(address, _Address())
        if length_ms is None:
            length_ms = min(_LONGEST_BAN_MS, _FIRST_BAN_MS * 2**who.bans)
        who.bans += 1
        who.ignored = 0
        who.banned_until = now_ms + length_ms

    @staticmethod
    def window(pool: Pool, now_ms: int) -> int:
        """Start of the pool's window that holds a moment."""
        width = POOLS[pool].minutes * MINUTE_MS
        return now_ms - now_ms % width

    def used_now(self, address: str, pool: Pool, now_ms: int) -> int:
        """Weight used in the running window."""
        return self.used[(address, pool, self.window(pool, now_ms))]

    @staticmethod
    def _banned(who: _Address, now_ms: int) -> Verdict:
        left = -(-(who.banned_until - now_ms) // 1000)
        return Verdict(418, max(1, left), who.banned_until)
