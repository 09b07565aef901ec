"""Which files a layer has, and of which symbol each is: one row a layer that can be queried."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.storage.layout import STAGES, Layout

HOURLY = {
    "aggtrades_1h": DataType.AGGTRADES,
    "klines_1h": DataType.KLINES,
    "mark_1h": DataType.MARK,
    "index_1h": DataType.INDEX,
    "premium_1h": DataType.PREMIUM,
    "funding_1h": DataType.FUNDING,
    "metrics_1h": DataType.METRICS,
}


@dataclass(frozen=True, slots=True)
class LayerFiles:
    """A folder of files whose symbol stands for the `*` of a pattern, or for the first of two.

    `{symbol}/{YYYY-MM}.parquet` is `*/*.parquet`; `{symbol}_metrics.csv` is `*_metrics.csv`.
    """

    name: str  # of the layer's view
    folder: Path
    pattern: str

    @property
    def any(self) -> Path | None:
        """Some file of the layer, None where it has none."""
        return next(self.folder.glob(self.pattern), None)

    @property
    def symbol(self) -> str:
        """A regular expression that finds the symbol, its only group, in a file's path."""
        parts = [re.escape(part) for part in self.pattern.split("*")]
        return "([^/]+)" + "[^/]+".join(parts[1:]) + "$"

    def by_symbol(self, names: Sequence[str] | None = None) -> dict[str, list[Path]]:
        """Symbol -> its files in order of time; all symbols in byte order, or of those named."""
        if not self.folder.is_dir():
            return {}
        head, _, tail = self.pattern.partition("/")
        suffix = head.removeprefix("*")
        there = {
            path.name.removesuffix(suffix): path
            for path in self.folder.iterdir()
            if path.name.endswith(suffix)
        }
        wanted = sorted(there) if names is None else [name for name in names if name in there]
        if not tail:
            return {name: [there[name]] for name in wanted}
        return {name: files for name in wanted if (files := sorted(there[name].glob(tail)))}


def minute_files(layout: Layout, data_type: DataType) -> LayerFiles:
    """The month files of minutes: 1m klines or condensed aggTrades."""
    is_flow = data_type is DataType.AGGTRADES
    name, interval = ("aggtrades_1m", "") if is_flow else ("klines_1m", "1m")
    return LayerFiles(name, layout.months(data_type, interval), "*/*.parquet")


def hourly_files(layout: Layout, data_type: DataType) -> LayerFiles:
    """The hourly CSVs of an archive type that has them (`HOURLY`)."""
    name = next(name for name, kind in HOURLY.items() if kind is data_type)
    return LayerFiles(name, layout.hourly(data_type), f"*_{data_type}.csv")


def layers(layout: Layout) -> Iterator[LayerFiles]:
    """Every layer with a file or more a symbol, in the order in which they are made."""
    for data_type in (DataType.KLINES, DataType.AGGTRADES):
        yield minute_files(layout, data_type)
    for data_type in HOURLY.values():
        yield hourly_files(layout, data_type)
    for stage, suffix in STAGES.items():
        yield LayerFiles(stage, layout.base / stage, f"*_{suffix}.csv")


def final_tables(layout: Layout) -> Iterator[tuple[str, Path]]:
    """Name and file of the wide table and its variants."""
    for table in sorted(layout.base.glob("final_dataset*_all.parquet")):
        yield "final" + table.stem.removeprefix("final_dataset").removesuffix("_all"), table
