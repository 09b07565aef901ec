"""Candles folded at every offset: held against a streaming accumulator, decimals and pandas."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from alphaqcm.pipeline.candles.compare import ulp_distance
from alphaqcm.pipeline.candles.resample import Windows, resample
from alphaqcm.pipeline.candles.schema import PRICES, QUANTITIES, offset_name, parse_offsets
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.errors import BadName

GRID = WindowGrid.of("5m", "1h")
EVERY = tuple(GRID.part_us * number for number in range(12))
STEP = GRID.part_us
BEGIN = 1_772_000_100_000_000 // STEP * STEP


def random_candles(
    rows: int = 700, seed: int = 5, keep: float = 1.0
) -> tuple[np.ndarray, dict[str, np.ndarray], list[dict[str, Decimal]]]:
    """Begins, columns, and the same numbers as the decimals that they were read from."""
    rng = np.random.default_rng(seed)
    begins = BEGIN + np.arange(rows) * STEP
    begins = begins[rng.random(rows) < keep]
    texts: list[dict[str, str]] = []
    for _ in begins:
        low, high = sorted(rng.integers(1_000_000, 2_000_000, 2))
        inside = rng.integers(low, high + 1, 2)
        texts.append(
            {
                "open": f"{inside[0] / 100:.2f}",
                "high": f"{high / 100:.2f}",
                "low": f"{low / 100:.2f}",
                "close": f"{inside[1] / 100:.2f}",
                "volume": f"{rng.random() * 1e4:.3f}",
                "quote_volume": f"{rng.random() * 1e8:.5f}",
                "trade_num": f"{rng.integers(0, 9000)}",
                "taker_buy_base_asset_volume": f"{rng.random() * 1e3:.3f}",
                "taker_buy_quote_asset_volume": f"{rng.random() * 1e7:.5f}",
            }
        )
    columns = {
        name: np.array(
            [float(one[name]) for one in texts], np.int64 if name == "trade_num" else np.float64
        )
        for name in (*PRICES, *QUANTITIES)
    }
    return begins, columns, [{k: Decimal(v) for k, v in one.items()} for one in texts]


class Accumulator:
    """Windows of one offset built candle by candle, as a program on a live stream would."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.begin = -1
        self.count = 0
        self.held: dict[str, Any] = {}
        self.done: list[tuple[int, dict[str, Any]]] = []

    def push(self, begin: int, row: dict[str, Any]) -> None:
        window = (begin - self.offset) // GRID.window_us * GRID.window_us + self.offset
        if window != self.begin:
            self.begin, self.count, self.held = window, 0, dict(row)
        else:
            self.held["high"] = max(self.held["high"], row["high"])
            self.held["low"] = min(self.held["low"], row["low"])
            self.held["close"] = row["close"]
            for name in QUANTITIES:
                self.held[name] += row[name]
        self.count += 1
        if self.count == 12:
            self.done.append((window, dict(self.held)))


def streamed(begins: np.ndarray, rows: list[dict[str, Any]], offset: int) -> Accumulator:
    accumulator = Accumulator(offset)
    for begin, row in zip(begins.tolist(), rows, strict=True):
        accumulator.push(begin, row)
    return accumulator


def windows_at(windows: Windows, offset: int) -> dict[str, np.ndarray]:
    first, last = windows.bounds[windows.offsets.index(offset)]
    return {name: values[first:last] for name, values in windows.columns.items()}


@pytest.mark.parametrize("keep", [1.0, 0.97])
def test_every_offset_equals_a_streaming_accumulator_bit_for_bit(keep: float) -> None:
    begins, columns, _ = random_candles(keep=keep)
    rows = [
        {name: values[i].item() for name, values in columns.items()} for i in range(begins.size)
    ]
    found = resample(begins, columns, GRID, EVERY)
    for offset in EVERY:
        expected = streamed(begins, rows, offset).done
        ours = windows_at(found, offset)
        assert ours["candle_begin_time"].tolist() == [begin for begin, _ in expected]
        for name in columns:
            told = np.array([row[name] for _, row in expected], columns[name].dtype)
            assert ours[name].tobytes() == told.tobytes(), name


def test_sums_lie_within_4_ulp_of_decimal_truth_and_all_else_is_exact() -> None:
    begins, columns, decimals = random_candles()
    found = resample(begins, columns, GRID, EVERY)
    for offset in EVERY:
        ours = windows_at(found, offset)
        expected = [row for _, row in streamed(begins, decimals, offset).done]
        for name in columns:
            told = np.array([float(row[name]) for row in expected])
            most = 4 if name in QUANTITIES and name != "trade_num" else 0
            assert ulp_distance(ours[name].astype(float), told).max() <= most, name


def test_a_window_without_one_of_its_candles_is_absent() -> None:
    begins, columns, _ = random_candles(rows=120)
    missing = 40
    keep = np.arange(120) != missing
    whole = resample(begins, columns, GRID, EVERY)
    found = resample(begins[keep], {n: v[keep] for n, v in columns.items()}, GRID, EVERY)
    gone = begins[missing]
    for offset in EVERY:
        before = windows_at(whole, offset)["candle_begin_time"]
        after = windows_at(found, offset)["candle_begin_time"]
        holding = (before <= gone) & (gone < before + GRID.window_us)
        assert holding.sum() == 1
        assert after.tolist() == before[~holding].tolist()


def documents_hours(frame: pd.DataFrame, offset: int) -> pd.DataFrame:
    """The published pandas program's windows, restated."""
    how = {
        "candle_begin_time": "first", "candle_end_time": "last", "open": "first", "high": "max",
        "low": "min", "close": "last", **dict.fromkeys(QUANTITIES, "sum"),
    }  # fmt: skip
    made = frame.resample("1h", offset=f"{offset // 60_000_000}min", on="candle_begin_time")
    table = made.agg(how).reset_index(drop=True)
    spans = table["candle_end_time"] - table["candle_begin_time"]
    return table[spans >= pd.Timedelta("1h")]


@pytest.mark.parametrize("keep", [1.0, 0.95, 0.6])
def test_the_seed_rule_keeps_the_rows_of_the_documents_pandas_program(keep: float) -> None:
    begins, columns, _ = random_candles(rows=900, keep=keep, seed=11)
    times = pd.to_datetime(begins, unit="us", utc=True)
    frame = pd.DataFrame(
        {"candle_begin_time": times, "candle_end_time": times + pd.Timedelta("5min"), **columns}
    )
    found = resample(begins, columns, GRID, EVERY, "seed")
    for offset in EVERY:
        theirs = documents_hours(frame, offset)
        ours = windows_at(found, offset)
        assert (
            ours["candle_begin_time"].tolist()
            == (theirs["candle_begin_time"].astype("int64").to_numpy() // _unit(theirs)).tolist()
        )
        for name in (*PRICES, "trade_num"):
            assert ours[name].tolist() == theirs[name].tolist(), name
        for name in QUANTITIES:  # pandas adds with compensation: the last bits may differ
            distance = ulp_distance(ours[name].astype(float), theirs[name].to_numpy(float))
            assert distance.max(initial=0) <= 6, name


def _unit(frame: pd.DataFrame) -> int:
    return 1000 if "ns" in str(frame["candle_begin_time"].dtype) else 1


def test_the_seed_rule_differs_from_strict_where_a_window_has_a_hole_inside() -> None:
    begins, columns, _ = random_candles(rows=240)
    keep = np.arange(240) % 50 != 25
    begins, columns = begins[keep], {name: values[keep] for name, values in columns.items()}
    strict = resample(begins, columns, GRID, EVERY)
    seed = resample(begins, columns, GRID, EVERY, "seed")
    assert seed.bounds[-1][1] > strict.bounds[-1][1]


def test_some_offsets_are_the_same_windows_as_all_of_them() -> None:
    begins, columns, _ = random_candles()
    every = resample(begins, columns, GRID, EVERY)
    some = resample(begins, columns, GRID, EVERY[3:5])
    for offset in EVERY[3:5]:
        whole, part = windows_at(every, offset), windows_at(some, offset)
        assert all(whole[name].tobytes() == part[name].tobytes() for name in whole)


def test_offsets_are_read_by_name_and_others_refused() -> None:
    assert parse_offsets("0m,55m", GRID) == (0, 11 * STEP)
    assert [offset_name(one) for one in parse_offsets("all", GRID)][:3] == ["0m", "5m", "10m"]
    for wrong in ("7m", "60m", "5", "-5m", ""):
        with pytest.raises(BadName, match="offset"):
            parse_offsets(wrong, GRID)


def test_no_candles_make_no_windows() -> None:
    columns = {name: np.empty(0) for name in (*PRICES, *QUANTITIES)}
    found = resample(np.empty(0, np.int64), columns, GRID, EVERY)
    assert found.bounds[-1][1] == 0
    assert pl.DataFrame(found.columns).height == 0
