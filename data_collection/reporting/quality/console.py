"""The findings on the console: by check and cause, the worst first, no more than a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from alphaqcm.data_collection.reporting.text import counted
from alphaqcm.pipeline.checks.finding import EVERY, Finding
from alphaqcm.pipeline.checks.table import SERIES as FINAL

NAMED = 4
"""Symbols and series named of a cause; of more only the number is told."""
AROUND = 6
"""Lines of a screen that the sums below, a prompt and the command itself take."""


@dataclass(slots=True)
class Cause:
    """Findings of one check that expect the same: `first` is the worst of them."""

    first: Finding
    count: int = 0
    symbols: dict[str, None] = field(default_factory=dict)
    series: dict[str, None] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """Worst first: severity; layers before the table made of them; many symbols; many."""
        of_table = self.first.series == FINAL
        return (self.first.severity.rank, of_table, -len(self.symbols), -self.count)


def causes(findings: Sequence[Finding]) -> list[Cause]:
    """The findings, worst first, by check and cause; the worst cause first."""
    found: dict[tuple[object, ...], Cause] = {}
    for one in findings:
        cause = found.setdefault((one.severity, one.check, one.expected), Cause(one))
        cause.count += 1
        cause.symbols[one.symbol] = None
        cause.series[one.series] = None
    return sorted(found.values(), key=lambda cause: cause.rank)


def screen(findings: Sequence[Finding], height: int, width: int | None) -> list[str]:
    """Two lines a cause, as many as `height` has room for; cut at `width`, None for no cut."""
    every = causes(findings)
    room = max(1, (height - AROUND) // 2)
    lines: list[str] = []
    for cause in every[:room]:
        lines += _lines(cause)
    if rest := every[room:]:
        left = sum(cause.count for cause in rest)
        more = counted(len(rest), "more cause")
        lines.append(f"… and {more} with {counted(left, 'finding')} (--json, --html)")
    return [_cut(line, width) for line in lines]


def _lines(cause: Cause) -> tuple[str, str]:
    first = cause.first
    where = f"{_named(list(cause.symbols))}: {_named(list(cause.series))}"
    head = f"{first.severity:<8} {first.check:<26} {counted(cause.count, 'finding'):>14}  {where}"
    whose = "" if cause.count == 1 or first.symbol == EVERY else f"{first.symbol} "
    example = "" if cause.count == 1 else "e.g. "
    told = f"{first.period}: found {first.found}; expected {first.expected}"
    return head, f"{'':<8} {example}{whose}{told}"


def _named(names: Sequence[str]) -> str:
    told = ["all symbols" if name == EVERY else name for name in names[:NAMED]]
    more = len(names) - NAMED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else line[: width - 1] + "…"
