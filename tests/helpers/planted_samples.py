"""The sample in which the trap tests plant things, and what they compare it by."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from alphaqcm.data_collection.simulation.sample import SampleSpec
from alphaqcm.pipeline.domain.registry import DataType
from tests.helpers.sample_files import series, tree

ETH, SOL = "ETHUSDT", "SOLUSDT"
BASE = SampleSpec(symbols=(ETH, SOL), days=2, seed=5, trades_per_day=1_500)  # 2024-02-28 and 29
DAY = date(2024, 2, 29)
TRADES = series(DataType.AGGTRADES, ETH)
MINUTES = series(DataType.KLINES, ETH, "1m")
HOURS = series(DataType.KLINES, ETH, "1h")
FUNDING = series(DataType.FUNDING, ETH)
METRICS = series(DataType.METRICS, ETH)
FEBRUARY = "2024-02"


def at(hour: int, minute: int = 0, day_of_month: int = 29) -> datetime:
    return datetime(2024, 2, day_of_month, hour, minute, tzinfo=UTC)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def changed(clean: Path, planted: Path) -> set[str]:
    """Names of the ZIPs that differ from the clean sample's, or are in one of them only."""
    before, after = tree(clean), tree(planted)
    return {
        Path(name).name
        for name in before.keys() | after.keys()
        if name.endswith(".zip") and before.get(name) != after.get(name)
    }
