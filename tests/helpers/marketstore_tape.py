"""A simulated exchange that plays an archive, and the part of it that the archive has published."""

from __future__ import annotations

import functools
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from alphaqcm.data_collection.simulation.exchange import Exchange, ExchangeSpec
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.helpers.simulated_exchange import truth

SYMBOLS = ("BTCUSDT", "ETHUSDT")
FIRST = date(2024, 2, 27)
NOW = datetime(2024, 2, 29, 2, 30, tzinfo=UTC)
FIRST_MS = int(datetime(2024, 2, 27, tzinfo=UTC).timestamp() * 1000)
NOW_MS = int(NOW.timestamp() * 1000)
_SPEC: dict[str, Any] = {"symbols": SYMBOLS, "days": 3, "trades_per_day": 1500, "compression": 1}


@functools.cache
def _made() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="alphaqcm-test-")
    write_sample(Path(folder.name) / "tape", SampleSpec(**_SPEC))
    write_sample(Path(folder.name) / "published", SampleSpec(**_SPEC, published=date(2024, 2, 28)))
    return folder


def published() -> Path:
    """What the archive has of the tape: the day before the last two."""
    return Path(_made().name) / "published"


def exchange(**words: Any) -> Exchange:
    """The tape from two and a half hours into its last day."""
    spec = {"tape": Path(_made().name) / "tape", "start_ms": NOW_MS, "speed": 1.0, **words}
    return Exchange(ExchangeSpec(**spec))


def true_minutes(server: Exchange, symbol: str, end_ms: int) -> pl.DataFrame:
    """The exchange's minutes from FIRST to `end_ms`."""
    return truth(server, "um", symbol, FIRST_MS, end_ms, "1m")
