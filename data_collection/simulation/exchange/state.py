"""All that one simulated exchange consists of, put together from its description."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.exchange.clock import ExchangeClock
from alphaqcm.data_collection.simulation.exchange.fault_plan import Fault, FaultPlan, Scenario
from alphaqcm.data_collection.simulation.exchange.faults import FaultKind
from alphaqcm.data_collection.simulation.exchange.stats import Stats
from alphaqcm.data_collection.simulation.exchange.tape.generated import GeneratedTape
from alphaqcm.data_collection.simulation.exchange.tape.intervals import DAY_MS
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.protocol import Tape
from alphaqcm.data_collection.simulation.exchange.tape.recorded import RecordedTape
from alphaqcm.data_collection.simulation.exchange.tape.universe import (
    UniverseSize,
    generated_universe,
    new_listing,
)
from alphaqcm.data_collection.simulation.exchange.venue import Gap, Halt, Venue
from alphaqcm.data_collection.simulation.exchange.weights import WeightBook


class KlinePush(StrEnum):
    """How often kline frames come."""

    FULL = "full"  # as the exchange does: every 250 ms (spot: 2 s)
    CLOSES = "closes"  # on subscription, when a candle opens and when it closes


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """What to simulate: a generated universe, or the archive tree `tape`."""

    tape: Path | None = None
    start_ms: int | None = None  # of the clock; None: now, or the last day of the tape
    speed: float = 1.0
    seed: int = 7
    size: UniverseSize = field(default_factory=UniverseSize)
    trades_per_minute: int = 3  # of every generated symbol, on average
    kline_push: KlinePush = KlinePush.FULL
    cm_routed: bool = False  # cm streams need their route, as um's do
    patience: int = 80  # 429 answers in a minute before an address is banned
    scenario: Scenario = field(default_factory=Scenario)

    def __post_init__(self) -> None:
        if not 0 < self.speed <= 100_000 or not 1 <= self.trades_per_minute <= 100_000:
            raise UsageError(
                "exchange",
                expected="a speed above 0 and at most 100000, 1 to 100000 trades a minute",
                found=f"{self.speed:g}, {self.trades_per_minute}",
            )


class ExchangeState:
    """The venue, its clock, the weights used, the faults planted and what was counted."""

    def __init__(self, spec: ExchangeSpec) -> None:
        self.spec = spec
        tape, listings, start_ms = _tape_of(spec)
        self.clock = ExchangeClock(start_ms, spec.speed)
        self.venue = Venue(listings, tape, self.clock)
        self.weights = WeightBook(spec.patience)
        self.fault_plan = FaultPlan(spec.scenario.seed)
        self.stats = Stats()
        for words in spec.scenario.faults:
            self.plant(Fault.parse(words, start_ms))

    def plant(self, fault: Fault) -> int:
        """Put a fault in force; one of the truth changes the venue at once."""
        market = Market(fault.market) if fault.market else None
        match fault.kind:
            case FaultKind.HOLE:
                self.venue.add_gap(Gap(fault.start_ms, fault.end_ms, market, fault.symbol))
            case FaultKind.HALT:
                self.venue.add_gap(Halt(fault.start_ms, fault.end_ms, market, fault.symbol))
            case FaultKind.DELIST:
                self.venue.end(self._listing(fault), fault.start_ms)
            case FaultKind.NEW_LISTING:
                place = market or Market.UM
                self.venue.put(new_listing(place, fault.symbol, fault.start_ms))
            case FaultKind.CLOCK_SKEW:
                self.clock.skew_ms = fault.value
            case _:
                pass
        return self.fault_plan.plant(fault)

    def _listing(self, fault: Fault) -> Listing:
        found = self.venue.find(Market(fault.market or "um"), fault.symbol)
        if found is None:
            raise UsageError(
                f"fault {fault.kind}", expected="a market and a symbol of it", found=fault.symbol
            )
        return found


def _tape_of(spec: ExchangeSpec) -> tuple[Tape, tuple[Listing, ...], int]:
    if spec.tape is not None:
        if not spec.tape.is_dir():
            raise UsageError(
                spec.tape,
                expected="a directory that holds data/…",
                next_step="write one with: alphaqcm sample DIR",
            )
        recorded = RecordedTape(spec.tape)
        start_ms = recorded.end_ms - DAY_MS if spec.start_ms is None else spec.start_ms
        return recorded, recorded.listings(), start_ms
    start_ms = int(time.time() * 1000) if spec.start_ms is None else spec.start_ms
    tape = GeneratedTape(spec.seed, spec.trades_per_minute)
    return tape, generated_universe(spec.size, start_ms), start_ms
