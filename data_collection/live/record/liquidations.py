"""Hours of recorded liquidations: one CSV a symbol below the data root.

The exchange tells only the latest forced order of a symbol in a second: every hour is a sample of
what happened, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from alphaqcm.data_collection.live.events import Liquidation
from alphaqcm.pipeline.storage.atomic_write import atomic_write
from alphaqcm.pipeline.storage.csv_file import CSV_TIME, write_csv

FOLDER = "binance_liquidations"
WINDOW = 168  # hours
_HOUR_US = 3_600_000_000
_TIME = pl.Datetime("us", "UTC")
SCHEMA: Mapping[str, pl.DataType] = {
    "datetime": _TIME,
    "long_notional": pl.Float64(),
    "short_notional": pl.Float64(),
    "n_orders": pl.Int64(),
    "zscore_168h": pl.Float64(),
    "sampled": pl.Int64(),
}


@dataclass(slots=True)
class HourSums:
    """The forced orders of one symbol in one hour."""

    long: float = 0.0
    short: float = 0.0
    orders: int = 0


Orders = dict[str, HourSums]
"""Sums by symbol."""


@dataclass(slots=True)
class LiquidationHours:
    """Adds up forced orders; `contract` is the quote amount of one contract, where there is one."""

    root: Path
    _hours: dict[tuple[str, int], HourSums] = field(default_factory=dict)

    def add(self, order: Liquidation, contract: float = 0.0) -> None:
        """One forced order; a long's liquidation sells."""
        key = (order.symbol, order.time_us // _HOUR_US * _HOUR_US)
        hour = self._hours.setdefault(key, HourSums())
        price = order.average_price or order.price
        notional = order.quantity * (contract or price)
        hour.orders += 1
        if order.side == "SELL":
            hour.long += notional
        else:
            hour.short += notional

    def take(self, hour_us: int) -> Orders:
        """The sums of an hour that is over, by symbol; older ones are forgotten."""
        over = {key: self._hours.pop(key) for key in list(self._hours) if key[1] <= hour_us}
        return {symbol: hour for (symbol, at), hour in over.items() if at == hour_us}

    def write(self, symbols: list[str], hour_us: int, orders: Orders) -> int:
        """Write the rows of an hour, one for each symbol; how many. Raises OSError."""
        for symbol in symbols:
            hour = orders.get(symbol) or HourSums()
            append_hour(self.root, symbol, hour_us, hour.long, hour.short, hour.orders)
        return len(symbols)


def path_of(root: Path, symbol: str) -> Path:
    """The file of a symbol."""
    return root / FOLDER / f"{symbol}_liquidations.csv"


def append_hour(
    root: Path, symbol: str, hour_us: int, long: float, short: float, orders: int
) -> None:
    """Add one hour to a symbol's file; an hour that is there already is replaced."""
    path = path_of(root, symbol)
    row = pl.DataFrame(
        {
            "datetime": [datetime.fromtimestamp(hour_us / 1e6, UTC)],
            "long_notional": [long],
            "short_notional": [short],
            "n_orders": [orders],
        }
    ).cast({"datetime": _TIME})
    old = read(path)
    if old is not None:
        row = pl.concat([old.select(row.columns), row])
    frame = scored(row.unique("datetime", keep="last").sort("datetime"))
    with atomic_write(path) as temp:
        write_csv(frame, temp)


def scored(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with `zscore_168h` of both sides' sum over the trailing 168 rows, and `sampled`.

    Null before there are 168 rows, and where nothing varies.
    """
    total = pl.col("long_notional") + pl.col("short_notional")
    spread = total.rolling_std(WINDOW, min_samples=WINDOW, ddof=1)
    score = (total - total.rolling_mean(WINDOW, min_samples=WINDOW)) / spread
    return frame.with_columns(
        zscore_168h=pl.when(spread > 0).then(score), sampled=pl.lit(1, pl.Int64)
    ).select(list(SCHEMA))


def read(path: Path) -> pl.DataFrame | None:
    """A symbol's hours, None without a file."""
    if not path.exists():
        return None
    schema = {**SCHEMA, "datetime": pl.String()}
    frame = pl.read_csv(path, schema=schema)
    moment = pl.col("datetime").str.to_datetime(CSV_TIME, time_unit="us")
    return frame.with_columns(moment.dt.replace_time_zone("UTC"))
