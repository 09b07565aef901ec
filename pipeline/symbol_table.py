"""One symbol's own columns of the wide table, and the stages on the way to them.

Own columns are all but the cross-section's. They are computed from the symbol's month files; the
result depends on the rows alone, never on their order, on threads or on how the work was cut. Rows
from a day on can be computed with a bounded look back at an older table, giving the same bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.columns import OWN, STAGE_COLUMNS, TAIL_ROWS, VERSION, schema
from pipeline.errors import LayerError, Undefined
from pipeline.factors.funding import hourly_funding
from pipeline.factors.hours import hour_statistics
from pipeline.factors.metrics import METRICS, hourly_metrics
from pipeline.factors.minutes import read_minutes
from pipeline.factors.orderflow import MINUTE_PRICES, SUMS, hourly_orderflow
from pipeline.factors.rows import NOTHING_BEFORE, SEEDS, Before, row_columns, with_volume_clean
from pipeline.factors.segments import HOUR_US, TIME, floats
from pipeline.hourly import Span, write_csv
from pipeline.keys import Symbol, epoch_us, months_between
from pipeline.layers import (
    FOOTER_KEY,
    Batch,
    Fingerprint,
    Gate,
    Layout,
    footer_of,
    layer_inputs,
)
from pipeline.registry import DataType, Market

LAYER = "symbol_table"

_DAY_US = 24 * HOUR_US

INPUT_TYPES: dict[str, tuple[DataType, str]] = {
    "klines": (DataType.KLINES, "1m"),
    "aggtrades": (DataType.AGGTRADES, ""),
    "mark": (DataType.MARK, "1h"),
    "index": (DataType.INDEX, "1h"),
    "premium": (DataType.PREMIUM, "1h"),
    "funding": (DataType.FUNDING, ""),
    "metrics": (DataType.METRICS, ""),
}
"""The fields of `Inputs` and the month files behind them."""

_CLOSES: dict[str, pl.DataType] = {"open_time": TIME, "close": pl.Float64()}
_NEEDED: dict[str, dict[str, pl.DataType]] = {
    "klines": {"minute": TIME}
    | dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64()),
    "aggtrades": {"minute": TIME}
    | dict.fromkeys(SUMS, pl.Float64())
    | dict.fromkeys(MINUTE_PRICES, pl.Float64()),
    "mark": _CLOSES,
    "index": _CLOSES,
    "premium": _CLOSES,
    "funding": {
        "calc_time": TIME,
        "funding_interval_hours": pl.Float64(),
        "last_funding_rate": pl.Float64(),
    },
    "metrics": {"known_time": TIME, "file_date": pl.Date()} | dict.fromkeys(METRICS, pl.Float64()),
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """A symbol's month files, the months of each type one after another in order; empty if none.

    klines: `minute`, open, high, low, close, volume; aggtrades: the 1m aggTrades layer; mark,
    index, premium: `open_time`, close; funding: `calc_time`, `funding_interval_hours`,
    `last_funding_rate`; metrics: `known_time`, `file_date` and the six values.
    """

    klines: pl.DataFrame
    aggtrades: pl.DataFrame
    mark: pl.DataFrame
    index: pl.DataFrame
    premium: pl.DataFrame
    funding: pl.DataFrame
    metrics: pl.DataFrame


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """The own columns in the table's order and types, and what is to be told of them."""

    frame: pl.DataFrame
    report: Mapping[str, Any]


def require_wide(market: Market) -> None:
    """Raise `Undefined` where no wide table is defined: anywhere but in um."""
    if market is not Market.UM:
        raise Undefined(
            f"the wide table of {market}",
            expected="market um",
            found=f"{market}: its layers end at the 1m and hourly files",
            next_step="pass --market um, or use the hourly CSVs",
        )


def input_files(layout: Layout, symbol: Symbol, span: Span) -> dict[str, dict[str, Path]]:
    """The month files that are there: field of `Inputs` -> month -> path, months in order."""
    return {
        field: {
            month.stamp: path
            for month in months_between(span.start, span.end)
            if (path := layout.month_file(kind, interval, symbol.exchange, month)).exists()
        }
        for field, (kind, interval) in INPUT_TYPES.items()
    }


def table_fingerprint(layout: Layout, symbol: Symbol, span: Span) -> Fingerprint:
    """What the symbol's table is made of; raises `LayerError` for a month file without one."""
    paths = [
        (f"{field}/{stamp}", path)
        for field, months in input_files(layout, symbol, span).items()
        for stamp, path in months.items()
    ]
    return Fingerprint(
        LAYER,
        VERSION,
        layer_inputs(paths),
        (
            ("end", span.end.isoformat()),
            ("start", span.start.isoformat()),
            ("symbol", symbol.table),
        ),
    )


def read_inputs(layout: Layout, symbol: Symbol, span: Span, since: date | None = None) -> Inputs:
    """Read the month files of `span`, or only those that rows from day `since` on need.

    Raises `LayerError` for a file that is no month file.
    """
    first = span.start if since is None else _look_back(since, span)
    files = input_files(layout, symbol, Span(first, span.end))
    return Inputs(**{field: _read(field, list(files[field].values())) for field in files})


def _look_back(since: date, span: Span) -> date:
    """The first day whose rows can matter on day `since`: a settlement, a metrics file before."""
    day_before = date.fromordinal(since.toordinal() - 1)
    return max(span.start, day_before)


def build_symbol_table(symbol: Symbol, inputs: Inputs, span: Span) -> SymbolTable:
    """The symbol's own columns for the days of `span`: one row an hour that has a 1m kline.

    Raises `Undefined` for a market without a wide table.
    """
    table = _assemble(symbol, inputs, span, span.start, NOTHING_BEFORE)
    return SymbolTable(with_volume_clean(table.frame), table.report)


def extend_symbol_table(
    old: pl.DataFrame, symbol: Symbol, inputs: Inputs, span: Span, since: date
) -> SymbolTable:
    """The table of `span`, taking the rows before day `since` from `old`.

    `inputs` need to hold what `read_inputs(…, since)` reads. The result is bit for bit what
    `build_symbol_table` gives, provided that no input of the rows before `since` has changed.
    """
    kept = old.filter(pl.col("datetime") < _moment(since))
    before = Before(kept.select(SEEDS).tail(TAIL_ROWS), floats(kept["volume"]))
    new = _assemble(symbol, inputs, span, since, before)
    return SymbolTable(with_volume_clean(pl.concat([kept, new.frame])), new.report)


def _assemble(
    symbol: Symbol, inputs: Inputs, span: Span, since: date, before: Before
) -> SymbolTable:
    require_wide(symbol.market)
    minutes = read_minutes(inputs.klines, epoch_us(since), epoch_us(span.end) + _DAY_US)
    hours = hour_statistics(minutes)
    settled = hourly_funding(inputs.funding, span.start, span.end)
    known = hourly_metrics(inputs.metrics, span.start, span.end)
    flow = hourly_orderflow(inputs.aggtrades.filter(pl.col("minute") >= _moment(since)))
    for side in (
        flow.rename({"minute": "datetime"} | {n: f"at_{n}" for n in flow.columns[1:]}),
        settled.select("datetime", *_funding_columns()),
        known.select(pl.col("create_time").alias("datetime"), *_metrics_columns()),
        _closes(inputs.mark, "triad_mark_close"),
        _closes(inputs.index, "triad_index_close"),
        _closes(inputs.premium, "triad_premium_close"),
    ):
        hours = hours.join(side, on="datetime", how="left", maintain_order="left")
    rows = row_columns(hours, before).with_columns(
        pl.lit(None, pl.Float64).alias("volume_clean"),  # needs all rows: see with_volume_clean
        pl.lit(symbol.table).alias("symbol"),
        _basis().alias("triad_basis"),
        (pl.col("datetime") + pl.duration(hours=1)).alias("bar_end_time"),
        (pl.col("datetime") + pl.duration(hours=1, milliseconds=1)).alias("feature_time"),
    )
    frame = rows.select(pl.col(name).cast(dtype) for name, dtype in schema(OWN).items())
    last_metrics = known["create_time"].max() if known.height else None
    return SymbolTable(
        frame,
        {
            "symbol": symbol.table,
            "rows": before.rows + frame.height,
            "metrics_last": None if last_metrics is None else str(last_metrics),
        },
    )


def _moment(day: date) -> pl.Expr:
    return pl.lit(day).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _funding_columns() -> list[pl.Expr]:
    interval = pl.col("funding_interval_hours")
    hours = pl.when(interval > 0).then(interval).otherwise(8.0)
    annualized = pl.col("last_funding_rate") * 365.0 * 24.0 / hours
    return [
        pl.col("last_funding_rate").alias("funding_rate"),
        annualized.alias("funding_annualized"),
        (annualized.abs() > 0.30).alias("arb_pressure"),
    ]


def _metrics_columns() -> list[pl.Expr]:
    names = {
        "sum_open_interest": "oi_open_interest",
        "sum_open_interest_value": "oi_open_interest_usd",
        "sum_toptrader_long_short_ratio": "ls_toptrader_long_short_ratio",
        "sum_taker_long_short_vol_ratio": "ls_taker_long_short_vol_ratio",
    }
    return [pl.col(name).alias(alias) for name, alias in names.items()]


def _closes(bars: pl.DataFrame, name: str) -> pl.DataFrame:
    """Close by the hour of open_time; of several bars in an hour the last by open_time counts."""
    close = pl.col("close").cast(pl.Float64)
    return (
        bars.select(
            pl.col("open_time").cast(TIME),
            pl.when(close.is_finite()).then(close).otherwise(None).alias(name),
        )
        .drop_nulls("open_time")
        .sort("open_time", maintain_order=True)
        .select(pl.col("open_time").dt.truncate("1h").alias("datetime"), name)
        .unique("datetime", keep="last", maintain_order=True)
    )


def _basis() -> pl.Expr:
    index = pl.col("triad_index_close")
    basis = (pl.col("close") - index) / index
    return pl.when((index != 0) & basis.is_finite()).then(basis).otherwise(None)


def _read(field: str, paths: list[Path]) -> pl.DataFrame:
    needed = _NEEDED[field]
    parts = [pl.DataFrame(schema=needed)]
    for path in paths:
        try:
            part = pl.read_parquet(path, columns=list(needed))
            parts.append(part.cast(pl.Schema(needed)))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise LayerError(
                path,
                expected="a month file with " + ", ".join(needed),
                found=str(error).splitlines()[0],
                next_step="remove it and run the same command again: it is made anew",
            ) from error
    return pl.concat(parts)


def stage_frames(table: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The `crypto_hourly_*` stages, each a choice of the own columns.

    The first two come before the cleaning: their vwap is null in an hour without volume.
    """
    traded = pl.when(pl.col("volume") != 0).then(pl.col("vwap")).otherwise(None).alias("vwap")
    stages = {stage: table.select(names) for stage, names in STAGE_COLUMNS.items()}
    for stage in ("crypto_hourly_basic", "crypto_hourly_full"):
        stages[stage] = stages[stage].with_columns(traded)
    return stages


def write_symbol_table(
    table: SymbolTable,
    layout: Layout,
    symbol: Symbol,
    fingerprint: Fingerprint,
    gate: Gate = contextlib.nullcontext,
    *,
    stages: bool = True,
) -> Path:
    """Write the table and its stages' CSVs, all or none; returns the table's path.

    Raises `LayerError` or `DiskFull`.
    """
    path = layout.symbol_table(symbol)
    with Batch() as batch:
        if stages:
            for stage, frame in stage_frames(table.frame).items():
                write_csv(frame, batch.add(layout.stage_file(stage, symbol)))
        temp = batch.add(path)
        try:
            table.frame.write_parquet(
                temp,
                compression="zstd",
                row_group_size=max(1, table.frame.height),
                metadata={FOOTER_KEY: footer_of(fingerprint, table.report)},
            )
        except pl.exceptions.PolarsError as error:
            raise LayerError(path, expected="a table to write", found=str(error)) from error
        batch.commit(gate)
    return path
