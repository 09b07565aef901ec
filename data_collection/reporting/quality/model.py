"""The report as one value: everything the JSON file and the page tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from alphaqcm.pipeline.checks.finding import Finding, Severity


@dataclass(frozen=True, slots=True)
class Coverage:
    """Share of a series' expected rows that are there, by symbol and month; None: no life then."""

    series: str
    months: tuple[str, ...]
    shares: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """aggTrades against klines, one symbol over all months: hours by how well they agree."""

    hours: int = 0
    exact: int = 0
    rounding: int = 0
    mismatched: int = 0
    one_sided: int = 0  # hours that only one of the two layers has
    months_without: tuple[str, ...] = ()  # months that could not be compared


@dataclass(frozen=True, slots=True)
class ColumnRow:
    """One column of the final table."""

    name: str
    group: str
    nulls: int
    infinite: int
    low: float | None
    high: float | None
    first_valid: str
    last_valid: str


@dataclass(frozen=True, slots=True)
class Distribution:
    """A key factor: values at some quantiles, and a histogram between the 1 % and 99 % ones."""

    column: str
    unit: str
    values: int
    quantiles: Mapping[str, float]
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TableSummary:
    """The final table in figures."""

    path: str
    rows: int
    columns: tuple[ColumnRow, ...]
    null_shares: Mapping[str, Mapping[str, float]]  # column group -> symbol -> share of nulls
    symbols: Mapping[str, tuple[int, str, str]]  # symbol -> rows, first, last
    distributions: tuple[Distribution, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the numbers come from."""

    command: str
    versions: Mapping[str, str]
    source: str
    inputs: int  # archive files that went into the layers
    inputs_sha256: str  # of the sorted lines "key sha256" of all of them
    by_series: Mapping[str, int]  # archive files per series
    table_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What `alphaqcm check` found; `findings` worst first."""

    created_at: str
    market: str
    start: str
    end: str
    symbols: tuple[str, ...]
    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...]
    reconciled: Mapping[str, Reconciled]
    provenance: Provenance
    table: TableSummary | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Findings by severity, worst first, zeros included."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity.value: found[severity] for severity in Severity}

    @property
    def verdict(self) -> str:
        """The worst severity found, `clean` where nothing was."""
        return self.findings[0].severity.value if self.findings else "clean"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        plain = asdict(self)
        plain["findings"] = [finding.to_dict() for finding in self.findings]
        return {"verdict": self.verdict, "counts": self.counts, **plain}
