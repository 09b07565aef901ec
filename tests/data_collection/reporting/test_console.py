"""The findings on the console."""

from __future__ import annotations

from alphaqcm.data_collection.reporting.quality.console import causes, screen
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange, worst_first
from alphaqcm.pipeline.domain.time import DAY_US, HOUR_US

YEAR = TimeRange(0, 365 * DAY_US)


def all_null(column: str) -> Finding:
    found = f"{column}: null in every row"
    return Finding(Severity.WARNING, "column-all-null", "final", "*", YEAR, "values", found)


def missing(symbol: str, days: int, start: int = 0) -> Finding:
    period = TimeRange(start, start + days * DAY_US)
    expected, found = "bars without a gap", f"{24 * days} h missing"
    return Finding(Severity.ERROR, "missing-bars", "klines:1m", symbol, period, expected, found)


def jump(symbol: str) -> Finding:
    period = TimeRange(0, HOUR_US)
    expected, found = "a log return of at most 0.5", "+0.7"
    return Finding(Severity.WARNING, "price-jump", "klines:1m", symbol, period, expected, found)


MANY = [all_null(f"c{number}") for number in range(90)]


def test_the_worst_cause_comes_first_however_many_others_there_are() -> None:
    findings = worst_first([*MANY, missing("AUSDT", 29)])
    lines = screen(findings, 24, None)
    assert lines[0].split() == ["error", "missing-bars", "1", "finding", "AUSDT:", "klines:1m"]
    assert "1970-01-01 .. 1970-01-29: found 696 h missing" in lines[1]
    assert lines[2].split()[:4] == ["warning", "column-all-null", "90", "findings"]
    assert len(lines) == 4


def test_causes_of_the_layers_come_before_those_of_the_table() -> None:
    found = causes(worst_first([*MANY, jump("AUSDT")]))
    assert [one.first.check for one in found] == ["price-jump", "column-all-null"]


def test_a_cause_of_many_symbols_comes_before_one_of_a_single_one() -> None:
    findings = [missing(f"S{n}USDT", 1) for n in range(6)] + [jump("A"), jump("B")]
    twice = [missing("S0USDT", 2, DAY_US * 9)]
    [worst, other] = causes(worst_first([*findings, *twice]))
    assert (worst.first.check, worst.count, len(worst.symbols)) == ("missing-bars", 7, 6)
    assert worst.first.period.hours == 48  # the longest is the example
    assert other.count == 2


def test_what_has_no_room_is_counted() -> None:
    findings = []
    for number in range(30):
        one = missing("AUSDT", 1)
        findings.append(
            Finding(one.severity, f"check-{number:02}", one.series, one.symbol, YEAR, "x", "y")
        )
    lines = screen(worst_first(findings), 24, None)
    assert len(lines) <= 24
    assert lines[-1] == "… and 21 more causes with 21 findings (--json, --html)"


def test_lines_are_cut_at_the_screens_width() -> None:
    lines = screen(worst_first([*MANY, missing("AUSDT", 29)]), 24, 60)
    assert max(map(len, lines)) == 60
    assert lines[1].endswith("…")


def test_nothing_found_is_no_line() -> None:
    assert screen([], 24, 80) == []
