"""Planted faults: when and where each strikes, from a recorded seed; scenario files of them.

A fault is planted by `POST /__fault__` or a scenario file. It is in force from `start` on for
`seconds` of the exchange's clock or for `count` times, whichever ends first, each time with the
probability `share`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import yaml

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.exchange.faults import FaultKind
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market

_ONCE = frozenset(
    {FaultKind.WS_DROP, FaultKind.WS_HALF_OPEN, FaultKind.WS_RESET, FaultKind.WS_SHUTDOWN,
     FaultKind.BAN_418}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault; `market`, `symbol`, `path` and `stream` narrow it (empty: every one)."""

    kind: FaultKind
    market: str = ""
    symbol: str = ""
    path: str = ""  # a piece of the REST path
    stream: str = ""  # a piece of the stream's name
    start_ms: int = 0  # the exchange's clock
    seconds: float | None = None  # None: until `count` is used up
    count: int | None = None  # None: no end, but once for what ends a connection
    share: float = 1.0
    seconds_after: float | None = None
    status: int = 503
    value: int = 0

    @classmethod
    def parse(cls, words: Mapping[str, object], now_ms: int) -> Fault:
        """A fault from JSON or YAML; `start` is an ISO instant, ms, or `+seconds` from now.

        Raises `UsageError` for words that no fault has.
        """
        given = dict(words)
        start = given.pop("start", None)
        known = {field.name for field in fields(cls)} - {"start_ms"}
        unknown = sorted(set(given) - known)
        if unknown:
            raise UsageError(
                "fault", expected=f"words of {', '.join(sorted(known | {'start'}))}",
                found=", ".join(unknown),
            )  # fmt: skip
        try:
            kind = FaultKind(str(given.pop("kind", "")))
            if given.get("market"):
                Market(str(given["market"]))
            given |= {"kind": kind, "start_ms": _moment(start, now_ms)}
            return msgspec.convert(given, cls, strict=False)
        except (TypeError, ValueError) as error:
            raise UsageError(
                "fault", expected=f"a kind of {', '.join(FaultKind)}, numbers and times",
                found=str(error),
            ) from error  # fmt: skip

    def active(self, now_ms: float) -> bool:
        """Whether it is in force at a moment."""
        if now_ms < self.start_ms:
            return False
        return self.seconds is None or now_ms < self.start_ms + self.seconds * 1000

    @property
    def end_ms(self) -> int:
        """End of a fault that has a length; the end of time for one that has none."""
        return self.start_ms + int(self.seconds * 1000) if self.seconds is not None else 2**53

    @property
    def times(self) -> int | None:
        """How often it may strike."""
        return 1 if self.count is None and self.kind in _ONCE else self.count


def _moment(value: object, now_ms: int) -> int:
    if value is None:
        return now_ms
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    if isinstance(value, int | float):
        return int(value)
    text = str(value)
    if text.startswith("+"):
        return now_ms + int(float(text[1:]) * 1000)
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@dataclass(slots=True)
class _Planted:
    fault: Fault
    struck: int = 0


class FaultPlan:
    """The planted faults, their seed, and how often each has struck."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._random = random.Random(seed)  # noqa: S311 (a storm that can be repeated)
        self._planted: list[_Planted] = []

    def plant(self, fault: Fault) -> int:
        """Put a fault in force; returns its number."""
        self._planted.append(_Planted(fault))
        return len(self._planted) - 1

    def clear(self) -> None:
        """Take all faults away; what they did to the truth stays."""
        self._planted.clear()

    def strike(
        self, kind: FaultKind, now_ms: float, *, market: str = "", path: str = "",
        symbol: str = "", stream: str = "",
    ) -> Fault | None:  # fmt: skip
        """The fault of a kind that strikes here and now, counted; None where there is none."""
        for planted in self._planted:
            fault = planted.fault
            if fault.kind is not kind or not fault.active(now_ms):
                continue
            if fault.times is not None and planted.struck >= fault.times:
                continue
            if (fault.market and market and fault.market != market) or fault.path not in path:
                continue
            if (fault.symbol and fault.symbol != symbol) or fault.stream not in stream:
                continue
            if fault.share < 1 and self._random.random() >= fault.share:
                continue
            planted.struck += 1
            return fault
        return None

    def has(self, kind: FaultKind) -> bool:
        """Whether a fault of a kind is planted at all."""
        return any(planted.fault.kind is kind for planted in self._planted)

    def concerning(self, kind: FaultKind, listing: Listing, now_ms: float) -> Fault | None:
        """As `strike` for a symbol."""
        if not self._planted:
            return None
        return self.strike(kind, now_ms, market=listing.market, symbol=listing.symbol)

    def as_json(self) -> list[dict[str, object]]:
        """All planted faults with the number of their strikes."""
        return [{**asdict(one.fault), "struck": one.struck} for one in self._planted]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A file of faults and the seed of their chances."""

    seed: int = 0
    faults: tuple[Mapping[str, object], ...] = ()

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Read a YAML file `{seed: N, faults: [{kind: …, …}, …]}`; raises `UsageError`."""
        try:
            words = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise UsageError(
                path, expected="a YAML file with seed and faults", found=str(error)
            ) from error
        rows = words.get("faults", []) if isinstance(words, dict) else None
        seed = words.get("seed", 0) if isinstance(words, dict) else None
        if not isinstance(rows, list) or not isinstance(seed, int):
            raise UsageError(
                path, expected="{seed: a number, faults: a list}", found=str(words)[:80]
            )
        if any(not isinstance(row, dict) for row in rows):
            raise UsageError(path, expected="faults: a list of mappings", found=str(rows)[:80])
        scenario = cls(seed, tuple(rows))
        for row in scenario.faults:
            Fault.parse(row, 0)
        return scenario
