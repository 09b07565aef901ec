"""The archive's data types, one row a type: columns, time, partitions, cadence.

Everything that differs between two archive types is told here and read from here; a new type is
one more `TypeSpec`. Source: the archive's own files and https://github.com/binance/binance-public-data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from alphaqcm.pipeline.errors import BadName


class Market(StrEnum):
    """Spot, USDT-margined futures, coin-margined futures."""

    SPOT = "spot"
    UM = "um"
    CM = "cm"

    @property
    def archive_path(self) -> str:
        """The market's folder below `data/` in the archive."""
        return "spot" if self is Market.SPOT else f"futures/{self.value}"


class Partition(StrEnum):
    """How the archive cuts a series into files."""

    MONTHLY = "monthly"
    DAILY = "daily"


class DataType(StrEnum):
    """The archive's own names of its data types."""

    KLINES = "klines"
    MARK = "markPriceKlines"
    INDEX = "indexPriceKlines"
    PREMIUM = "premiumIndexKlines"
    FUNDING = "fundingRate"
    METRICS = "metrics"
    AGGTRADES = "aggTrades"
    LIQUIDATIONS = "liquidationSnapshot"


class Kind(StrEnum):
    """What a field of the CSV holds."""

    INT = "int"
    DECIMAL = "decimal"
    BOOL = "bool"
    TEXT = "text"
    EPOCH = "epoch"  # ms, or us when >= EPOCH_US_FROM
    CLOCK = "clock"  # text YYYY-MM-DD HH:MM:SS, UTC


class TimeRule(StrEnum):
    """What a row's time means, and so which period it must lie in."""

    START = "start"  # the moment or the bar's start: [start, end)
    METRICS = "metrics"  # period end (start, end], from 2026-06-25 period start [start, end)


class HourRule(StrEnum):
    """How the rows of an hour become one value."""

    BAR = "bar"  # the 1h bar itself
    MINUTES = "minutes"  # sums and extremes of its minutes
    HOLD = "hold"  # the last one known, held for a bounded time
    LAST = "last"  # the last non-null of the hour, column by column
    NONE = "none"  # read and checked, no hourly value


EPOCH_US_FROM = 10**14
"""Epoch numbers from here on are microseconds, smaller ones milliseconds."""

EPOCH_US_LAST = 253_402_300_799_999_999
"""The last microsecond of the year 9999; larger numbers are no times."""

METRICS_START_LABELS_FROM = date(2026, 6, 25)
"""um metrics files of this day and later label a row with its period's start, not its end."""

METRICS_CADENCE = timedelta(minutes=5)

_CM_CONTRACT_USD = {"BTCUSD": 100.0}
_CM_CONTRACT_USD_ELSE = 10.0

OUTSIDE_LIMIT = 0.01
"""More of a file's rows than this outside its period: a wrong file or unit, not an accident."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field of an archive CSV."""

    name: str
    kind: Kind
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class TypeSpec:
    """One row of the registry."""

    type: DataType
    markets: tuple[Market, ...]
    partitions: tuple[Partition, ...]
    columns: tuple[Column, ...]
    time_column: str
    time_rule: TimeRule
    has_interval: bool
    hour_rule: HourRule
    header_by_name: bool = False  # a permutation of the names is accepted
    spot_extra: tuple[Column, ...] = ()
    header_aliases: tuple[tuple[str, ...], ...] = ()

    def columns_named(self, names: tuple[str, ...], market: Market) -> tuple[Column, ...] | None:
        """The columns that a header's names stand for, in the file's order; None for a foreign one.

        A spot file's header may lack the market's extra column; its rows then lack it too.
        """
        expected = self.columns_in(market)
        for columns in (expected, self.columns):
            if names == tuple(column.name for column in columns):
                return columns
        if names in self.header_aliases:
            return expected
        by_name = {column.name: column for column in expected}
        if self.header_by_name and sorted(names) == sorted(by_name):
            return tuple(by_name[name] for name in names)
        return None

    def columns_in(self, market: Market) -> tuple[Column, ...]:
        """The file's columns, in file order, in `market`."""
        return self.columns + self.spot_extra if market is Market.SPOT else self.columns


_ALL = (Market.SPOT, Market.UM, Market.CM)
_FUTURES = (Market.UM, Market.CM)
_BOTH = (Partition.MONTHLY, Partition.DAILY)

_KLINE_COLUMNS = (
    Column("open_time", Kind.EPOCH),
    Column("open", Kind.DECIMAL, nullable=True),
    Column("high", Kind.DECIMAL, nullable=True),
    Column("low", Kind.DECIMAL, nullable=True),
    Column("close", Kind.DECIMAL, nullable=True),
    Column("volume", Kind.DECIMAL, nullable=True),
    Column("close_time", Kind.INT, nullable=True),  # wrong beside an outage: never used as a time
    Column("quote_volume", Kind.DECIMAL, nullable=True),
    Column("count", Kind.INT, nullable=True),
    Column("taker_buy_volume", Kind.DECIMAL, nullable=True),
    Column("taker_buy_quote_volume", Kind.DECIMAL, nullable=True),
    Column("ignore", Kind.TEXT, nullable=True),
)


def _kline_spec(data_type: DataType, markets: tuple[Market, ...]) -> TypeSpec:
    return TypeSpec(
        type=data_type,
        markets=markets,
        partitions=_BOTH,
        columns=_KLINE_COLUMNS,
        time_column="open_time",
        time_rule=TimeRule.START,
        has_interval=True,
        hour_rule=HourRule.BAR,
    )


REGISTRY: dict[DataType, TypeSpec] = {
    spec.type: spec
    for spec in (
        _kline_spec(DataType.KLINES, _ALL),
        _kline_spec(DataType.MARK, _FUTURES),
        _kline_spec(DataType.INDEX, _FUTURES),
        _kline_spec(DataType.PREMIUM, _FUTURES),
        TypeSpec(
            type=DataType.FUNDING,
            markets=_FUTURES,
            partitions=(Partition.MONTHLY,),
            columns=(
                Column("calc_time", Kind.EPOCH),
                Column("funding_interval_hours", Kind.DECIMAL, nullable=True),
                Column("last_funding_rate", Kind.DECIMAL, nullable=True),
            ),
            time_column="calc_time",
            time_rule=TimeRule.START,
            has_interval=False,
            hour_rule=HourRule.HOLD,
            header_by_name=True,
        ),
        TypeSpec(
            type=DataType.METRICS,
            markets=_FUTURES,
            partitions=(Partition.DAILY,),
            columns=(
                Column("create_time", Kind.CLOCK),
                Column("symbol", Kind.TEXT),
                Column("sum_open_interest", Kind.DECIMAL, nullable=True),
                Column("sum_open_interest_value", Kind.DECIMAL, nullable=True),
                Column("count_toptrader_long_short_ratio", Kind.DECIMAL, nullable=True),
                Column("sum_toptrader_long_short_ratio", Kind.DECIMAL, nullable=True),
                Column("count_long_short_ratio", Kind.DECIMAL, nullable=True),
                Column("sum_taker_long_short_vol_ratio", Kind.DECIMAL, nullable=True),
            ),
            time_column="create_time",
            time_rule=TimeRule.METRICS,
            has_interval=False,
            hour_rule=HourRule.LAST,
            header_by_name=True,
        ),
        TypeSpec(
            type=DataType.AGGTRADES,
            markets=_ALL,
            partitions=_BOTH,
            columns=(
                Column("agg_trade_id", Kind.INT),
                Column("price", Kind.DECIMAL),
                Column("quantity", Kind.DECIMAL),
                Column("first_trade_id", Kind.INT),
                Column("last_trade_id", Kind.INT),
                Column("transact_time", Kind.EPOCH),
                Column("is_buyer_maker", Kind.BOOL),
            ),
            time_column="transact_time",
            time_rule=TimeRule.START,
            has_interval=False,
            hour_rule=HourRule.MINUTES,
            spot_extra=(Column("is_best_match", Kind.BOOL),),
        ),
        TypeSpec(
            type=DataType.LIQUIDATIONS,
            markets=(Market.CM,),
            partitions=(Partition.DAILY,),
            columns=(
                Column("time", Kind.EPOCH),
                Column("side", Kind.TEXT),
                Column("order_type", Kind.TEXT),
                Column("time_in_force", Kind.TEXT),
                Column("original_quantity", Kind.DECIMAL),
                Column("price", Kind.DECIMAL),
                Column("average_price", Kind.DECIMAL),
                Column("order_status", Kind.TEXT),
                Column("last_fill_quantity", Kind.DECIMAL),
                Column("accumulated_fill_quantity", Kind.DECIMAL),
            ),
            time_column="time",
            time_rule=TimeRule.START,
            has_interval=False,
            hour_rule=HourRule.NONE,
        ),
    )
}

INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")


def spec_of(data_type: DataType) -> TypeSpec:
    """The registry's row of `data_type`."""
    return REGISTRY[data_type]


def contract_usd(market: Market, symbol: str) -> float | None:
    """USD that one contract stands for where `symbol`'s quantities are contracts; None elsewhere.

    Coin-margined contracts are of 100 USD for BTC, of 10 USD for every other coin: `contractSize`
    of https://dapi.binance.com/dapi/v1/exchangeInfo.
    """
    if market is not Market.CM:
        return None
    return _CM_CONTRACT_USD.get(symbol.partition("_")[0], _CM_CONTRACT_USD_ELSE)


def parse_type(text: str) -> DataType:
    """The data type called `text` in the archive; raises `BadName`."""
    try:
        return DataType(text)
    except ValueError:
        raise BadName(
            f"data type {text!r}",
            expected="one of " + ", ".join(DataType),
            next_step="name a data type as the archive does",
        ) from None


def parse_market(text: str) -> Market:
    """The market called `text`; raises `BadName`."""
    try:
        return Market(text)
    except ValueError:
        raise BadName(
            f"market {text!r}", expected="spot, um or cm", next_step="pass --market um"
        ) from None


METRICS = (
    "sum_open_interest",
    "sum_open_interest_value",
    "sum_toptrader_long_short_ratio",
    "sum_taker_long_short_vol_ratio",
    "count_toptrader_long_short_ratio",
    "count_long_short_ratio",
)
"""Columns of the hourly metrics after their time column `create_time`."""
