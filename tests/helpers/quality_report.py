"""A quality report with something in every section."""

from __future__ import annotations

from datetime import date

from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.data_collection.reporting.quality.model import (
    ColumnRow,
    Coverage,
    Distribution,
    Provenance,
    Reconciled,
    Report,
    TableSummary,
)
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange
from alphaqcm.pipeline.domain.time import epoch_us

SYMBOLS = ("BTCUSDT", "币安人生USDT", "<b>ODD&USDT")
DAY = TimeRange(epoch_us(date(2024, 2, 9)), epoch_us(date(2024, 2, 10)))
KEY = "data/futures/um/daily/klines/币安人生USDT/1m/币安人生USDT-1m-2024-02-09.zip"


def finding(check: str, severity: Severity, symbol: str = SYMBOLS[1]) -> Finding:
    return Finding(severity, check, "klines:1m", symbol, DAY, "bars", "5 h missing", (KEY,))


def full_report() -> Report:
    """A report with something in every section, and names that HTML must escape."""
    groups = {"base bar": 0.0, "derived": 0.25}
    return Report(
        created_at="2024-03-01T00:00:00+00:00",
        market="um",
        start="2024-01-01",
        end="2024-02-29",
        symbols=SYMBOLS,
        findings=(
            finding("missing-bars", Severity.ERROR),
            finding("price-jump", Severity.WARNING, SYMBOLS[2]),
            finding("exchange-outage", Severity.INFO, "*"),
        ),
        coverage=(
            Coverage(
                "klines:1m",
                ("2024-01", "2024-02"),
                {name: (1.0, 0.5 if i else None) for i, name in enumerate(SYMBOLS)},
            ),
        ),
        reconciled={name: Reconciled(100, 60, 30, 8, 2, ("2024-02",)) for name in SYMBOLS},
        provenance=Provenance(
            "alphaqcm check", {"polars": "2"}, OFFICIAL_SOURCE, 7, "ab", {"metrics": 7}
        ),
        table=TableSummary(
            path="final_dataset_all.parquet",
            rows=4320,
            columns=(ColumnRow("close", "base bar", 1, 0, 1.5, 2.5, "2024-01-01 00:00", ""),),
            null_shares={group: dict.fromkeys(SYMBOLS, share) for group, share in groups.items()},
            symbols=dict.fromkeys(SYMBOLS, (1440, "2024-01-01 00:00", "2024-02-29 23:00")),
            distributions=(
                Distribution("returns_1h", "fraction", 9, {"50%": 0.1}, (0.0, 0.5, 1.0), (4, 5)),
            ),
        ),
    )
