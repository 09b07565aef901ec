"""One symbol's prices against each other: last, mark and index, and 1h bars against minutes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from alphaqcm.pipeline.checks.bars.examine import MonthOf, in_order
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, runs
from alphaqcm.pipeline.domain.time import HOUR_US

LIMIT = 0.05
"""Relative distance from the last price at which a mark or index price wants a look."""
RELATIVE = 1e-9
ABSOLUTE = 1e-6

HOURLY = ("open", "high", "low", "close", "volume")
_Row = tuple[int, float, float]


def hours_of_minutes(minutes: pl.DataFrame) -> pl.DataFrame:
    """One row an hour of 1m klines: `hour` (microseconds), OHLC, volume; sorted."""
    ordered = in_order(minutes, "minute")
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
) -> dict[str, list[_Row]]:
    """Hours of one month in which prices disagree, by what they were compared with.

    `hours` as `hours_of_minutes` gives them; `bars` the archive's own 1h klines (`open_time`,
    OHLC, volume); `references` mark and index 1h klines by series. Gives `{series: [(hour,
    last, other)]}`, for the 1h klines the first quantity that differs.
    """
    mine, own = hours["hour"].to_numpy(), {name: hours[name].to_numpy() for name in HOURLY}
    found: dict[str, list[_Row]] = {}
    if bars is not None:
        found["klines:1h"] = _differing(mine, own, bars)
    for series, frame in references.items():
        found[series] = _away(mine, own["close"], frame)
    return {series: rows for series, rows in found.items() if rows}


def _matched(hours: np.ndarray, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Where the hours that both have stand in either; of several rows of an hour the last."""
    theirs = frame["open_time"].dt.epoch("us").to_numpy()  # one off the hour has no hour of minutes
    unique, from_end = np.unique(theirs[::-1], return_index=True)
    _, ours, place = np.intersect1d(hours, unique, assume_unique=True, return_indices=True)
    return ours, theirs.size - 1 - from_end[place]


def _away(hours: np.ndarray, close: np.ndarray, frame: pl.DataFrame) -> list[_Row]:
    ours, theirs = _matched(hours, frame)
    mine, other = close[ours], frame["close"].to_numpy()[theirs]
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.flatnonzero(np.abs(other / mine - 1) > LIMIT)
    return _rows(hours[ours], mine, other, away)


def _differing(hours: np.ndarray, own: Mapping[str, np.ndarray], bars: pl.DataFrame) -> list[_Row]:
    ours, theirs = _matched(hours, bars)
    first: dict[int, _Row] = {}
    for name in HOURLY:
        mine, other = own[name][ours], bars[name].to_numpy()[theirs]
        away = np.abs(mine - other) > np.maximum(ABSOLUTE, RELATIVE * np.abs(mine))
        for row in _rows(hours[ours], mine, other, np.flatnonzero(away)):
            first.setdefault(row[0], row)
    return [first[hour] for hour in sorted(first)]


def _rows(hours: np.ndarray, mine: np.ndarray, other: np.ndarray, chosen: np.ndarray) -> list[_Row]:
    return [(int(hours[i]), float(mine[i]), float(other[i])) for i in chosen]


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
    span: TimeRange,
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
