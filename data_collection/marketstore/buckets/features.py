"""The wide table as a bucket: `BTCUSDT/1H/FEATURES`, all its numeric columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from alphaqcm.data_collection.marketstore.bucket_key import BucketKey
from alphaqcm.data_collection.marketstore.buckets.model import Bucket, Wanted
from alphaqcm.data_collection.marketstore.dataset import EPOCH, Column, Rows
from alphaqcm.data_collection.serving.layer_reader import LayerReader
from alphaqcm.data_collection.serving.lazy_symbols import Cut
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import PipelineError
from alphaqcm.pipeline.features.columns import REGISTRY, DType

FEATURES: Final = "FEATURES"
HOUR: Final = "1H"
COLUMNS: Final = (
    Column(EPOCH, "i8"),
    *(
        Column(name, "f8")
        for name, spec in REGISTRY.items()
        if spec.dtype not in (DType.STRING, DType.TIME)
    ),
)
"""The hour's start, then the table's columns; counts and flags as doubles, null as NaN."""


@dataclass(frozen=True, slots=True)
class FeatureBucket:
    """One symbol's rows of the wide table."""

    key: BucketKey
    symbol: Symbol
    reader: LayerReader

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the table."""
        return COLUMNS

    def most_rows(self, wanted: Wanted) -> int:
        """As many as the symbol has hours in the range."""
        rows = self._frame(wanted).select(pl.len()).collect().item()
        return int(rows) if wanted.limit is None else min(int(rows), wanted.limit)

    def read(self, wanted: Wanted, names: Sequence[str]) -> Rows:
        """Every hour that the table has, valid for training or not."""
        numbers = [name for name in names if name != EPOCH]
        frame = (
            self._frame(wanted)
            .select(
                pl.col("datetime").dt.epoch("s").alias(EPOCH),
                *(pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in numbers),
            )
            .collect()
        )
        return wanted.cut({name: frame[name].to_numpy() for name in names})

    def _frame(self, wanted: Wanted) -> pl.LazyFrame:
        return self.reader.final(Cut((self.symbol,), wanted.start_us, wanted.stop_us))


@dataclass(frozen=True, slots=True)
class FeatureSource:
    """The wide table of a data root; it is of USDT-margined futures."""

    reader: LayerReader
    prefix: str = ""

    def find(self, key: BucketKey) -> Bucket | None:
        """The bucket, where the table has the symbol."""
        if (key.timeframe, key.group) != (HOUR, FEATURES) or not key.symbol.startswith(self.prefix):
            return None
        symbol = Symbol(Market.UM, key.symbol.removeprefix(self.prefix))
        if symbol.table not in self._held():
            return None
        return FeatureBucket(key, symbol, self.reader)

    def symbols(self) -> set[str]:
        """Those of the table, under the exchange's names."""
        return {self.prefix + Symbol.parse(name, Market.UM).exchange for name in self._held()}

    def every_key(self) -> Iterator[BucketKey]:
        """One bucket a symbol."""
        for symbol in self.symbols():
            yield BucketKey(symbol, HOUR, FEATURES)

    def _held(self) -> list[str]:
        if not self.reader.layout.final_table().exists():
            return []
        try:
            return self.reader.final_symbols()
        except PipelineError:
            return []  # a table that cannot be read is told by `alphaqcm check`
