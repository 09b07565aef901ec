"""`ColumnSpec` and its terms (group, source, dtype, window); the definitions lie beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import polars as pl


class Group(StrEnum):
    """What a column is about; the table's columns come group by group, later additions last."""

    KEY = "key"
    BASE_BAR = "base bar"
    FUNDING = "funding"
    TRIAD = "price triad"
    OPEN_INTEREST = "open interest"
    LONG_SHORT = "long/short"
    TIME = "time"
    UNIVERSE = "universe"
    GAPS = "gap flags"
    QUALITY = "quality flags"
    MOMENTUM = "momentum"
    VOLATILITY = "volatility"
    SHAPE = "shape"
    LIQUIDITY = "liquidity"
    CORRELATION = "correlation"
    VOLUME_BY_RETURN = "volume by return"
    ORDER_FLOW = "order flow"
    DERIVED = "derived"
    SIBLINGS = "point-in-time siblings"


class Source(StrEnum):
    """What a column is computed from: archive types, the calendar, or the other symbols."""

    SYMBOL = "symbol list"
    CALENDAR = "calendar"
    MINUTES = "klines 1m"
    FUNDING = "fundingRate"
    MARK = "markPriceKlines 1h"
    INDEX = "indexPriceKlines 1h"
    PREMIUM = "premiumIndexKlines 1h"
    METRICS = "metrics"
    AGGTRADES = "aggTrades"
    UNIVERSE = "other symbols"


class DType(StrEnum):
    """Types of the table, by their polars names."""

    STRING = "String"
    TIME = "Datetime[us, UTC]"
    FLOAT = "Float64"
    INT64 = "Int64"
    INT32 = "Int32"
    INT16 = "Int16"
    INT8 = "Int8"
    BOOLEAN = "Boolean"

    @property
    def polars(self) -> pl.DataType:
        """The polars type."""
        return _POLARS[self]


_POLARS: dict[DType, pl.DataType] = {
    DType.STRING: pl.String(),
    DType.TIME: pl.Datetime("us", "UTC"),
    DType.FLOAT: pl.Float64(),
    DType.INT64: pl.Int64(),
    DType.INT32: pl.Int32(),
    DType.INT16: pl.Int16(),
    DType.INT8: pl.Int8(),
    DType.BOOLEAN: pl.Boolean(),
}


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows of the symbol a value looks at."""

    text: str
    rows_before: int = 0


HOUR = Window("the hour")
TWO_HOURS = Window("the hour and the one before")
HELD = Window("24 hours back")
COOLDOWN = Window("2 hours back", rows_before=3)
PREVIOUS = Window("this row and the one before", rows_before=1)
ROWS_24 = Window("last 24 rows", rows_before=23)
ROWS_25 = Window("last 25 rows", rows_before=24)
ROWS_168 = Window("last 168 rows", rows_before=167)
ROWS_169 = Window("last 169 rows", rows_before=168)
SO_FAR = Window("all rows so far")
WHOLE_RANGE = Window("all rows, later ones too")
SAME_HOUR = Window("the hour, all symbols")
SAME_HOUR_SO_FAR = Window("all symbols so far")
SAME_HOUR_WHOLE_RANGE = Window("all symbols, later ones too")


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column of the wide table.

    `definition` is complete: what it says is what is computed. `use_instead` names the column that
    is recommended in place of one that looks ahead.
    """

    name: str
    group: Group
    dtype: DType
    unit: str
    inputs: tuple[Source, ...]
    window: Window
    definition: str
    point_in_time: bool = True
    use_instead: str = ""

    def metadata(self) -> dict[str, str]:
        """What the parquet's field carries of it."""
        told = {
            "group": self.group.value,
            "unit": self.unit,
            "inputs": " + ".join(self.inputs),
            "window": self.window.text,
            "point_in_time": "yes" if self.point_in_time else "no",
            "definition": self.definition,
            "use_instead": self.use_instead,
        }
        return {key: text for key, text in told.items() if text}
