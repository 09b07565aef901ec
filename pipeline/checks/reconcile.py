"""aggTrades against klines: the same trades told twice must agree hour by hour.

Done once, when a month of aggTrades is built, and kept in the month file's footer; a report over
years only reads those footers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl

from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, runs
from alphaqcm.pipeline.domain.time import HOUR_US

VERSION = 1
RELATIVE = 1e-9
"""Sums of up to millions of float64 terms differ in the last digits: up to here it is rounding."""
ABSOLUTE = 1e-6
"""The archive prints klines with at most 8 decimals; sixty rounded minutes stay below this."""
TRADE_ROUNDING = 1e-8
"""The archive keeps a coin-margined trade's base amount with 8 decimals."""
KEPT = 48
"""Mismatching hours kept with their numbers; the others are kept as time spans."""


class _Rule(StrEnum):
    """How minutes become an hour."""

    SUM = "sum"
    FIRST = "first"
    LAST = "last"
    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, slots=True)
class _Field:
    """One quantity that both sides tell: the kline's name of it, and the aggTrades layer's.

    The layer's amount is divided by `unit`. With `rounded` the archive has rounded each trade's.
    """

    name: str
    agg: str
    rule: _Rule = _Rule.SUM
    unit: float = 1.0
    rounded: bool = False


_COUNT_AND_PRICES = (
    _Field("count", "raw_trade_count"),
    _Field("open", "price_first", _Rule.FIRST),
    _Field("high", "price_high", _Rule.MAX),
    _Field("low", "price_low", _Rule.MIN),
    _Field("close", "price_last", _Rule.LAST),
)


def _fields(contract: float | None) -> tuple[_Field, ...]:
    if contract is None:
        return (
            _Field("volume", "base_volume"),
            _Field("taker_buy_volume", "taker_buy_qty"),
            *_COUNT_AND_PRICES,
            _Field("quote_volume", "quote_volume"),
            _Field("taker_buy_quote_volume", "taker_buy_quote"),
        )
    # coin-margined klines count contracts in volume, and base units in quote_volume
    return (
        _Field("volume", "quote_volume", unit=contract),
        _Field("taker_buy_volume", "taker_buy_quote", unit=contract),
        *_COUNT_AND_PRICES,
        _Field("quote_volume", "base_volume", rounded=True),
        _Field("taker_buy_quote_volume", "taker_buy_qty", rounded=True),
    )


def reconcile_month(
    aggtrades_minutes: pl.DataFrame,
    klines_minutes: pl.DataFrame,
    contract: float | None = None,
) -> dict[str, Any]:
    """Compare one month of the two 1m layers, hour by hour; a small JSON-able value.

    Both frames are as layers.md names them (`minute` plus columns), one month, any order. Only
    minutes with trades are compared: a minute without trades has a flat kline and no aggTrades row.
    `contract` is `contract_usd` of the symbol: the quote units of a contract where klines count
    contracts.

    Returns `version`, `hours` compared, `exact`, `rounding` (equal within rounding), `mismatched`,
    `fields` (name -> hours and worst relative difference), `only_klines` and `only_aggtrades`
    (hours that one side alone has, as spans `[start_us, end_us]`), `spans` (all mismatching hours)
    and `worst` (up to 48 of them: `[hour_us, {field: [kline, aggTrades]}]`).
    """
    fields = _fields(contract)
    agg = _hours(
        aggtrades_minutes, {f"{field.name}_a": (field.agg, field.rule) for field in fields}
    ).with_columns(pl.col(f"{field.name}_a") / field.unit for field in fields if field.unit != 1)
    traded = klines_minutes.filter(pl.col("count") > 0)
    kline = _hours(traded, {f"{field.name}_k": (field.name, field.rule) for field in fields})
    both = kline.join(agg, on="hour", how="inner").sort("hour")
    only_klines = kline.join(agg, on="hour", how="anti").sort("hour")["hour"].to_list()
    only_agg = agg.join(kline, on="hour", how="anti").sort("hour")["hour"].to_list()

    names = [field.name for field in fields]
    difference = [
        (pl.col(f"{name}_a") - pl.col(f"{name}_k")).abs().cast(pl.Float64).alias(f"{name}_d")
        for name in names
    ]
    limits = [
        pl.max_horizontal(
            pl.lit(ABSOLUTE),
            RELATIVE * pl.max_horizontal(f"{field.name}_a", f"{field.name}_k").abs(),
            *([TRADE_ROUNDING * pl.col("count_k")] if field.rounded else []),
        ).alias(f"{field.name}_l")
        for field in fields
    ]
    both = both.with_columns(difference + limits)
    wrong = both.with_columns(
        # a missing difference is a missing value on one side: never equal
        (~(pl.col(f"{name}_d") <= pl.col(f"{name}_l"))).fill_null(value=True).alias(f"{name}_w")
        for name in names
    )
    any_wrong = pl.any_horizontal(f"{name}_w" for name in names)
    all_zero = pl.all_horizontal(pl.col(f"{name}_d") == 0 for name in names).fill_null(value=False)
    bad = wrong.filter(any_wrong)
    return {
        "version": VERSION,
        "hours": both.height,
        "exact": wrong.filter(all_zero).height,
        "rounding": wrong.filter(~all_zero & ~any_wrong).height,
        "mismatched": bad.height,
        "fields": _fields_told(bad, names),
        "only_klines": _pairs(only_klines),
        "only_aggtrades": _pairs(only_agg),
        "spans": _pairs(bad["hour"].to_list()),
        "worst": _worst(bad, names) if bad.height else [],
    }


def _hours(minutes: pl.DataFrame, values: Mapping[str, tuple[str, _Rule]]) -> pl.DataFrame:
    """One row an hour; numpy's reductions in minute order, so that equal input is equal output."""
    ordered = minutes.sort("minute")
    hours = ordered["minute"].dt.epoch("us").to_numpy() // HOUR_US * HOUR_US
    starts = np.flatnonzero(np.diff(hours, prepend=-1))
    columns: dict[str, np.ndarray] = {"hour": hours[starts].astype(np.int64)}
    for name, (source, rule) in values.items():
        column = ordered[source].cast(pl.Float64).to_numpy()
        columns[name] = _reduce(column, starts, rule) if starts.size else column
    return pl.DataFrame(columns, schema_overrides={"hour": pl.Int64})


def _reduce(column: np.ndarray, starts: np.ndarray, rule: _Rule) -> np.ndarray:
    if rule is _Rule.FIRST:
        return np.asarray(column[starts])
    if rule is _Rule.LAST:
        return np.asarray(column[np.append(starts[1:], column.size) - 1])
    reduction = {_Rule.SUM: np.add, _Rule.MAX: np.maximum, _Rule.MIN: np.minimum}[rule]
    return np.asarray(reduction.reduceat(column, starts))


def _fields_told(bad: pl.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    if bad.is_empty():
        return {}
    return {name: told for name in names if (told := _told(bad, name)) is not None}


def _told(bad: pl.DataFrame, name: str) -> dict[str, Any] | None:
    rows = bad.filter(pl.col(f"{name}_w"))
    if rows.is_empty():
        return None
    relative = rows.select(
        (pl.col(f"{name}_d") / pl.max_horizontal(pl.col(f"{name}_k").abs(), pl.lit(1e-12))).max()
    ).item()
    return {"hours": rows.height, "worst": None if relative is None else float(relative)}


def _worst(bad: pl.DataFrame, names: Sequence[str]) -> list[list[Any]]:
    score = pl.max_horizontal(
        pl.col(f"{name}_d") / pl.max_horizontal(pl.col(f"{name}_k").abs(), pl.lit(1e-12))
        for name in names
    )
    rows = bad.sort(score, "hour", descending=[True, False], nulls_last=False).head(KEPT)
    return [
        [
            row["hour"],
            {name: [row[f"{name}_k"], row[f"{name}_a"]] for name in names if row[f"{name}_w"]},
        ]
        for row in rows.sort("hour").iter_rows(named=True)
    ]


def _pairs(hours: Sequence[int]) -> list[list[int]]:
    return [[span.start, span.end] for span in runs(hours, HOUR_US)]


def reconciliation_findings(
    symbol: str, months: Sequence[tuple[Mapping[str, Any], tuple[str, ...]]]
) -> list[Finding]:
    """Findings of a symbol's kept reconciliations; each comes with its evidence."""
    findings = []
    for kept, evidence in months:
        worst = {int(hour): values for hour, values in kept["worst"]}
        for start, end in kept["spans"]:
            findings.append(_mismatch(symbol, TimeRange(start, end), worst, evidence))
        for key, has, lacks in (
            ("only_klines", "klines", "aggTrades"),
            ("only_aggtrades", "aggTrades", "klines"),
        ):
            findings += [
                Finding(
                    Severity.ERROR,
                    f"{lacks.lower()}-hours-missing",
                    "aggTrades",
                    symbol,
                    TimeRange(start, end),
                    f"{lacks} in every hour in which {has} show trades",
                    f"{(end - start) // HOUR_US} h with {has} only",
                    evidence,
                )
                for start, end in kept[key]
            ]
    return findings


def _mismatch(
    symbol: str, span: TimeRange, worst: Mapping[int, Mapping[str, Any]], evidence: tuple[str, ...]
) -> Finding:
    told = next((worst[hour] for hour in sorted(worst) if span.start <= hour < span.end), {})
    values = ", ".join(f"{name} {_number(a)} not {_number(k)}" for name, (k, a) in told.items())
    hours = (span.end - span.start) // HOUR_US
    return Finding(
        Severity.ERROR,
        "aggtrades-klines-mismatch",
        "aggTrades",
        symbol,
        span,
        "aggTrades that add up to the klines of the same hour",
        f"{hours} h differ" + (f"; first: {values}" if values else ""),
        evidence,
    )


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.10g}"
