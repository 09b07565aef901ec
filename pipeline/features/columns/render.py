"""The registry as text: markdown for docs/columns.md, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from alphaqcm.pipeline.features.columns import REGISTRY
from alphaqcm.pipeline.features.columns.spec import ColumnSpec, Group

HEAD = """\
# Columns of the wide table

*This page is made from the registry in the code: `alphaqcm columns --format markdown`. Do not edit
it by hand.*

One row of the table is one hour of one perpetual contract: `datetime` is the hour's start, and
everything in the row was known at `feature_time`, 1 ms after the hour's end. Rows exist for the
hours in which the contract had at least one usable 1-minute kline; hours without one are absent,
never filled. A missing value is null, never NaN and never infinite.

**Windows count rows, not hours.** "Last 24 rows" is the last day only where no hour is missing;
`gap_seconds` tells where one is, `row_span_168h` whether the longest windows reach across one. No
window reaches back before the first requested day: the first rows of a run have fewer rows to look
at, and are null where a window is not full.

**Point in time.** A column is point-in-time when its value uses nothing that came to be known after
`feature_time`, for a given list of symbols. {ahead} are not. They
are here because older tables have them; use the column named beside them instead.

**Usable minutes.** Of 1m klines with the same open time the last one read counts; one with a
missing or infinite open, high, low, close or volume does not count at all.

## Letters used below

| letter | meaning |
|---|---|
| EPS | 1e-12 |
| o, h, l, c, v | the hour's 1m klines in order of time; row 0 need not be minute 0 |
| minute | minute of the hour, 0 to 59 |
| n | number of those rows |
| r | r_0 = 0, r_i = ln(max(c_i, EPS)) - ln(max(c_(i-1), EPS)), anew in each hour |
| | (in the groups measured over K: between neighbouring rows of K) |
| r[1:] | r without its artificial first 0 |
| K | the kept rows, see `n_minutes_kept` |
| ddof=0, ddof=1 | standard deviation with n, with n-1 in the denominator |
| ln, sqrt, sum, abs | natural logarithm, square root, sum over the rows, absolute value |

"From" names the archive types that a column needs; "looks at" tells which rows. A quantile with
linear interpolation lies at place q*(n-1) of the sorted values, counted from 0.
"""

NOTES: dict[Group, str] = {
    Group.KEY: "What a row is about.",
    Group.BASE_BAR: "The hour's own bar, rolled up from its 1m klines.",
    Group.FUNDING: "Funding settlements, held until the next one for at most 24 hours. They "
    "are published by the month: until a month's file is there, its funding is null after the "
    "first day.",
    Group.TRIAD: "Mark price, index price and premium index of the same hour.",
    Group.OPEN_INTEREST: "Open interest from the 5-minute metrics files: the last value known "
    "in the hour.",
    Group.LONG_SHORT: "Long/short ratios from the same files, by the same rule.",
    Group.TIME: "When the row's hour ended, and when the row may be used.",
    Group.UNIVERSE: "How many of the run's symbols are there.",
    Group.GAPS: "Hours missing before a row.",
    Group.QUALITY: "Which rows to be careful with. `is_valid_for_training` sums them up.",
    Group.MOMENTUM: "How the hour moved, over all its minutes (not only the kept ones).",
    Group.VOLATILITY: "How much the hour moved. From `vol_1m_mean` on over the kept rows K; null "
    "if K is empty.",
    Group.SHAPE: "Skewness and kurtosis of an hour's returns and volumes, over K.",
    Group.LIQUIDITY: "What a trade may have cost, and where in the hour volume and variance lie, "
    "over K; null if K is empty (`is_funding_hour` never is).",
    Group.CORRELATION: "Pearson correlation of price and volume within the hour, over K.",
    Group.VOLUME_BY_RETURN: "How the hour's volume spreads over its minutes' returns, over K.",
    Group.ORDER_FLOW: "Sums over the hour's aggTrades and ratios of them. A taker buys when "
    "is_buyer_maker is false. All null in an hour without a trade.",
    Group.DERIVED: "Across groups, rows and symbols.",
    Group.SIBLINGS: "The same as the two columns that look ahead, without looking ahead.",
}


def describe_columns(specs: Sequence[ColumnSpec]) -> list[dict[str, str]]:
    """What is told of each column: name, dtype and the fields of `ColumnSpec.metadata`."""
    return [{"name": spec.name, "dtype": spec.dtype.value} | spec.metadata() for spec in specs]


def to_json(specs: Sequence[ColumnSpec]) -> str:
    """A list with one object a column."""
    return orjson.dumps(describe_columns(specs), option=orjson.OPT_INDENT_2).decode()


def to_markdown(specs: Sequence[ColumnSpec]) -> str:
    """One section a group; with the page's introduction where all columns are told."""
    lines = [_introduction()] if len(specs) == len(REGISTRY) else []
    for group in dict.fromkeys(spec.group for spec in specs):
        lines += [
            f"## {group.value[0].upper()}{group.value[1:]}",
            "",
            NOTES[group],
            "",
            "| column | type | unit | from | looks at | definition |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(spec) for spec in specs if spec.group is group]
        lines.append("")
    return "\n".join(lines)


def _introduction() -> str:
    ahead = [f"`{spec.name}`" for spec in REGISTRY.values() if not spec.point_in_time]
    return HEAD.replace("{ahead}", " and ".join(ahead))


def _row(spec: ColumnSpec) -> str:
    definition = spec.definition
    if spec.use_instead:
        definition += f" **Not point-in-time: use `{spec.use_instead}`.**"
    cells = (
        f"`{spec.name}`",
        spec.dtype.value,
        spec.unit,
        " + ".join(spec.inputs),
        spec.window.text,
        definition,
    )
    return "| " + " | ".join(cells) + " |"
