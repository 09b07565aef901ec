"""`Finding` and `TimeRange`: severity, span and evidence of one defect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US

EVERY = "*"
"""The symbol of a finding that holds for every symbol alive at the time."""


class Severity(StrEnum):
    """How much a finding matters to who uses the numbers."""

    ERROR = "error"  # a number may be wrong, or is missing for this symbol alone
    WARNING = "warning"  # unusual, look before use
    INFO = "info"  # a fact of the source that nobody can mend

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True, order=True)
class TimeRange:
    """Half-open time span in microseconds since the epoch, UTC."""

    start: int
    end: int

    @property
    def hours(self) -> float:
        """Its length in hours."""
        return (self.end - self.start) / HOUR_US

    def __str__(self) -> str:
        start, end = utc(self.start), utc(self.end)
        if self.start % DAY_US == 0 and self.end % DAY_US == 0:
            last = end - timedelta(days=1)
            return f"{start:%Y-%m-%d}" + (f" .. {last:%Y-%m-%d}" if last > start else "")
        if self.end - self.start <= HOUR_US and self.start % HOUR_US == 0 == self.end % HOUR_US:
            return f"{start:%Y-%m-%d %H:%M}"
        same_day = start.date() == end.date()
        return f"{start:%Y-%m-%d %H:%M} .. " + (
            f"{end:%H:%M}" if same_day else f"{end:%Y-%m-%d %H:%M}"
        )


def utc(epoch_us: int) -> datetime:
    """Microseconds since the epoch as a UTC time."""
    return datetime.fromtimestamp(epoch_us // 1_000_000, UTC) + timedelta(
        microseconds=epoch_us % 1_000_000
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: what, where, expected, found, and the evidence.

    `series` is the archive type with its interval (`klines:1m`), or `final` for the table;
    `evidence` are archive keys or paths below the data root.
    """

    severity: Severity
    check: str
    series: str
    symbol: str
    period: TimeRange
    expected: str
    found: str
    evidence: tuple[str, ...] = ()

    @property
    def sort_key(self) -> tuple[object, ...]:
        """Worst first: severity, then the longest, then by name and time."""
        length = self.period.start - self.period.end
        return (self.severity.rank, length, self.check, self.series, self.symbol, self.period.start)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "severity": self.severity.value,
            "check": self.check,
            "series": self.series,
            "symbol": self.symbol,
            "period": str(self.period),
            "start": utc(self.period.start).isoformat(),
            "end": utc(self.period.end).isoformat(),
            "expected": self.expected,
            "found": self.found,
            "evidence": list(self.evidence),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finding:
        """Read the JSON form."""
        return cls(
            severity=Severity(data["severity"]),
            check=str(data["check"]),
            series=str(data["series"]),
            symbol=str(data["symbol"]),
            period=TimeRange(_us(data["start"]), _us(data["end"])),
            expected=str(data["expected"]),
            found=str(data["found"]),
            evidence=tuple(map(str, data["evidence"])),
        )


def _us(text: str) -> int:
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, worst first; the same order whatever order they came in."""
    return tuple(sorted(findings, key=lambda finding: (*finding.sort_key, finding.found)))


def runs(times: Iterable[int], step: int) -> list[TimeRange]:
    """Sorted bar starts joined into spans where they follow each other by `step`."""
    spans: list[TimeRange] = []
    for time in times:
        if spans and spans[-1].end == time:
            spans[-1] = TimeRange(spans[-1].start, time + step)
        else:
            spans.append(TimeRange(time, time + step))
    return spans


def counted(count: int, many: str) -> str:
    """A count with its noun, given as the plural: `1 row`, `2,000 rows`."""
    return f"{count:,} " + (many.removesuffix("s") if count == 1 else many)
