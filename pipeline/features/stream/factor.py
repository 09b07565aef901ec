"""`@factor`: a factor written once, computed over a whole history or bar by bar.

    @factor(inputs=("close",), lookback=101)
    def momentum(close):                      # the last 101 closes, oldest first
        return close[-1] / close[0] - 1.0

    @factor(inputs=("close",), lookback=1, kind="recursive")
    def ewm(state, close):                    # state: a tuple of floats, empty at first
        mean = close if not state else state[0] + (close - state[0]) * 2 / 801
        return (mean,), mean

A finite factor is a function of its window, so that a row is the same bits in batch and live. A
recursive one remembers all bars, so that live it has to go on from the state of the history.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from alphaqcm.pipeline.errors import TableError

Floats = npt.NDArray[np.float64]
State = tuple[float, ...]


class FactorKind(StrEnum):
    """What a factor looks at."""

    FINITE = "finite"  # its last `lookback` bars
    RECURSIVE = "recursive"  # all bars, by way of a state


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor: finite `function(*windows) -> value`, recursive `(state, *values) -> state, value`.

    `inputs` are columns of the bars. Before `lookback` bars there is no value. A value that is no
    finite number is none.
    """

    name: str
    inputs: tuple[str, ...]
    lookback: int
    kind: FactorKind
    function: Callable[..., Any]

    def batch(self, columns: Mapping[str, Floats]) -> Floats:
        """The value at each bar of a history, NaN where there is none; shape (bars,)."""
        arrays = [np.asarray(columns[name], np.float64) for name in self.inputs]
        size = min((array.size for array in arrays), default=0)
        state = self.start()
        return np.array(
            [
                math.nan if value is None else value
                for value in (state.push([array[i] for array in arrays]) for i in range(size))
            ],
            np.float64,
        )

    def start(self) -> FactorState:
        """The state before the first bar."""
        return FactorState(self)


def factor(
    inputs: Sequence[str],
    lookback: int,
    kind: FactorKind | str = FactorKind.FINITE,
    *,
    name: str = "",
) -> Callable[[Callable[..., Any]], Factor]:
    """Make a factor of a function; its name is the function's, or `name`.

    Raises `TableError` for a lookback below 1 or no inputs.
    """
    if lookback < 1 or not inputs:
        raise TableError(
            f"factor {name}".strip(),
            expected="one input or more, and a lookback of one bar or more",
            found=f"inputs {list(inputs)}, lookback {lookback}",
        )

    def make(function: Callable[..., Any]) -> Factor:
        told = name or function.__name__
        return Factor(told, tuple(inputs), lookback, FactorKind(kind), function)

    return make


class FactorState:
    """A factor between two bars: the window of a finite one, the state of a recursive one."""

    __slots__ = ("_factor", "_room", "_window", "bars", "state")

    def __init__(self, of: Factor, state: State = (), bars: int = 0) -> None:
        self._factor = of
        self._window: list[Floats] = []
        if of.kind is FactorKind.FINITE:
            self._window = [np.zeros(2 * of.lookback) for _ in of.inputs]
        self._room = 0  # values in the window's arrays
        self.state = state
        self.bars = bars

    def push(self, values: Sequence[float]) -> float | None:
        """The value with one more bar; `values` are its inputs."""
        self.bars += 1
        of = self._factor
        if of.kind is FactorKind.RECURSIVE:
            self.state, value = of.function(self.state, *values)
            return _known(value) if self.bars >= of.lookback else None
        if self._room == 2 * of.lookback:
            for window in self._window:
                window[: of.lookback] = window[of.lookback :]
            self._room = of.lookback
        for window, one in zip(self._window, values, strict=True):
            window[self._room] = one
        self._room += 1
        if self._room < of.lookback:
            return None
        part = slice(self._room - of.lookback, self._room)
        return _known(of.function(*(window[part].copy() for window in self._window)))


def _known(value: Any) -> float | None:
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None
