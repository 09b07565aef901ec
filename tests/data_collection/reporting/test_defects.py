"""Every defect planted once in a simulated archive: exactly its findings, in the right place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.data_collection.simulation.sample import defects as traps
from alphaqcm.data_collection.simulation.sample.defects import Flaw, Trap, Where
from alphaqcm.pipeline.checks.finding import Severity, TimeRange
from alphaqcm.pipeline.domain.registry import DataType, Partition
from tests.helpers.built_root import checked, settings_of, walk

pytestmark = pytest.mark.slow

START, LAST = date(2024, 2, 22), date(2024, 2, 29)
BARS = (
    "klines:1m",
    "klines:1h",
    "markPriceKlines:1h",
    "indexPriceKlines:1h",
    "premiumIndexKlines:1h",
)
MINUTES, HOURS, MARK, INDEX = BARS[:4]


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2024, 2, day, hour, minute, tzinfo=UTC)


@dataclass(frozen=True)
class Planted:
    """One defect: the symbol's name says which, the findings are (check, series, period)."""

    name: str
    traps: tuple[Trap, ...]
    findings: frozenset[tuple[str, str, str]]


def planted(name: str, *what: Trap, finds: Sequence[tuple[str, str, str]] = ()) -> Planted:
    return Planted(name, what, frozenset(finds))


TEN = 600_000_000  # microseconds
MONTH = "2024-02-22 .. 2024-02-29"
TWO_HOURS = "2024-02-24 03:00 .. 05:00"

MATRIX = [
    planted("CLEANUSDT"),
    planted(
        "OUTAGEUSDT",
        traps.Outage(at(24, 3), at(24, 5), "OUTAGEUSDT"),
        finds=[
            *(("missing-bars", series, TWO_HOURS) for series in BARS),
        ],
    ),
    planted(
        "MINUTESUSDT",
        traps.MissingRows(
            Where("MINUTESUSDT", DataType.KLINES, interval="1m"), at(25, 10, 10), at(25, 10, 20)
        ),
        finds=[
            ("missing-bars", MINUTES, "2024-02-25 10:10 .. 10:20"),
            ("aggtrades-klines-mismatch", "aggTrades", "2024-02-25 10:00"),
            ("hours-differ-from-minutes", HOURS, "2024-02-25 10:00"),
        ],
    ),
    planted(
        "HOLEUSDT",
        traps.MissingRows(Where("HOLEUSDT", DataType.KLINES, interval="1m"), at(24), at(27)),
        finds=[
            ("missing-bars", MINUTES, "2024-02-24 .. 2024-02-26"),
            ("klines-hours-missing", "aggTrades", "2024-02-24 .. 2024-02-26"),
        ],
    ),
    planted(
        "SWAPUSDT",
        traps.SwappedColumns(Where("SWAPUSDT", DataType.MARK), at(25, 7), at(25, 8)),
        finds=[("ohlc-disorder", MARK, "2024-02-25 07:00")],
    ),
    planted(
        "VOLUMEUSDT",
        traps.Altered(
            Where("VOLUMEUSDT", DataType.KLINES, interval="1m"),
            ("volume",),
            at(25, 7),
            at(25, 9),
            1.5,
        ),
        finds=[
            ("aggtrades-klines-mismatch", "aggTrades", "2024-02-25 07:00 .. 09:00"),
            ("hours-differ-from-minutes", HOURS, "2024-02-25 07:00 .. 09:00"),
        ],
    ),
    planted(
        "TRADESUSDT",
        traps.Altered(
            Where("TRADESUSDT", DataType.AGGTRADES), ("quantity",), at(25, 7), at(25, 8), 3.0
        ),
        finds=[("aggtrades-klines-mismatch", "aggTrades", "2024-02-25 07:00")],
    ),
    planted(
        "MARKUSDT",
        traps.Altered(Where("MARKUSDT", DataType.MARK), traps.PRICES, at(26, 1), at(26, 3), 1.2),
        finds=[("price-divergence", MARK, "2024-02-26 01:00 .. 03:00")],
    ),
    planted(
        "INDEXUSDT",
        traps.Altered(Where("INDEXUSDT", DataType.INDEX), traps.PRICES, at(26, 1), at(26, 2), 0.8),
        finds=[("price-divergence", INDEX, "2024-02-26 01:00")],
    ),
    planted(
        "DOUBLEUSDT",
        traps.DuplicateRows(Where("DOUBLEUSDT", DataType.KLINES, date(2024, 2, 25), "1m")),
        finds=[("duplicate-rows", MINUTES, MONTH)],
    ),
    planted(
        "TWICEUSDT",
        traps.DuplicateRows(Where("TWICEUSDT", DataType.AGGTRADES, date(2024, 2, 25))),
        finds=[("duplicate-rows", "aggTrades", MONTH)],
    ),
    planted(
        "METDUPUSDT",
        traps.DuplicateRows(Where("METDUPUSDT", DataType.METRICS, date(2024, 2, 25))),
        finds=[("metrics-doubled", "metrics", "2024-02-25")],
    ),
    planted(
        "MIXEDUSDT",
        traps.UnsortedRows(Where("MIXEDUSDT", DataType.KLINES, date(2024, 2, 25), "1m")),
        finds=[("rows-unsorted", MINUTES, MONTH)],
    ),
    planted("METMIXUSDT", traps.UnsortedRows(Where("METMIXUSDT", DataType.METRICS))),
    planted(
        "GRIDUSDT",
        traps.ShiftedTimes(
            Where("GRIDUSDT", DataType.KLINES, date(2024, 2, 25), "1m"), at(25, 6, 30), 7_000
        ),
        finds=[("off-grid-times", MINUTES, "2024-02-25 06:30 .. 06:40")],
    ),
    planted(
        "DEADUSDT",
        traps.Delisted("DEADUSDT", at(25)),
        finds=[
            ("bars-after-delisting", MINUTES, "2024-02-25 .. 2024-02-29"),
            ("bars-after-delisting", HOURS, "2024-02-25 .. 2024-02-29"),
            ("funding-without-market", "fundingRate", "2024-02-26 00:00 .. 2024-02-29 17:00"),
        ],
    ),
    planted(
        "GONEUSDT",
        traps.Delisted("GONEUSDT", at(25), bars_go_on=False, funding_goes_on=False),
        finds=[("ends-early", MINUTES, "2024-02-25 .. 2024-02-29")],
    ),
    planted(
        "AGAINUSDT",
        traps.Delisted("AGAINUSDT", at(24)),
        traps.Relisted("AGAINUSDT", at(27)),
        finds=[
            ("relisted", MINUTES, "2024-02-24 .. 2024-02-26"),
            ("relisted", HOURS, "2024-02-24 .. 2024-02-26"),
            ("funding-without-market", "fundingRate", "2024-02-25 08:00 .. 17:00"),
        ],
    ),
    planted(
        "BTCUSDT",
        traps.Frozen("BTCUSDT", at(25, 2), at(25, 12)),
        finds=[("frozen-price", MINUTES, "2024-02-25 02:00 .. 12:00")],
    ),
    planted(
        "JUMPUSDT",
        traps.Jump("JUMPUSDT", at(25, 2, 30), 2.5),
        finds=[
            ("price-jump", MINUTES, "2024-02-25 02:30 .. 02:40"),
            ("price-jump", HOURS, "2024-02-25 02:00"),
        ],
    ),
    planted(
        "EVERY4USDT",
        traps.FundingChange("EVERY4USDT", at(25, 8), 4),
        finds=[("funding-interval-changed", "fundingRate", "2024-02-25 08:00")],
    ),
    planted(
        "UNPAIDUSDT",
        traps.MissingRows(Where("UNPAIDUSDT", DataType.FUNDING), at(25, 8), at(25, 9)),
        finds=[("funding-missing", "fundingRate", "2024-02-25 08:00 .. 16:00")],
    ),
    planted(
        "NOMETUSDT",
        traps.MissingDay(Where("NOMETUSDT", DataType.METRICS, date(2024, 2, 25))),
        finds=[("metrics-days-absent", "metrics", "2024-02-25")],
    ),
    planted(
        "FEWMETUSDT",
        traps.MissingRows(Where("FEWMETUSDT", DataType.METRICS), at(25, 3), at(25, 4)),
        finds=[("metrics-rows", "metrics", "2024-02-25")],
    ),
    planted(
        "ZEROOIUSDT",
        traps.Altered(
            Where("ZEROOIUSDT", DataType.METRICS), traps.OPEN_INTEREST, at(25, 3), at(25, 4), 0.0
        ),
        finds=[("metrics-zero-open-interest", "metrics", "2024-02-25 03:00")],
    ),
    planted(
        "IDGAPUSDT",
        traps.IdGap("IDGAPUSDT", at(25, 12)),
        finds=[("trade-id-gap", "aggTrades", MONTH)],
    ),
    planted(
        "ZEROQTYUSDT",
        traps.ZeroQuantity("ZEROQTYUSDT", date(2024, 2, 25)),
        finds=[("zero-quantities", "aggTrades", MONTH)],
    ),
    planted(
        "SAMEIDUSDT",
        traps.RepeatedIds("SAMEIDUSDT", date(2024, 2, 25)),
        finds=[("trade-ids-shared", "aggTrades", MONTH)],
    ),
    planted(
        "STREAMSUSDT",
        traps.InterleavedIds(Where("STREAMSUSDT", DataType.AGGTRADES, date(2024, 2, 25))),
        finds=[("trade-id-gap", "aggTrades", MONTH)],
    ),
    planted(
        "NOTRADESUSDT",
        traps.MissingDay(Where("NOTRADESUSDT", DataType.AGGTRADES, date(2024, 2, 25))),
        finds=[
            ("aggtrades-hours-missing", "aggTrades", "2024-02-25"),
            ("trade-id-gap", "aggTrades", MONTH),
        ],
    ),
    planted(
        "PATCHUSDT",
        traps.MissingDay(
            Where("PATCHUSDT", DataType.KLINES, date(2024, 2, 25), "1m", Partition.MONTHLY)
        ),
        finds=[("day-taken-from-daily-file", MINUTES, "2024-02-25")],
    ),
    planted(
        "LATEUSDT",
        traps.Listed("LATEUSDT", at(24, 10)),
        finds=[("starts-late", MINUTES, "2024-02-22 00:00 .. 2024-02-24 10:00")],
    ),
    planted(
        "NOMARKUSDT",
        traps.FileTrap(Where("NOMARKUSDT", DataType.MARK), Flaw.ABSENT),
        finds=[("series-absent", MARK, MONTH)],
    ),
    planted(
        "CUTUSDT",
        traps.FileTrap(Where("CUTUSDT", DataType.METRICS, date(2024, 2, 25)), Flaw.CUT_ZIP),
        finds=[
            ("file-unusable", "metrics", "2024-02-25"),
            ("metrics-days-absent", "metrics", "2024-02-25"),
        ],
    ),
    planted(
        "CORRUPTUSDT",
        traps.FileTrap(
            Where("CORRUPTUSDT", DataType.METRICS, date(2024, 2, 25)), Flaw.WRONG_CHECKSUM
        ),
        finds=[
            ("file-unusable", "metrics", "2024-02-25"),
            ("metrics-days-absent", "metrics", "2024-02-25"),
        ],
    ),
    planted(
        "HEADERUSDT",
        traps.FileTrap(Where("HEADERUSDT", DataType.METRICS, date(2024, 2, 25)), Flaw.EXTRA_COLUMN),
        finds=[
            ("file-unusable", "metrics", "2024-02-25"),
            ("metrics-days-absent", "metrics", "2024-02-25"),
        ],
    ),
    planted(
        "SPELLINGUSDT",
        traps.FileTrap(Where("SPELLINGUSDT"), Flaw.NO_HEADER),
        traps.FileTrap(Where("SPELLINGUSDT"), Flaw.CRLF),
        traps.FileTrap(Where("SPELLINGUSDT"), Flaw.MICROSECONDS),
    ),
]


def test_each_defect_gives_its_findings_and_no_others(tmp_path: Path) -> None:
    spec = SampleSpec(
        symbols=tuple(one.name for one in MATRIX),
        start=START,
        days=(LAST - START).days + 1,
        trades_per_day=12_000,
        compression=1,
        traps=tuple(trap for one in MATRIX for trap in one.traps),
    )
    write_sample(tmp_path / "source", spec)
    settings = settings_of(spec, tmp_path / "source", tmp_path / "root")
    walk(settings, months_only=True)
    report = checked(settings)

    found: dict[str, set[tuple[str, str, str]]] = {one.name: set() for one in MATRIX}
    for finding in report.findings:
        found[finding.symbol].add((finding.check, finding.series, tens(finding.period)))
    assert found == {
        one.name: {(check, series, when) for check, series, when in one.findings} for one in MATRIX
    }
    hole = [one for one in report.findings if one.symbol == "HOLEUSDT"]
    assert {one.severity for one in hole} == {Severity.ERROR}
    day = next(one for one in report.findings if one.check == "metrics-rows")
    assert day.evidence == (
        "data/futures/um/daily/metrics/FEWMETUSDT/FEWMETUSDT-metrics-2024-02-25.zip",
    )


def tens(period: TimeRange) -> str:
    """The period to ten minutes: what trades show is seen at the first trade that shows it."""
    start, end = (round(moment / TEN) * TEN for moment in (period.start, period.end))
    return str(TimeRange(start, max(end, start + TEN)))
