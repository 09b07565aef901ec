"""One symbol's prices against each other: last, mark and index, and 1h bars against minutes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from pipeline.checks.bars import MonthOf
from pipeline.checks.finding import HOUR_US, Finding, Severity, Span, runs

LIMIT = 0.05
"""Relative distance from the last price at which a mark or index price wants a look."""
RELATIVE = 1e-9
ABSOLUTE = 1e-6

HOURLY = ("open", "high", "low", "close", "volume")


def hours_of_minutes(minutes: pl.DataFrame) -> pl.DataFrame:
    """One row an hour of 1m klines: `hour` (microseconds), OHLC, volume; sorted."""
    ordered = minutes.sort("minute")
    times = ordered["minute"].dt.epoch("us").to_numpy()
    hours = times // HOUR_US * HOUR_US
    starts = np.flatnonzero(np.diff(hours, prepend=-1))
    if not starts.size:
        return pl.DataFrame(schema={"hour": pl.Int64, **dict.fromkeys(HOURLY, pl.Float64)})
    ends = np.append(starts[1:], hours.size) - 1
    column = {name: ordered[name].to_numpy() for name in HOURLY}
    return pl.DataFrame(
        {
            "hour": hours[starts],
            "open": column["open"][starts],
            "high": np.maximum.reduceat(column["high"], starts),
            "low": np.minimum.reduceat(column["low"], starts),
            "close": column["close"][ends],
            "volume": np.add.reduceat(column["volume"], starts),
        }
    )


def examine_cross(
    hours: pl.DataFrame, bars: pl.DataFrame | None, references: Mapping[str, pl.DataFrame]
) -> dict[str, list[tuple[int, float, float]]]:
    """Hours of one month in which prices disagree, by what they were compared with.

    `hours` as `hours_of_minutes` gives them; `bars` the archive's own 1h klines (`open_time`,
    OHLC, volume); `references` mark and index 1h klines by series. Gives `{series: [(hour,
    last, other)]}`, for the 1h klines the first quantity that differs.
    """
    found: dict[str, list[tuple[int, float, float]]] = {}
    if bars is not None:
        found["klines:1h"] = _differing(hours, _hourly(bars, HOURLY))
    for series, frame in references.items():
        joined = hours.select("hour", "close").join(
            _hourly(frame, ("close",)), on="hour", suffix="_other"
        )
        away = (pl.col("close_other") / pl.col("close") - 1).abs() > LIMIT
        found[series] = list(joined.filter(away).sort("hour").iter_rows())
    return {series: rows for series, rows in found.items() if rows}


def _hourly(frame: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    hour = pl.col("open_time").dt.epoch("us").alias("hour")
    return frame.select(hour, *columns).unique("hour", keep="last", maintain_order=True)


def _differing(hours: pl.DataFrame, bars: pl.DataFrame) -> list[tuple[int, float, float]]:
    joined = hours.join(bars, on="hour", suffix="_other").sort("hour")
    rows = []
    for name in HOURLY:
        away = (pl.col(name) - pl.col(f"{name}_other")).abs() > pl.max_horizontal(
            pl.lit(ABSOLUTE), RELATIVE * pl.col(name).abs()
        )
        rows += list(joined.filter(away).select("hour", name, f"{name}_other").iter_rows())
    first = {hour: (mine, other) for hour, mine, other in reversed(rows)}
    return [(hour, *first[hour]) for hour in sorted(first)]


def cross_findings(symbol: str, month: MonthOf[dict[str, Any]]) -> Iterator[Finding]:
    """One finding for each span of hours that disagree."""
    for series, rows in month.view.items():
        values = {hour: (mine, other) for hour, mine, other in rows}
        for span in runs(sorted(values), HOUR_US):
            hours = (span.end - span.start) // HOUR_US
            mine, other = max(
                (values[hour] for hour in values if span.start <= hour < span.end),
                key=lambda pair: abs(_apart(*pair)),
            )
            yield _disagreement(symbol, series, span, hours, mine, other, month.evidence)


def _apart(mine: float, other: float) -> float:
    """How far `other` is from `mine`, as a fraction; a price of 0 has no fraction."""
    return other / mine - 1 if mine else math.inf


def _disagreement(
    symbol: str,
    series: str,
    span: Span,
    hours: int,
    mine: float,
    other: float,
    evidence: tuple[str, ...],
) -> Finding:
    where = tuple(key for key in evidence if f"/{series.partition(':')[0]}/" in key)
    if series == "klines:1h":
        return Finding(
            Severity.WARNING,
            "hours-differ-from-minutes",
            series,
            symbol,
            span,
            "1h klines equal to their minutes",
            f"{hours} h differ; the worst {other:.8g} not {mine:.8g}",
            where,
        )
    return Finding(
        Severity.WARNING,
        "price-divergence",
        series,
        symbol,
        span,
        f"a close within {LIMIT:.0%} of the last price",
        f"{hours} h further away; the worst {other:.8g} to {mine:.8g} ({_apart(mine, other):+.1%})",
        where,
    )
