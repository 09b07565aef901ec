"""The efficient price, the activity and the premium of one symbol, minute by minute.

Blocks of whole days are drawn at once, but each day has random numbers of its own, so that a longer
sample begins with the bytes of a shorter one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from alphaqcm.data_collection.simulation.sample.instruments import Instrument
from alphaqcm.data_collection.simulation.sample.market_events import MarketEvents
from alphaqcm.data_collection.simulation.sample.table import Floats, Ints
from alphaqcm.pipeline.domain.time import MINUTE_US, epoch_us

MINUTES = 1440
DAY_US = MINUTES * MINUTE_US


def rng(seed: int, name: str, day: date) -> np.random.Generator:
    """The random numbers of one purpose and day."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode()), day.toordinal()]))


def ornstein(shocks: Floats, memory: float, before: float) -> Floats:
    """An AR(1) path of unit variance, (days, minutes), continued from `before`."""
    powers = memory ** np.arange(1, shocks.shape[1] + 1)
    own: Floats = powers * np.cumsum(shocks * np.sqrt(1 - memory**2) / powers, axis=1)
    for row in range(len(own)):
        own[row] += powers * before
        before = float(own[row, -1])
    return own


def _day_shape() -> Floats:
    """Activity over the day: high at both ends, low between, a hump at the American open."""
    hours = (np.arange(MINUTES) + 0.5) / 60
    shape = 0.6 + 0.8 * ((hours - 12) / 12) ** 2 + 1.1 * np.exp(-(((hours - 14.5) / 1.5) ** 2))
    return np.asarray(shape / shape.mean(), dtype=np.float64)


DAY_SHAPE = _day_shape()


@dataclass(frozen=True, slots=True)
class Grid:
    """Minutes of a block of days; `edges` are their starts and the last one's end."""

    days: tuple[date, ...]
    log_price: Floats  # at the edges (n + 1)
    premium: Floats  # of the last price over the index, at the edges (n + 1)
    activity: Floats  # share of an average minute (n)
    interest: Floats  # open interest as a share of its level, at each minute's end (n)
    ratios: Floats  # three unit-variance paths for the long/short ratios (3, n)

    @property
    def starts(self) -> Ints:
        """Start of every minute, us."""
        return minute_starts(self.days)


def minute_starts(days: Sequence[date]) -> Ints:
    """Start of every minute of `days`, us."""
    first = np.array([epoch_us(day) for day in days], dtype=np.int64)
    return (first[:, None] + np.arange(MINUTES) * MINUTE_US).ravel()


class Walk:
    """One symbol's path, drawn block by block in order."""

    def __init__(self, seed: int, contract: Instrument, fate: MarketEvents) -> None:
        self._seed, self._contract, self._fate = seed, contract, fate
        self._log_price = float(np.log(contract.price))
        self._premium = 0.3
        self._busy = 0.0
        self._slow = np.zeros(4)

    def block(self, days: Sequence[date]) -> Grid:
        """The next days."""
        contract, shape = self._contract, (len(days), MINUTES)
        own = np.empty((7, *shape))
        common = np.empty((2, *shape))
        for row, day in enumerate(days):
            own[:, row] = rng(self._seed, contract.symbol, day).standard_normal((7, MINUTES))
            common[:, row] = rng(self._seed, "market", day).standard_normal((2, MINUTES))
        mood = ornstein(0.6 * own[0] + 0.8 * common[0], 0.98, self._busy)
        self._busy = float(mood[-1, -1])
        activity = DAY_SHAPE * np.exp(0.5 * mood - 0.125)
        beta = contract.beta
        shocks = beta * common[1] + np.sqrt(1 - beta**2) * own[1]
        per_minute = contract.volatility / np.sqrt(MINUTES)
        returns = (shocks * per_minute * np.sqrt(activity)).ravel()
        starts = minute_starts(days)
        for at, factor in self._fate.jumps:
            returns[starts == at] += np.log(factor)
        first = self._log_price
        log_price = np.concatenate([[first], first + np.cumsum(returns)])
        self._log_price = float(log_price[-1])
        premium = ornstein(own[2], 0.99, self._premium).ravel()
        premium = np.concatenate([[self._premium], premium])
        self._premium = float(premium[-1])
        slow = np.stack(
            [ornstein(own[3 + k], 0.998, float(self._slow[k])).ravel() for k in range(4)]
        )
        self._slow = slow[:, -1].copy()
        return Grid(
            days=tuple(days),
            log_price=log_price,
            premium=1.0e-4 + 2.5e-4 * premium,
            activity=activity.ravel(),
            interest=np.exp(0.15 * slow[0]),
            ratios=slow[1:],
        )
