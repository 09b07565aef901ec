"""First and last row of each series of a symbol, and gaps explained by no trading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from alphaqcm.data_collection.reporting.quality.month_files import MonthView, SeriesLook
from alphaqcm.pipeline.checks import openinterest
from alphaqcm.pipeline.checks.bars import examine
from alphaqcm.pipeline.checks.bars.findings import idle_spans
from alphaqcm.pipeline.checks.bars.gaps import Life
from alphaqcm.pipeline.checks.finding import TimeRange
from alphaqcm.pipeline.checks.other_series import Presence, Trading, silent_gaps
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.domain.series_type import parse_typed
from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US

BASE = "klines:1m"
STEPS = {"1m": MINUTE_US, "1h": HOUR_US}


def lives_of(
    symbol: str, series: Mapping[str, SeriesLook], beyond: Sequence[TimeRange]
) -> dict[str, Life]:
    """The life of every series that has rows; gaps of bars are held against the other series."""
    lives = {name: life for name in series if (life := _life(symbol, series[name])) is not None}
    trades = series.get(DataType.AGGTRADES)
    trading = Trading([] if trades is None else trades.months, _beyond(series, beyond))
    presences = {name: _presence(series[name], life) for name, life in lives.items()}
    for name, life in lives.items():
        if life.gaps:
            others = [one for other, one in presences.items() if one is not None and other != name]
            lives[name] = replace(life, silent=silent_gaps(life.gaps, trading, others))
    return lives


def _beyond(series: Mapping[str, SeriesLook], hours: Sequence[TimeRange]) -> list[TimeRange]:
    """When aggTrades have trades and the minutes no bar: `hours`, and months without klines."""
    if DataType.AGGTRADES not in series or BASE not in series:
        return list(hours)
    there = {month.span.start for month in series[BASE].months}
    alone = [
        TimeRange(month.view.first, month.view.last + MINUTE_US)
        for month in series[DataType.AGGTRADES].months
        if month.span.start not in there
    ]
    return [*hours, *alone]


def _presence(gathered: SeriesLook, life: Life) -> Presence | None:
    """When a series shows a market; None of trades, which tell it themselves."""
    data_type, _ = parse_typed(gathered.name)
    if data_type is DataType.AGGTRADES:
        return None
    if data_type is DataType.FUNDING:
        items = [item for month in gathered.months for item in month.view]
        held = [TimeRange(item.hour - item.interval * HOUR_US, item.hour) for item in items]
        return Presence.at(held)
    if data_type is DataType.METRICS:
        days = [day for month in gathered.months for day in month.view]
        return Presence.at([TimeRange(day.first - openinterest.STEP_US, day.last) for day in days])
    if data_type is DataType.KLINES:  # a bar without volume is no market
        return Presence(life.span, tuple(sorted([*life.gaps, *idle_spans(gathered.months)])))
    return Presence(life.span, life.gaps)


def _life(symbol: str, gathered: SeriesLook) -> Life | None:
    """From first to last row of a series, with its gaps where it is made of bars."""
    months = gathered.months
    if not months:
        return None
    data_type, interval = parse_typed(gathered.name)
    if data_type is DataType.AGGTRADES:
        span = TimeRange(months[0].view.first, months[-1].view.last + STEPS["1m"])
    elif data_type is DataType.FUNDING:
        items = [item for month in months for item in month.view]
        if not items:
            return None
        span = TimeRange(items[0].hour, items[-1].hour + items[-1].interval * HOUR_US)
    elif data_type is DataType.METRICS:
        days = [day for month in months for day in month.view]
        if not days:
            return None
        span = TimeRange(days[0].first - openinterest.STEP_US, days[-1].last)
    else:
        return _bar_life(symbol, months, STEPS[interval])
    return Life(symbol, span, (), {}, {})


def _bar_life(symbol: str, months: Sequence[MonthView], step: int) -> Life | None:
    span = examine.life(months, step)
    gaps = examine.gaps_in(months, step)
    return (
        None
        if span is None
        else Life(
            symbol,
            span,
            tuple(gaps),
            {
                gap: tuple(
                    key
                    for month in months
                    if month.span.start <= gap.end and gap.start <= month.span.end
                    for key in month.evidence
                )
                for gap in gaps
            },
            {gap: examine.relisting_price(months, gap) for gap in gaps},
        )
    )
