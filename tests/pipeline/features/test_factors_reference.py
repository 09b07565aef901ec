"""Every factor against a slow, obvious version of its definition."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.features.columns import REGISTRY, Group, Source
from alphaqcm.pipeline.features.factors.orderflow import ORDERFLOW
from alphaqcm.pipeline.tables.symbol_table import build_symbol_table
from tests.conftest import SOAK
from tests.helpers import factor_data as data
from tests.helpers.factor_reference import (
    Value,
    hour_reference,
    rows_reference,
    us_open_reference,
)

SPAN = DateRange(date(2024, 3, 6), date(2024, 3, 16))  # holds the start of New York's summer time
TOLERANCE = 1e-12


def differences(
    found: list[dict[str, object]], wanted: list[dict[str, object]]
) -> list[tuple[object, str, object, object]]:
    """(hour, column, found, wanted) wherever the two tell different things."""
    wrong = []
    for row, reference in zip(found, wanted, strict=True):
        for name, expected in reference.items():
            value, scale = expected if isinstance(expected, tuple) else (expected, 0.0)
            got = row[name]
            same = (
                got is None
                if value is None
                else got is not None and abs(got - value) <= TOLERANCE * max(abs(value), scale)
            )
            if not same:
                wrong.append((row["datetime"], name, got, value))
    return wrong


def reference_table(bars: pl.DataFrame, table: list[dict[str, object]]) -> list[dict[str, object]]:
    """All that minutes tell, hour by hour; the table's own columns only feed the row columns."""
    minutes: dict[datetime, dict[str, float]] = {}
    hours: dict[datetime, list[dict[str, float]]] = defaultdict(list)
    for row in bars.sort("minute").iter_rows(named=True):
        told = {short[0]: row[short] for short in ("open", "high", "low", "close", "volume")}
        told["minute"] = row["minute"].minute
        minutes[row["minute"]] = told
        hours[row["minute"].replace(minute=0)].append(told)
    own = [name for name in REGISTRY if REGISTRY[name].inputs == (Source.MINUTES,)]
    reference = []
    for start, rows in sorted(hours.items()):
        values: dict[str, Value] = dict.fromkeys(own, (None, 0.0)) | hour_reference(rows)
        values["seg_us_open_60m_logret"] = (us_open_reference(minutes, start), 1e-3)
        values["is_funding_hour"] = (int(start.hour in (0, 8, 16)), 0.0)
        if values["vwap"][0] is None and reference:
            values["vwap"] = reference[-1]["vwap"]
        reference.append(values | {"datetime": start})
    seeds = [
        {name: told[0] if isinstance(told, tuple) else told for name, told in row.items()}
        | {name: known[name] for name in known if name.startswith(("oi_open", "funding_rate"))}
        for row, known in zip(reference, table, strict=True)
    ]
    rows = rows_reference(seeds)
    for row, more in zip(reference, rows, strict=True):
        row.update(more)
        del row["datetime"]
        row.pop("symbol", None)
    return reference


def test_simulated_minutes_agree_with_the_definitions() -> None:
    given = data.inputs(SPAN)
    found = build_symbol_table(data.SYMBOL, given, SPAN).frame.to_dicts()
    wanted = reference_table(given.klines, found)
    assert len(found) == 11 * 24 - len(data.OUTAGE)
    assert differences(found, wanted) == []


def test_the_simulation_reaches_every_kind_of_hour() -> None:
    """Else the comparison would prove less than it seems to."""
    frame = build_symbol_table(data.SYMBOL, data.inputs(SPAN), SPAN).frame
    assert {1, 2, 3, 9, 10, 11, 12, 13, 60} <= set(frame["n_minutes"].to_list())
    assert frame.filter(pl.col("n_minutes_kept") < pl.col("n_minutes")).height >= 2
    assert frame.filter(pl.col("n_minutes_kept") == 0).height == 1
    assert frame.filter(pl.col("volume") == 0).height >= 3
    assert frame["seg_head_logret"].null_count() == 1
    assert frame["is_spike"].sum() > 0
    assert frame["under_maintenance"].sum() == 1
    assert frame["seg_us_open_60m_logret"].drop_nulls().len() >= 9
    for name in frame.columns:
        assert frame[name].drop_nulls().len() > 0, f"{name} is null in every row"


@pytest.mark.parametrize("seed", range(48 if SOAK else 6))
def test_coarse_prices_and_volumes_agree_with_the_definitions(seed: int) -> None:
    """Ties everywhere: few ticks, few volumes, hours of any number of minutes."""
    noise = np.random.default_rng(seed)
    span = DateRange(date(2024, 3, 1), date(2024, 3, 4))
    n = 4 * 1440
    tick, ticks = [(0.01, 100), (1e-5, 12), (0.5, 128_000)][seed % 3]
    moves = noise.random(n) < [0.1, 0.5, 1.0][seed % 3]
    close = np.maximum(ticks + np.cumsum(noise.integers(-2, 3, n) * moves), 1) * tick
    opened = np.concatenate((close[:1], close[:-1]))
    bars = pl.DataFrame(
        {
            "minute": [data.midnight(span.start) + timedelta(minutes=i) for i in range(n)],
            "open": opened,
            "high": np.maximum(opened, close) + tick * noise.integers(0, 3, n),
            "low": np.maximum(np.minimum(opened, close) - tick * noise.integers(0, 3, n), 0.0),
            "close": close,
            "volume": noise.choice([0.0, 0.1, 0.2, 0.3, 1.0, 1000.0][: 2 + 4 * (seed % 2)], n),
        }
    ).filter(pl.Series(noise.random(n) < noise.random(n // 60).repeat(60)))
    found = build_symbol_table(data.SYMBOL, data.only_klines(bars), span).frame.to_dicts()
    assert differences(found, reference_table(bars, found)) == []


@pytest.mark.slow
@pytest.mark.parametrize("exchange", ["FILUSDT", "NEARUSDT", "AVAXUSDT"])
def test_real_minutes_agree_with_the_definitions(real: Path, exchange: str) -> None:
    span = DateRange(date(2024, 2, 1), date(2024, 2, 29))
    bars = data.real_klines(real, exchange)
    found = build_symbol_table(data.SYMBOL, data.only_klines(bars), span).frame.to_dicts()
    assert len(found) == 696
    assert differences(found, reference_table(bars, found)) == []


def test_order_flow_agrees_with_the_definitions() -> None:
    given = data.inputs(SPAN)
    found = build_symbol_table(data.SYMBOL, given, SPAN).frame
    hours: dict[datetime, list[dict[str, object]]] = defaultdict(list)
    for row in given.aggtrades.iter_rows(named=True):
        hours[row["minute"].replace(minute=0)].append(row)
    names = [f"at_{name}" for name in ORDERFLOW]
    assert names == [n for n in REGISTRY if REGISTRY[n].group is Group.ORDER_FLOW]
    wanted = [
        flow_reference(hours[start]) if hours[start] else dict.fromkeys(names)
        for start in found["datetime"]
    ]
    assert any(row["at_trade_count"] is None for row in wanted)
    assert differences(found.to_dicts(), wanted) == []


def flow_reference(rows: list[dict[str, float]]) -> dict[str, object]:
    out: dict[str, object] = {}
    for name in ORDERFLOW[:15]:
        out[f"at_{name}"] = sum(row[name] for row in rows)

    def get(name: str) -> float:
        return out[f"at_{name}"]

    def divide(above: float, below: float) -> float | None:
        return above / below if below else None

    out["at_price_open"], out["at_price_close"] = rows[0]["price_first"], rows[-1]["price_last"]
    out["at_price_high"] = max(row["price_high"] for row in rows)
    out["at_price_low"] = min(row["price_low"] for row in rows)
    both = get("taker_buy_quote") + get("taker_sell_quote")
    cvd = get("taker_buy_quote") - get("taker_sell_quote")
    out["at_cvd_qty"] = (
        get("taker_buy_qty") - get("taker_sell_qty"),
        get("taker_buy_qty") + get("taker_sell_qty"),
    )
    out["at_cvd_quote"] = (cvd, both)
    out["at_vwap"] = divide(get("quote_volume"), get("base_volume"))
    for size in ("whale", "retail"):
        buy, sell = get(f"{size}_buy_quote"), get(f"{size}_sell_quote")
        out[f"at_{size}_cvd_quote"] = (buy - sell, buy + sell)
    out["at_avg_trade_quote"] = get("quote_volume") / get("trade_count")
    out["at_avg_trade_base"] = get("base_volume") / get("trade_count")
    for side in ("buy", "sell"):
        quote = get(f"taker_{side}_quote")
        out[f"at_taker_{side}_avg_trade_quote"] = divide(quote, get(f"taker_{side}_trade_count"))
        out[f"at_taker_{side}_hhi_quote"] = divide(get(f"taker_{side}_quote_sq"), quote**2)
    imbalance = divide(abs(cvd), both)
    out["at_imbalance_ratio_quote"] = None if imbalance is None else (imbalance, 1.0)
    weights = [
        (row["minute"].minute + 1) * (row["taker_buy_quote"] - row["taker_sell_quote"])
        for row in rows
    ]
    out["at_tw_cvd_quote_norm"] = (sum(weights) / 1830, sum(map(abs, weights)) / 1830)
    change = get("price_close") - get("price_open")
    out["at_price_change"] = change
    per_change = divide(cvd, abs(change))
    out["at_cvd_per_abs_price_change"] = (
        None if per_change is None else (per_change, both / abs(change))
    )
    return out


@pytest.mark.slow
def test_funding_triad_and_open_interest_agree_with_the_definitions() -> None:
    given = data.inputs(SPAN)
    found = build_symbol_table(data.SYMBOL, given, SPAN).frame.to_dicts()
    settled = sorted(given.funding.iter_rows(named=True), key=lambda row: row["calc_time"])
    known = sorted(given.metrics.iter_rows(named=True), key=lambda row: row["known_time"])
    stop = data.midnight(SPAN.end) + timedelta(days=1)
    closes = {
        name: {row["open_time"]: row["close"] for row in getattr(given, name).iter_rows(named=True)}
        for name in ("mark", "index", "premium")
    }
    wanted = []
    for row in found:
        start = row["datetime"]
        told: dict[str, object] = dict.fromkeys(
            ("funding_rate", "funding_annualized", "arb_pressure")
        )
        for settlement in settled:
            since = settlement["calc_time"].replace(minute=0, second=0, microsecond=0)
            if since <= start < since + timedelta(hours=24):
                rate = settlement["last_funding_rate"]
                yearly = rate * 365 * 24 / (settlement["funding_interval_hours"] or 8)
                told["funding_rate"] = rate
                told["funding_annualized"] = yearly
                told["arb_pressure"] = int(abs(yearly) > 0.3)
        for name in closes:
            told[f"triad_{name}_close"] = closes[name].get(start)
        index = closes["index"].get(start)
        told["triad_basis"] = index and ((row["close"] - index) / index, 1.0)
        for name, source in (
            ("oi_open_interest", "sum_open_interest"),
            ("oi_open_interest_usd", "sum_open_interest_value"),
            ("ls_toptrader_long_short_ratio", "sum_toptrader_long_short_ratio"),
            ("ls_taker_long_short_vol_ratio", "sum_taker_long_short_vol_ratio"),
        ):
            values = [
                line[source]
                for line in known
                if start <= line["known_time"] < min(start + timedelta(hours=1), stop)
                and line[source] is not None
            ]
            told[name] = values[-1] if values else None
        wanted.append(told)
    assert {row["arb_pressure"] for row in wanted} == {0, 1, None}
    assert differences(found, wanted) == []
