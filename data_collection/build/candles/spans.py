"""Stretches of time as pairs of milliseconds: joined, subtracted, and the gaps in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from alphaqcm.data_collection.exchange.clock import utc

Stretch = tuple[int, int]
"""[begin, end) in milliseconds since the epoch."""


def union(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same time in order, without overlaps; what touches is one."""
    found: list[Stretch] = []
    for begin, end in sorted(stretches):
        if begin >= end:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def subtract(whole: Stretch, taken: Iterable[Stretch]) -> list[Stretch]:
    """What of `whole` is not taken."""
    left: list[Stretch] = []
    begin, end = whole
    for start, stop in union(taken):
        if stop <= begin or start >= end:
            continue
        if start > begin:
            left.append((begin, start))
        begin = max(begin, stop)
    return [*left, (begin, end)] if begin < end else left


def overlap(some: Iterable[Stretch], others: Iterable[Stretch]) -> list[Stretch]:
    """The time that is in both."""
    others = list(others)
    return union(
        (max(a, c), min(b, d)) for a, b in some for c, d in others if max(a, c) < min(b, d)
    )


def gaps(
    begins_ms: npt.NDArray[np.int64], asked: Sequence[Stretch], interval_ms: int
) -> list[Stretch]:
    """Stretches of the asked time, after the first candle, in which no candle begins.

    Before the first candle there is no gap: the symbol may not have been listed yet.
    """
    if not begins_ms.size:
        return []
    held = [(int(begins_ms[0]), int(begins_ms[0]) + interval_ms)]
    jumps = np.flatnonzero(np.diff(begins_ms) != interval_ms)
    starts = np.concatenate(([0], jumps + 1))
    stops = np.concatenate((jumps, [begins_ms.size - 1]))
    held = [
        (int(begins_ms[a]), int(begins_ms[b]) + interval_ms)
        for a, b in zip(starts, stops, strict=True)
    ]
    first = int(begins_ms[0])
    return [
        gap
        for begin, end in union(asked)
        for gap in subtract((max(begin, first), end), held)
        if begin < end
    ]


def text(moment_ms: int) -> str:
    """ISO 8601 in UTC."""
    return f"{utc(moment_ms / 1000):%Y-%m-%dT%H:%M:%SZ}"
