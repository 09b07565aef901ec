"""Windows over a symbol's rows; each window is added up anew, from its first row to its last.

So a row's value needs the rows of its window and nothing else, and comes out the same bit for bit
when only a tail of the symbol is computed.
"""

from __future__ import annotations

import math

import numpy as np

from alphaqcm.pipeline.domain.time import HOUR_US
from alphaqcm.pipeline.features.factors.segments import Bools, Floats, Ints
from alphaqcm.pipeline.kernel import kernel

RESUME_SECONDS = 3605.0
COOLDOWN_US = 2 * HOUR_US
SPIKE_ROWS = 168
SPIKE_MIN_ROWS = 24
SPIKE_SCORE = 5.0
SPIKE_EPS = 1e-8


def lag(values: Floats, rows: int) -> Floats:
    """The value `rows` rows earlier, NaN on the first rows."""
    out = np.full_like(values, np.nan)
    if values.size > rows:
        out[rows:] = values[:-rows]
    return out


@kernel
def rolling_mean(values: Floats, rows: int) -> Floats:
    """Mean of the last `rows` rows; NaN until there are so many, and where one of them is NaN."""
    out = np.full(values.size, np.nan)
    for i in range(rows - 1, values.size):
        total = 0.0
        for j in range(i - rows + 1, i + 1):
            total += values[j]
        out[i] = total / rows
    return out


@kernel
def volume_spike_at(volume: Floats, row: int) -> bool:
    """Whether a row's volume lies more than 5 standard deviations off its last 168 rows' mean."""
    if row < SPIKE_MIN_ROWS - 1:
        return False
    first = max(0, row - SPIKE_ROWS + 1)
    n = row + 1 - first
    mean = square = 0.0
    for j in range(first, row + 1):
        mean += volume[j]
    mean /= n
    for j in range(first, row + 1):
        square += (volume[j] - mean) * (volume[j] - mean)
    std = math.sqrt(square / (n - 1))
    return bool(abs((volume[row] - mean) / (std + SPIKE_EPS)) > SPIKE_SCORE)


@kernel
def volume_spikes(volume: Floats) -> Bools:
    """`volume_spike_at` of each row."""
    out = np.zeros(volume.size, np.bool_)
    for i in range(volume.size):
        out[i] = volume_spike_at(volume, i)
    return out


@kernel
def gap_flags(time: Ints) -> tuple[Floats, Bools, Bools]:
    """Seconds since the row before, whether missing rows end here, whether that was within 2 h."""
    gap = np.full(time.size, np.nan)
    resumed = np.zeros(time.size, np.bool_)
    cooling = np.zeros(time.size, np.bool_)
    latest = -1
    for i in range(time.size):
        if i > 0:
            gap[i] = (time[i] - time[i - 1]) / 1e6
            resumed[i] = gap[i] > RESUME_SECONDS
        if resumed[i]:
            latest = i
        cooling[i] = latest >= 0 and time[i] - time[latest] <= COOLDOWN_US
    return gap, resumed, cooling


def hours_since_trade(time: Ints, volume: Floats, last_trade: int) -> Floats:
    """Hours from the last row with volume to each row; NaN before the first such row.

    `time` is in microseconds; `last_trade` is the last such row before these, negative for none.
    """
    return _since_trade(time, volume, last_trade) / HOUR_US


@kernel
def _since_trade(time: Ints, volume: Floats, last_trade: int) -> Floats:
    out = np.full(time.size, np.nan)
    latest = last_trade
    for i in range(time.size):
        if volume[i] > 0.0:
            latest = time[i]
        if latest >= 0:
            out[i] = time[i] - latest
    return out


def row_span(time: Ints, rows: int) -> Floats:
    """Hours from the row `rows` rows earlier to each row; NaN on the first rows."""
    out = np.full(time.size, np.nan)
    if time.size > rows:
        out[rows:] = (time[rows:] - time[:-rows]) / HOUR_US
    return out


@kernel
def true_ranges(high: Floats, low: Floats, close: Floats) -> Floats:
    """Largest of high-low and the distances of both to the close of the row before."""
    out = np.empty(high.size)
    for i in range(high.size):
        out[i] = high[i] - low[i]
        if i > 0:
            out[i] = max(out[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1]))
    return out


def quantile99(values: Floats) -> float:
    """Linear-interpolation 0.99 quantile of values without NaN; NaN when there are none."""
    if values.size == 0:
        return float("nan")
    place, part = divmod(99 * (values.size - 1), 100)
    near = np.partition(values, [place, min(place + 1, values.size - 1)])
    low, high = float(near[place]), float(near[min(place + 1, values.size - 1)])
    return low + (high - low) * (part / 100.0)


@kernel
def _push(heap: Floats, size: int, value: float) -> None:
    """Add to a heap with its smallest value on top."""
    at = size
    while at > 0 and heap[(at - 1) // 2] > value:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = value


@kernel
def _replace_top(heap: Floats, size: int, value: float) -> None:
    """Put `value` in the place of a heap's smallest value."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = value


def running_quantile99(values: Floats) -> Floats:
    """`quantile99` of each row and all rows before it."""
    return RunningQuantile().extend(values)


class RunningQuantile:
    """`quantile99` of all values so far.

    The values are split in two heaps: `upper` holds those above the place 0.99 * (n - 1), `lower`
    the others, negated, so that its top is the value at that place.
    """

    __slots__ = ("_lower", "_sizes", "_upper")

    def __init__(self) -> None:
        self._lower, self._upper = np.empty(0), np.empty(0)
        self._sizes = np.zeros(2, np.int64)

    def extend(self, values: Floats) -> Floats:
        """Add the values; the quantile after each of them."""
        size = int(self._sizes.sum()) + values.size
        self._lower = _with_room(self._lower, size)
        self._upper = _with_room(self._upper, size // 100 + 2)
        return np.asarray(_quantiles(values, self._lower, self._upper, self._sizes))


def _with_room(heap: Floats, size: int) -> Floats:
    """The heap with room for `size` values, and where it has to grow for some more."""
    if size <= heap.size:
        return heap
    grown = np.empty(size + size // 8)
    grown[: heap.size] = heap
    return grown


@kernel
def _quantiles(values: Floats, lower: Floats, upper: Floats, sizes: Ints) -> Floats:
    low_size, high_size = sizes
    out = np.empty(values.size)
    for i in range(values.size):
        value = values[i]
        before = low_size + high_size
        place, part = 99 * before // 100, 99 * before % 100
        if low_size <= place:  # the lower side grows: it gets the smaller of value and upper's top
            if high_size > 0 and upper[0] < value:
                value, smallest = upper[0], value
                _replace_top(upper, high_size, smallest)
            _push(lower, low_size, -value)
            low_size += 1
        else:
            if -lower[0] > value:
                largest = -lower[0]
                _replace_top(lower, low_size, -value)
                value = largest
            _push(upper, high_size, value)
            high_size += 1
        low = -lower[0]
        high = upper[0] if high_size > 0 else low
        out[i] = low + (high - low) * (part / 100.0)
    sizes[0], sizes[1] = low_size, high_size
    return out
