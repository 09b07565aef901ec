"""Where each layer lies, how its files are written, and when they are current.

A *layer* is a directory of files, one a symbol or one a symbol and month. A file is written to a
temp file beside it, synced and renamed, so that it is whole or not there. Its *fingerprint* (layer
name, version of the code that makes it, checksums of its inputs) is written into it: a file is
current when the fingerprint it carries equals the one it should have, never because it exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.symbol import Symbol


def month_name(month: Period) -> str:
    """The name of a month's file in its symbol's folder."""
    return f"{month.stamp}.parquet"


@dataclass(frozen=True, slots=True)
class Layout:
    """Every directory of a data root for one market (`docs`: AlphaQCM_data/README.md).

    `root` is the data root itself; other markets than um live in a folder of their own below it.
    `overrides` moves single month layers elsewhere, for the worker commands that name directories.
    """

    root: Path
    market: Market = Market.UM
    overrides: Mapping[str, Path] = field(default_factory=dict)

    @property
    def base(self) -> Path:
        """The market's own root."""
        return self.root if self.market is Market.UM else self.root / self.market.value

    @property
    def temp(self) -> Path:
        """Working files: cache, logs, state."""
        return self.overrides.get("temp", self.root / "_tmp")

    @property
    def cache(self) -> Path:
        """Verified archive ZIPs in the archive's own tree, all markets together."""
        return self.temp / "binance_vision"

    def months(self, data_type: DataType, interval: str = "") -> Path:
        """Directory of the month files of a type: `{EXCH}/{YYYY-MM}.parquet` below it."""
        if data_type is DataType.AGGTRADES:
            return self.overrides.get("aggtrades_1m", self.base / "binance_aggTrades_1m_parquet")
        if data_type is DataType.KLINES and interval == "1m":
            return self.base / "binance_klines_1m_parquet"
        name = f"{data_type}_{interval}" if interval else f"{data_type}"
        return self.temp / "months" / self.market.value / name

    def month_file(self, data_type: DataType, interval: str, symbol: str, month: Period) -> Path:
        """The month file of one series."""
        return self.months(data_type, interval) / symbol / month_name(month)

    def hourly(self, data_type: DataType) -> Path:
        """Directory of the hourly CSVs of an archive type."""
        if data_type is DataType.AGGTRADES:
            return self.overrides.get("aggtrades_hourly", self.base / "binance_aggTrades")
        if data_type in (DataType.FUNDING, DataType.METRICS):
            return self.base / f"binance_{data_type}"
        return self.base / f"binance_{data_type}_1h"

    def hourly_file(self, data_type: DataType, symbol: str) -> Path:
        """The hourly CSV of a symbol (exchange name)."""
        return self.hourly(data_type) / f"{symbol}_{data_type}.csv"

    def stage_file(self, stage: str, symbol: Symbol) -> Path:
        """A `crypto_*` stage's CSV; `stage` is one of STAGES."""
        return self.base / stage / f"{symbol.table}_{STAGES[stage]}.csv"

    def symbol_table(self, symbol: Symbol) -> Path:
        """The symbol's own columns of the wide table, before the cross-section (parquet)."""
        return self.temp / "symbol_tables" / f"{symbol.exchange}.parquet"

    def final_dir(self, variant: str = "") -> Path:
        """`final_dataset` or `final_dataset_{variant}`."""
        return self.base / ("final_dataset" + (f"_{variant}" if variant else ""))

    def final_file(self, symbol: Symbol, variant: str = "") -> Path:
        """A symbol's CSV of the final table."""
        return self.final_dir(variant) / f"{symbol.table}_final.csv"

    def final_table(self, variant: str = "") -> Path:
        """The one table."""
        return self.base / (self.final_dir(variant).name + "_all.parquet")

    @property
    def training(self) -> Path:
        """Training sets."""
        return self.base / "training"


STAGES = {
    "crypto_1min": "1m",
    "crypto_hourly_basic": "hourly",
    "crypto_hourly_full": "hourly_full",
    "crypto_hourly_cleaned": "cleaned",
    "crypto_hourly_momentum": "momentum",
    "crypto_hourly_volatility": "volatility",
}
