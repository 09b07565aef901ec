"""The files of trading rules and funding rates, ready once a run time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from alphaqcm.data_collection.exchange.answers import SymbolInfo, trading_rules
from alphaqcm.data_collection.live.config import SaveType
from alphaqcm.data_collection.live.files.layout import EXGINFO, FUNDING
from alphaqcm.data_collection.live.files.ready_files import ReadyFiles
from alphaqcm.pipeline.domain.registry import Market

_TEXTS = ("symbol", "contract_type", "status", "base_asset", "quote_asset", "margin_asset")
_NUMBERS = ("price_tick", "lot_size", "min_notional_value")
_DECIMAL = pa.decimal128(38, 18)
_TIME = pa.timestamp("ns", "UTC")


class PremiumRow(msgspec.Struct):
    """One row of `premiumIndex`; `lastFundingRate` is empty for contracts that pay none."""

    symbol: str
    markPrice: str = ""  # noqa: N815
    indexPrice: str = ""  # noqa: N815
    lastFundingRate: str = ""  # noqa: N815
    nextFundingTime: int = 0  # noqa: N815
    time: int = 0


PREMIUM = msgspec.json.Decoder(list[PremiumRow])


class InfoFiles:
    """`exginfo` and `funding` of one live directory: parquet, and feather where that is asked."""

    def __init__(self, folder: Path, save_type: SaveType, *, fsync: bool) -> None:
        self.parquet = ReadyFiles(folder, SaveType.PARQUET, fsync)
        self._feather = save_type is SaveType.FEATHER

    def recover(self) -> None:
        """Make the folder, and clean up behind a killed process."""
        self.parquet.recover()

    def write_rules(self, infos: Iterable[SymbolInfo], market: Market, run_time_us: int) -> None:
        """Trading rules, one row a symbol; numbers are decimals, null where unknown."""
        rules = [trading_rules(info, market) for info in infos]
        columns = {
            name: pa.array([row.get(name) for row in rules], pa.string()) for name in _TEXTS
        } | {name: pa.array([_decimal(row.get(name)) for row in rules], _DECIMAL)
             for name in _NUMBERS}  # fmt: skip
        self._publish(EXGINFO, pa.table(columns), run_time_us)

    def write_funding(
        self, rows: Sequence[PremiumRow], symbols: Iterable[str], run_time_us: int
    ) -> None:
        """Funding rates and mark prices of the followed symbols; null where none is paid."""
        wanted = set(symbols)
        rows = sorted((row for row in rows if row.symbol in wanted), key=lambda row: row.symbol)
        columns = {
            "symbol": pa.array([row.symbol for row in rows], pa.string()),
            "funding_rate": _doubles(row.lastFundingRate for row in rows),
            "mark_price": _doubles(row.markPrice for row in rows),
            "index_price": _doubles(row.indexPrice for row in rows),
            "next_funding_time": _times(row.nextFundingTime for row in rows),
            "time": _times(row.time for row in rows),
        }
        self._publish(FUNDING, pa.table(columns), run_time_us)

    def _publish(self, name: str, table: pa.Table, run_time_us: int) -> None:
        def write(path: Path) -> None:
            pq.write_table(table, path, compression="none")
            if self._feather:
                beside = path.with_name(path.name + ".fea.tmp")
                feather.write_feather(table, beside, compression="uncompressed")
                beside.replace(self.parquet.folder / f"{name}.fea")

        self.parquet.publish(name, run_time_us, write)


def _decimal(value: Decimal | None) -> Decimal | None:
    return None if value is None else value.quantize(Decimal(1).scaleb(-18))


def _doubles(texts: Iterable[str]) -> pa.Array:
    return pa.array([float(text) if text else None for text in texts], pa.float64())


def _times(moments_ms: Iterable[int]) -> pa.Array:
    ns = [moment * 1_000_000 if moment else None for moment in moments_ms]
    return pa.array(ns, pa.int64()).cast(_TIME)
