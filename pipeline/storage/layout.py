"""Where each layer lies: one row a layer in `LAYERS`, and a data root's paths looked up in it.

A *layer* is a folder of files of one kind, one a symbol or one a symbol and month. What is written
into it, when it is current and how it proves its bytes is `artifact`'s; how files are reached is
`file_store`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore

TEMP_NAME = "_tmp"
"""The folder of a data root's working files."""

CACHE_NAME = "binance_vision"
"""The folder of verified archive ZIPs in it."""


class Place(StrEnum):
    """What a layer's folder is relative to."""

    MARKET = "market"  # the market's own root: the data root for um, `spot`, `cm` below it
    TEMP = "temp"  # the working files, all markets together
    MONTHS = "months"  # `months/{market}` of the working files


class Encoding(StrEnum):
    """How a layer's files are written, and where they say what they are made of."""

    PARQUET = "parquet"  # zstd; record in the footer
    CSV = "csv"  # record elsewhere: see `described_by`
    CSV_SIDECAR = "csv with sidecar"  # record in `{file}.meta.json` beside it
    JSON = "json"  # record inside
    ZIP = "zip"  # as the archive publishes it; record in the ledger


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: `pattern` names a file below `folder` by `exch`, `sym`, `month`, `variant`."""

    name: str
    folder: str
    pattern: str
    encoding: Encoding
    about: str  # what it is, in a few words
    place: Place = Place.MARKET
    data_type: DataType | None = None
    interval: str = ""
    view: str = ""  # its name in SQL; empty: none
    moved_by: str = ""  # key of `Layout.overrides`
    described_by: str = ""  # the layer or file that holds the record of a bare CSV

    @property
    def glob(self) -> str:
        """The pattern that every file of the layer matches, below its folder."""
        return self.pattern.format(exch="*", sym="*", month="*", variant="*")


_PARQUET, _CSV, _MARKED = Encoding.PARQUET, Encoding.CSV, Encoding.CSV_SIDECAR
_MONTH = "{exch}/{month}.parquet"


def _hourly(folder: str, data_type: DataType, view: str, about: str, moved_by: str = "") -> Layer:
    name = f"{{exch}}_{data_type}.csv"
    return Layer(
        view, folder, name, _MARKED, about, data_type=data_type, view=view, moved_by=moved_by
    )


def _stage(folder: str, suffix: str, about: str) -> Layer:
    name = f"{{sym}}_{suffix}.csv"
    return Layer(folder, folder, name, _CSV, about, view=folder, described_by="symbol_tables")


def _working(data_type: DataType, interval: str, about: str) -> Layer:
    name = f"{data_type}_{interval}" if interval else f"{data_type}"
    return Layer(f"{name}_months", name, _MONTH, _PARQUET, about, Place.MONTHS, data_type, interval)


LAYERS: tuple[Layer, ...] = (
    Layer(
        "archive",
        CACHE_NAME,
        "data/**/*.zip",
        Encoding.ZIP,
        "verified ZIPs in the archive's own tree",
        Place.TEMP,
        moved_by="cache",
    ),
    Layer(
        "klines_1m",
        "binance_klines_1m_parquet",
        _MONTH,
        _PARQUET,
        "1-minute bars of a month",
        data_type=DataType.KLINES,
        interval="1m",
        view="klines_1m",
    ),
    Layer(
        "aggtrades_1m",
        "binance_aggTrades_1m_parquet",
        _MONTH,
        _PARQUET,
        "trades of a month condensed to minutes",
        data_type=DataType.AGGTRADES,
        view="aggtrades_1m",
        moved_by="aggtrades_1m",
    ),
    _working(DataType.KLINES, "1h", "last-price bars of a month"),
    _working(DataType.MARK, "1h", "mark-price bars of a month"),
    _working(DataType.INDEX, "1h", "index-price bars of a month"),
    _working(DataType.PREMIUM, "1h", "premium-index bars of a month"),
    _working(DataType.FUNDING, "", "settlements of a month"),
    _working(DataType.METRICS, "", "open interest and ratios of a month"),
    Layer(
        "reconciled",
        "reconciled",
        "{exch}/{month}.json",
        Encoding.JSON,
        "a month of aggTrades held against its klines",
        Place.MONTHS,
    ),
    _hourly(
        "binance_aggTrades", DataType.AGGTRADES, "aggtrades_1h", "order flow", "aggtrades_hourly"
    ),
    _hourly("binance_klines_1h", DataType.KLINES, "klines_1h", "last-price bars"),
    _hourly("binance_markPriceKlines_1h", DataType.MARK, "mark_1h", "mark-price bars"),
    _hourly("binance_indexPriceKlines_1h", DataType.INDEX, "index_1h", "index-price bars"),
    _hourly("binance_premiumIndexKlines_1h", DataType.PREMIUM, "premium_1h", "premium-index bars"),
    _hourly("binance_fundingRate", DataType.FUNDING, "funding_1h", "the last settlement, held"),
    _hourly("binance_metrics", DataType.METRICS, "metrics_1h", "open interest and ratios"),
    Layer(
        "symbol_tables",
        "symbol_tables",
        "{exch}.parquet",
        _PARQUET,
        "a symbol's own columns of the wide table",
        Place.TEMP,
    ),
    Layer(
        "crypto_1min",
        "crypto_1min",
        "{sym}_1m.csv",
        _MARKED,
        "1-minute OHLCV, on request",
        view="crypto_1min",
    ),
    _stage("crypto_hourly_basic", "hourly", "hourly OHLCV and VWAP"),
    _stage("crypto_hourly_full", "hourly_full", "and funding"),
    _stage("crypto_hourly_cleaned", "cleaned", "and flags; prices filled forward"),
    _stage("crypto_hourly_momentum", "momentum", "momentum factors"),
    _stage("crypto_hourly_volatility", "volatility", "volatility, liquidity and shape factors"),
    Layer(
        "final",
        "",
        "final_dataset{variant}_all.parquet",
        _PARQUET,
        "the one table, and its variants",
    ),
    Layer(
        "final_csv",
        "final_dataset{variant}",
        "{sym}_final.csv",
        _CSV,
        "the table, one CSV a symbol",
        described_by="_tmp/final_dataset{variant}.json",
    ),
    Layer(
        "training",
        "training",
        "{sym}_training.csv",
        _CSV,
        "features with a label",
        described_by="",
    ),
)
"""Every layer, in the order in which they are made of each other."""

_BY_NAME = {layer.name: layer for layer in LAYERS}
_MONTHS = {
    (layer.data_type, layer.interval): layer
    for layer in LAYERS
    if layer.data_type is not None and layer.pattern == _MONTH
}
_HOURLY = {
    layer.data_type: layer
    for layer in LAYERS
    if layer.data_type is not None and layer.encoding is _MARKED
}
STAGES = {
    layer.name: layer.pattern.removeprefix("{sym}_").removesuffix(".csv")
    for layer in LAYERS
    if layer.name.startswith("crypto_")
}
"""The `crypto_*` layers and what their files' names end with."""


def layer(name: str) -> Layer:
    """The layer of this name; raises KeyError."""
    return _BY_NAME[name]


def month_name(month: Period) -> str:
    """The name of a month's file in its symbol's folder."""
    return f"{month.stamp}.parquet"


@dataclass(frozen=True, slots=True)
class Layout:
    """Every path of a data root for one market (`docs`: AlphaQCM_data/README.md).

    `root` is the data root itself; other markets than um live in a folder of their own below it.
    `overrides` moves single layers elsewhere, for the worker commands that name directories.
    """

    root: Path
    market: Market = Market.UM
    overrides: Mapping[str, Path] = field(default_factory=dict)
    store: FileStore = field(default=LOCAL, repr=False, compare=False)

    @property
    def base(self) -> Path:
        """The market's own root."""
        return self.root if self.market is Market.UM else self.root / self.market.value

    @property
    def temp(self) -> Path:
        """Working files: cache, logs, state."""
        return self.root / TEMP_NAME

    @property
    def cache(self) -> Path:
        """Verified archive ZIPs in the archive's own tree, all markets together."""
        return self.folder(_BY_NAME["archive"])

    @property
    def ledger_dir(self) -> Path:
        """Where the ledger of the cache lies, wherever the cache itself is."""
        return self.temp / CACHE_NAME

    def folder(self, layer: Layer, variant: str = "") -> Path:
        """Where a layer lies; `variant` is that of a final table, with its underscore."""
        moved = self.overrides.get(layer.moved_by)
        if moved is not None:
            return moved
        places = {
            Place.MARKET: self.base,
            Place.TEMP: self.temp,
            Place.MONTHS: self.temp / "months" / self.market.value,
        }
        return places[layer.place] / layer.folder.format(variant=variant)

    def files(self, layer: Layer) -> Sequence[Path]:
        """The layer's files that are there, sorted; of `final_csv` those of every variant."""
        if "{variant}" in layer.folder:
            names = f"{layer.folder.format(variant='*')}/{layer.glob}"
            return self.store.list(self.base, names)
        return self.store.list(self.folder(layer), layer.glob)

    def months(self, data_type: DataType, interval: str = "") -> Path:
        """Directory of the month files of a type: `{EXCH}/{YYYY-MM}.parquet` below it."""
        interval = "" if data_type is DataType.AGGTRADES else interval
        found = _MONTHS.get((data_type, interval))
        return self.folder(found or _working(data_type, interval, ""))

    def month_file(self, data_type: DataType, interval: str, symbol: str, month: Period) -> Path:
        """The month file of one series."""
        return self.months(data_type, interval) / symbol / month_name(month)

    def hourly(self, data_type: DataType) -> Path:
        """Directory of the hourly CSVs of an archive type."""
        return self.folder(_HOURLY[data_type])

    def hourly_file(self, data_type: DataType, symbol: str) -> Path:
        """The hourly CSV of a symbol (exchange name)."""
        return self.hourly(data_type) / _HOURLY[data_type].pattern.format(exch=symbol)

    def stage_file(self, stage: str, symbol: Symbol) -> Path:
        """A `crypto_*` stage's CSV; `stage` is one of STAGES."""
        found = _BY_NAME[stage]
        return self.folder(found) / found.pattern.format(sym=symbol.table)

    def symbol_table(self, symbol: Symbol) -> Path:
        """The symbol's own columns of the wide table, before the cross-section (parquet)."""
        found = _BY_NAME["symbol_tables"]
        return self.folder(found) / found.pattern.format(exch=symbol.exchange)

    def reconciled_file(self, symbol: str, month: Period) -> Path:
        """What is kept of holding a month's aggTrades against its klines."""
        found = _BY_NAME["reconciled"]
        return self.folder(found) / found.pattern.format(exch=symbol, month=month.stamp)

    def final_dir(self, variant: str = "") -> Path:
        """`final_dataset` or `final_dataset_{variant}`."""
        return self.folder(_BY_NAME["final_csv"], _suffix(variant))

    def final_file(self, symbol: Symbol, variant: str = "") -> Path:
        """A symbol's CSV of the final table."""
        return self.final_dir(variant) / _BY_NAME["final_csv"].pattern.format(sym=symbol.table)

    def final_table(self, variant: str = "") -> Path:
        """The one table."""
        return self.base / _BY_NAME["final"].pattern.format(variant=_suffix(variant))

    @property
    def training(self) -> Path:
        """Training sets."""
        return self.folder(_BY_NAME["training"])


def _suffix(variant: str) -> str:
    return f"_{variant}" if variant else ""
