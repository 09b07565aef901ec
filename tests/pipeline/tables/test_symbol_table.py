"""A symbol's table from month files on disk."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.features.factors.assemble import NEEDED
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.symbol_table import (
    INPUT_TYPES,
    build_symbol_table,
    read_inputs,
    table_fingerprint,
    write_symbol_table,
)
from alphaqcm.pipeline.tables.wide_table import build_complete, build_final
from tests.helpers import factor_data as data

SPAN = DateRange(date(2024, 1, 29), date(2024, 2, 3))
TIMES = {
    "klines": "minute",
    "aggtrades": "minute",
    "mark": "open_time",
    "index": "open_time",
    "premium": "open_time",
    "funding": "calc_time",
    "metrics": "file_date",
}


def write_months(layout: Layout, skip: str = "") -> None:
    """The simulated inputs as month files, cut where the archive's files are cut."""
    given = data.inputs(SPAN)
    for field, (kind, interval) in INPUT_TYPES.items():
        for month in (date(2024, 1, 1), date(2024, 2, 1)):
            frame = getattr(given, field)
            rows = frame.filter(pl.col(TIMES[field]).dt.month() == month.month)
            path = layout.month_file(kind, interval, data.SYMBOL.exchange, Period.month(month))
            if field != skip:
                Artifact(path, Fingerprint(field, month.month, ())).write(rows, {})


def test_month_files_give_the_table_of_their_rows(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_months(layout)
    found = build_symbol_table(data.SYMBOL, read_inputs(layout, data.SYMBOL, SPAN), SPAN)
    wanted = build_symbol_table(data.SYMBOL, data.inputs(SPAN), SPAN)
    assert found.frame.equals(wanted.frame)
    assert found.report == wanted.report
    assert found.report.metrics_last == "2024-02-03 23:00:00+00:00"


@pytest.mark.parametrize("absent", [field for field in NEEDED if field != "klines"])
def test_a_type_without_files_leaves_its_columns_null(tmp_path: Path, absent: str) -> None:
    layout = Layout(tmp_path)
    write_months(layout, skip=absent)
    frame = build_symbol_table(data.SYMBOL, read_inputs(layout, data.SYMBOL, SPAN), SPAN).frame
    column = {
        "aggtrades": "at_trade_count",
        "funding": "arb_pressure",
        "metrics": "oi_delta",
        "index": "triad_basis",
    }.get(absent, f"triad_{absent}_close")
    assert frame[column].null_count() == frame.height > 100
    assert frame["close"].null_count() == 0


def test_only_recent_months_are_read_for_recent_rows(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_months(layout)
    recent = read_inputs(layout, data.SYMBOL, SPAN, date(2024, 2, 3))
    assert [piece["minute"].dt.month().unique().to_list() for piece in recent.klines] == [[2]]
    border = read_inputs(layout, data.SYMBOL, SPAN, date(2024, 2, 1))
    assert len(list(border.klines)) == 2  # a settlement of the last day of January still counts


def test_a_torn_month_file_is_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_months(layout)
    kind, interval = INPUT_TYPES["klines"]
    path = layout.month_file(kind, interval, "BTCUSDT", Period.month(SPAN.end))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LayerError, match=r"klines_1m_parquet/BTCUSDT/2024-02\.parquet"):
        build_symbol_table(data.SYMBOL, read_inputs(layout, data.SYMBOL, SPAN), SPAN)


def test_the_table_is_current_until_a_month_file_changes(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_months(layout)
    fingerprint = table_fingerprint(layout, data.SYMBOL, SPAN)
    table = build_symbol_table(data.SYMBOL, read_inputs(layout, data.SYMBOL, SPAN), SPAN)
    path = write_symbol_table(table, layout, data.SYMBOL, fingerprint)
    assert Artifact(path, table_fingerprint(layout, data.SYMBOL, SPAN)).is_current()
    kind, interval = INPUT_TYPES["mark"]
    mark = layout.month_file(kind, interval, "BTCUSDT", Period.month(SPAN.end))
    Artifact(mark, Fingerprint("mark", 99, ())).write(pl.read_parquet(mark), {})
    assert not Artifact(path, table_fingerprint(layout, data.SYMBOL, SPAN)).is_current()


def test_a_gate_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    table = build_symbol_table(data.SYMBOL, data.inputs(SPAN), SPAN)

    class Refused(Exception):
        pass

    def gate() -> None:
        raise Refused

    with pytest.raises(Refused):
        write_symbol_table(table, layout, data.SYMBOL, Fingerprint("t", 1, ()), gate)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_metrics_complete_is_told_by_the_last_day_with_metrics(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_months(layout)
    inputs = read_inputs(layout, data.SYMBOL, SPAN)
    table = build_symbol_table(data.SYMBOL, inputs, SPAN)
    write_symbol_table(table, layout, data.SYMBOL, Fingerprint("t", 1, ()))
    build_final(layout, [data.SYMBOL], SPAN)
    assert build_complete(layout, SPAN)[1] == ()
