"""Hashed noise: values that follow from a seed and a number alone, and waves made of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphaqcm.data_collection.simulation.exchange.tape.trades import Ints

Floats = NDArray[np.float64]
_WAVES = (3, 15, 60, 240, 1440, 10_080, 43_200)  # periods in minutes
_FIRST_PURPOSE = 16

Hash = NDArray[np.uint64]


def mixed(values: Hash) -> Hash:
    """Bits spread over the whole word (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hashed(seeds: Hash, numbers: Ints, purpose: int) -> Hash:
    """A hash for each number; seeds and numbers broadcast."""
    salt = np.uint64((purpose * 0x9E3779B97F4A7C15) & (2**64 - 1))
    return mixed(mixed(numbers.astype(np.uint64) + salt) ^ seeds)


def unit(seeds: Hash, numbers: Ints, purpose: int) -> Floats:
    """Uniform in [-1, 1)."""
    top = (hashed(seeds, numbers, purpose) >> np.uint64(11)).astype(np.float64)
    return top * (2.0 / 2**53) - 1.0


def _height(period: int) -> float:
    return float(np.sqrt(period / 1440) * 0.7)


def wave(seeds: Hash, minutes: Floats) -> Floats:
    """The sum of all waves at moments in minutes; seeds and moments broadcast."""
    total = np.zeros(minutes.shape)
    for purpose, period in enumerate(_WAVES, start=_FIRST_PURPOSE):
        place = minutes / period
        below = np.floor(place)
        left = unit(seeds, below.astype(np.int64), purpose)
        right = unit(seeds, below.astype(np.int64) + 1, purpose)
        total += _height(period) * (left + (right - left) * (place - below))
    return total


def wave_of_blocks(seeds: Hash, first: Ints, minutes: int) -> Floats:
    """The same at the edges of all minutes of blocks that start at `first` (a column).

    A block meets few lattice points of a wave: each is hashed once, and not for every minute.
    """
    edges = first + np.arange(minutes + 1)
    rows = np.arange(len(first))[:, None]
    total = np.zeros(edges.shape)
    for purpose, period in enumerate(_WAVES, start=_FIRST_PURPOSE):
        cell = first // period
        lattice = unit(seeds, cell + np.arange(minutes // period + 3), purpose)
        at = edges // period - cell
        left, right = lattice[rows, at], lattice[rows, at + 1]
        total += _height(period) * (left + (right - left) * (edges % period / period))
    return total
