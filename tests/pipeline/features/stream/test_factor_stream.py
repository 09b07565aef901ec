"""Factors bar by bar: the bits of the whole history, or a refusal."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from alphaqcm.pipeline.candles.window_grid import MINUTE_US, WindowGrid
from alphaqcm.pipeline.errors import TableError
from alphaqcm.pipeline.features.stream.factor import Factor, FactorKind, factor
from alphaqcm.pipeline.features.stream.window_state import (
    FactorRow,
    Snapshot,
    WindowState,
    batch_rows,
)

Arrays = dict[str, np.ndarray]
START = 1_709_164_800_000_000


@dataclass(frozen=True)
class Bar:
    open_time_us: int
    close: float
    volume: float


@factor(inputs=("close",), lookback=21)
def momentum(close):  # type: ignore[no-untyped-def]
    return close[-1] / close[0] - 1.0


@factor(inputs=("close", "volume"), lookback=7)
def weighted(close, volume):  # type: ignore[no-untyped-def]
    return float(np.sum(close * volume)) / float(np.sum(volume))


def ewm(n: int) -> Factor:
    @factor(inputs=("close",), lookback=2, kind="recursive", name=f"ewm_{n}")
    def step(state, close):  # type: ignore[no-untyped-def]
        mean = close if not state else state[0] + (close - state[0]) * (2.0 / (n + 1))
        return (mean,), mean

    return step


FACTORS = [momentum, weighted, ewm(800)]
GRID = WindowGrid.of("1m", "5m")


def bars(count: int, seed: int = 3, holes: tuple[int, ...] = ()) -> tuple[np.ndarray, Arrays]:
    noise = np.random.default_rng(seed)
    keep = ~np.isin(np.arange(count), holes)
    close = 100 * np.exp(np.cumsum(noise.standard_normal(count) * 1e-3))
    volume = noise.gamma(0.4, 50.0, count)
    volume[noise.random(count) < 0.1] = 0.0
    times = START + np.arange(count) * MINUTE_US
    return times[keep], {"close": close[keep], "volume": volume[keep]}


def push_all(state: WindowState, times: np.ndarray, columns: Arrays) -> list[FactorRow]:
    rows = (
        state.push(Bar(int(t), float(c), float(v)))
        for t, c, v in zip(times, columns["close"], columns["volume"], strict=True)
    )
    return [row for row in rows if row is not None]


def windows(times: np.ndarray, columns: Arrays) -> tuple[list[int], Arrays]:
    """A history in whole windows, as it is kept: the fold's own, without factors."""
    from alphaqcm.pipeline.candles.fold import fold_windows

    folded = fold_windows(columns, GRID.k, position=times // MINUTE_US)
    return [GRID.start_us(int(window)) for window in folded.window], folded.columns


def tail(times: np.ndarray, columns: Arrays, since: int) -> tuple[np.ndarray, Arrays]:
    return times[since:], {name: array[since:] for name, array in columns.items()}


@pytest.mark.parametrize("holes", [(), (0, 7, 201, 202, 203, 204, 205)])
@pytest.mark.parametrize("window", ["1m", "5m", "15m"])
def test_bar_by_bar_is_the_whole_history_to_the_bit(window: str, holes: tuple[int, ...]) -> None:
    grid = WindowGrid.of("1m", window)
    times, columns = bars(700, holes=holes)
    whole = batch_rows(grid, FACTORS, times, columns)
    live = push_all(WindowState(grid, FACTORS, force=True), times, columns)
    assert live == whole
    assert len(whole) > 35
    assert whole[-1].values["momentum"] is not None
    assert whole[0].values == dict.fromkeys(("momentum", "weighted", "ewm_800"))


def test_a_row_comes_with_the_last_bar_of_its_window() -> None:
    state = WindowState(GRID, [weighted])
    times, columns = bars(10)
    told = [
        state.push(Bar(int(t), float(c), float(v)))
        for t, c, v in zip(times, columns["close"], columns["volume"], strict=True)
    ]
    assert [number for number, row in enumerate(told) if row is not None] == [4, 9]
    with pytest.raises(TableError, match="in order of time"):
        state.push(Bar(int(times[-1]), 1.0, 1.0))


def test_a_finite_factor_goes_on_from_the_windows_of_a_history() -> None:
    times, columns = bars(1000)
    whole = batch_rows(GRID, [momentum, weighted], times, columns)
    state = WindowState(GRID, [momentum, weighted])
    starts, history = windows(times[:800], {name: a[:800] for name, a in columns.items()})
    state.warm(starts[-21:], {name: array[-21:] for name, array in history.items()})
    assert push_all(state, *tail(times, columns, 800)) == whole[160:]


def test_a_recursive_factor_goes_on_from_its_snapshot_to_the_bit() -> None:
    """The snapshot goes through JSON, as it does on disk."""
    times, columns = bars(6000)
    whole = batch_rows(GRID, FACTORS, times, columns)
    before = WindowState(GRID, FACTORS, force=True)
    before.warm(*windows(times[:5000], {name: a[:5000] for name, a in columns.items()}))
    kept = json.dumps([one.to_dict() for one in before.snapshots().values()])
    snapshots = {one["factor"]: Snapshot.from_dict(one) for one in json.loads(kept)}
    state = WindowState(GRID, FACTORS, snapshots)
    # windows that the snapshot has seen warm the finite ones only
    state.warm(*windows(times[4500:5000], {name: a[4500:5000] for name, a in columns.items()}))
    assert push_all(state, *tail(times, columns, 5000)) == whole[1000:]


def test_a_recursive_factor_without_its_snapshot_is_refused_unless_forced() -> None:
    with pytest.raises(
        TableError, match="ewm_800, which remembers all bars; expected the snapshot"
    ):
        WindowState(GRID, FACTORS)
    times, columns = bars(9000, seed=8)
    grid = WindowGrid.of("1m", "1m")
    whole = batch_rows(grid, [ewm(800)], times, columns)[-1].values["ewm_800"]
    short = WindowState(grid, [ewm(800)], force=True)
    last = push_all(short, *tail(times, columns, 7500))[-1].values["ewm_800"]
    assert whole is not None
    assert last is not None
    assert 1e-5 < abs(last / whole - 1) < 0.05  # a tail of 1,500 bars has not forgotten its start


def test_a_snapshot_that_ends_before_the_first_bar_is_refused_unless_forced() -> None:
    """The bars between would be missing for ever."""
    times, columns = bars(600)
    before = WindowState(GRID, [ewm(800)], force=True)
    before.warm(*windows(times[:500], {name: a[:500] for name, a in columns.items()}))
    late = tail(times, columns, 510)
    with pytest.raises(TableError, match="where its snapshot ends"):
        push_all(WindowState(GRID, [ewm(800)], before.snapshots()), *late)
    forced = WindowState(GRID, [ewm(800)], before.snapshots(), force=True)
    assert len(push_all(forced, *late)) == 18


def test_what_is_no_number_is_no_value() -> None:
    @factor(inputs=("close",), lookback=1)
    def wild(close):  # type: ignore[no-untyped-def]
        return {1.0: None, 2.0: np.inf, 3.0: np.nan}.get(float(close[0]), close[0])

    values = wild.batch({"close": np.array([1.0, 2.0, 3.0, 4.0])})
    assert np.isnan(values).tolist() == [True, True, True, False]


def test_a_factor_may_write_into_its_window() -> None:
    @factor(inputs=("close",), lookback=3)
    def sorts(close):  # type: ignore[no-untyped-def]
        close.sort()
        return close[1]

    columns = {"close": np.array([3.0, 1.0, 2.0, 9.0, 4.0])}
    assert sorts.batch(columns)[2:].tolist() == [2.0, 2.0, 4.0]
    assert columns["close"].tolist() == [3.0, 1.0, 2.0, 9.0, 4.0]


def test_a_factor_is_told_what_it_is_made_of() -> None:
    assert momentum == Factor("momentum", ("close",), 21, FactorKind.FINITE, momentum.function)
    with pytest.raises(TableError, match="lookback of one bar"):
        factor(inputs=("close",), lookback=0)
    with pytest.raises(ValueError, match="'endless'"):
        factor(inputs=("close",), lookback=1, kind="endless")(lambda close: close)
    with pytest.raises(TableError, match="nonsense"):
        WindowState(GRID, [factor(inputs=("nonsense",), lookback=1)(lambda x: x[0])])
