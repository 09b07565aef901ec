"""The final table: cross-section, file, CSVs, variants."""

from __future__ import annotations

import math
import os
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import LayerError, TableError, Undefined
from alphaqcm.pipeline.features.columns import COLUMNS, SYMBOL_COLUMNS, schema
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.final_csv import read_final_csvs, write_final_csvs
from alphaqcm.pipeline.tables.symbol_table import SymbolTable, write_symbol_table
from alphaqcm.pipeline.tables.table_file import TableOptions, held_symbols, read_table, write_table
from alphaqcm.pipeline.tables.wide_table import build_complete, build_final
from tests.conftest import PROJECT
from tests.helpers import factor_data as data

NAMES = ["1000SHIB_USDT:USDT", "AAA_USDT:USDT", "ZZZ_USDT:USDT"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> data.SmallRoot:
    return data.small_root(tmp_path_factory.mktemp("original"))


@pytest.fixture
def root(original: data.SmallRoot, tmp_path: Path) -> data.SmallRoot:
    folder = shutil.copytree(original.layout.root, tmp_path / "root")
    return replace(original, layout=Layout(folder))


@pytest.fixture
def built(root: data.SmallRoot) -> data.SmallRoot:
    build_final(root.layout, root.symbols, root.span)
    return root


def final(root: data.SmallRoot, variant: str = "") -> pl.DataFrame:
    return pl.read_parquet(root.layout.final_table(variant))


def test_rows_are_sorted_by_symbol_and_time(built: data.SmallRoot) -> None:
    frame = final(built)
    assert frame.columns == list(COLUMNS)
    assert frame["symbol"].unique(maintain_order=True).to_list() == NAMES
    keys = frame.select("symbol", "datetime")
    assert keys.equals(keys.sort("symbol", "datetime"))
    assert keys.is_unique().all()


def test_own_columns_are_those_of_the_symbol_tables(built: data.SmallRoot) -> None:
    frame = final(built)
    for name in NAMES:
        own = frame.filter(pl.col("symbol") == name).select(SYMBOL_COLUMNS)
        assert own.equals(built.tables[name].frame)


def test_cross_section_agrees_with_the_definitions(built: data.SmallRoot) -> None:
    rows = final(built).to_dicts()
    at: dict[object, list[dict[str, object]]] = defaultdict(list)
    for row in rows:
        at[row["datetime"]].append(row)
    listed = {name: min(row["datetime"] for row in rows if row["symbol"] == name) for name in NAMES}
    sizes = set()
    for row in rows:
        now = at[row["datetime"]]
        sizes.add(len(now))
        assert row["cs_universe_size"] == len(now)
        assert row["cs_coverage_frac"] == len(now) / 3
        seen = sum(first <= row["datetime"] for first in listed.values())
        assert row["cs_coverage_frac_pit"] == len(now) / seen
        rates = [other["funding_rate"] for other in now if other["funding_rate"] is not None]
        if row["funding_rate"] is None:
            assert row["funding_pressure"] is None
        else:
            pressure = row["funding_rate"] - statistics.median(rates)
            assert row["funding_pressure"] == pytest.approx(pressure, abs=1e-18)
        mean = math.fsum(other["volume"] for other in now) / len(now)
        if mean == 0:
            assert row["relative_volume"] is None
        else:
            assert row["relative_volume"] == pytest.approx(row["volume"] / mean, rel=1e-12)
    assert sizes == {1, 2, 3}


def test_order_of_symbols_changes_no_byte(built: data.SmallRoot) -> None:
    path = built.layout.final_table()
    before = path.read_bytes()
    path.unlink()
    build_final(built.layout, built.symbols[::-1], built.span)
    assert path.read_bytes() == before


def test_a_current_table_is_not_built_again(built: data.SmallRoot) -> None:
    before = built.layout.final_table().stat()
    again = build_final(built.layout, built.symbols, built.span)
    assert not again.built
    assert built.layout.final_table().stat().st_ino == before.st_ino
    assert [rows.symbol for rows in again.symbols] == NAMES
    assert again.rows == final(built).height


@pytest.mark.parametrize("change", ["symbol table", "universe", "days", "options"])
def test_a_table_of_something_else_is_built(built: data.SmallRoot, change: str) -> None:
    symbols, span, options = built.symbols, built.span, TableOptions()
    if change == "symbol table":
        table = built.tables["AAA_USDT:USDT"]
        aaa = Symbol(Market.UM, "AAAUSDT")
        write_symbol_table(table, built.layout, aaa, Fingerprint("symbol_table", 2, ()))
    elif change == "universe":
        symbols = symbols[:2]
    elif change == "days":
        span = DateRange(span.start, span.end + timedelta(days=1))
    else:
        options = TableOptions(row_group_size=10)
    assert build_final(built.layout, symbols, span, options).built


def test_no_row_group_holds_two_symbols(root: data.SmallRoot) -> None:
    build_final(root.layout, root.symbols, root.span, TableOptions(row_group_size=100))
    metadata = pq.read_metadata(root.layout.final_table())
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    assert max(group.num_rows for group in groups) == 100
    assert all(g.column(0).statistics.min == g.column(0).statistics.max for g in groups)
    parts = dict(read_table(root.layout.final_table()))
    assert list(parts) == NAMES
    assert pl.concat(parts.values()).equals(final(root))


def test_the_table_is_compressed_with_zstd(built: data.SmallRoot) -> None:
    metadata = pq.read_metadata(built.layout.final_table())
    assert {metadata.row_group(0).column(i).compression for i in range(152)} == {"ZSTD"}


def test_a_missing_symbol_table_is_named(root: data.SmallRoot) -> None:
    missing = Symbol(Market.UM, "NOWUSDT")
    with pytest.raises(LayerError, match="NOWUSDT"):
        build_final(root.layout, [*root.symbols, missing], root.span)
    assert not root.layout.final_table().exists()


def test_a_universe_without_rows_is_no_table(root: data.SmallRoot) -> None:
    gone = Symbol(Market.UM, "GONEUSDT")
    with pytest.raises(TableError, match="1m kline"):
        build_final(root.layout, [gone], root.span)


@pytest.mark.parametrize("market", [Market.SPOT, Market.CM])
def test_other_markets_have_no_table(root: data.SmallRoot, market: Market) -> None:
    layout = Layout(root.layout.root, market)
    with pytest.raises(Undefined, match=str(market)):
        build_final(layout, [Symbol(market, "BTCUSDT")], root.span)


def test_csvs_hold_the_table_without_its_symbol(built: data.SmallRoot) -> None:
    assert write_final_csvs(built.layout)
    folder = built.layout.final_dir()
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"{name}_final.csv" for name in NAMES),
        "dataset_summary.csv",
    ]
    lines = (folder / f"{NAMES[0]}_final.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",") == list(COLUMNS[1:])
    assert lines[1].startswith("2024-03-05 00:00:00+00:00,")
    cells = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert cells["feature_time"] == "2024-03-05 01:00:00.001+00:00"
    assert cells["gap_seconds"] == ""


def test_csvs_give_back_every_bit(built: data.SmallRoot) -> None:
    write_final_csvs(built.layout)
    read = dict(read_final_csvs(built.layout.final_dir()))
    frame = pl.concat(read.values())
    assert frame.schema == schema()
    assert frame.equals(final(built))


def test_csvs_follow_their_table(built: data.SmallRoot) -> None:
    assert write_final_csvs(built.layout)
    assert not write_final_csvs(built.layout)
    (built.layout.final_dir() / f"{NAMES[1]}_final.csv").write_text("cut")
    assert write_final_csvs(built.layout)
    build_final(built.layout, built.symbols[:1], built.span)
    assert write_final_csvs(built.layout)
    assert [path.name for path in built.layout.final_dir().glob("*_final.csv")] == [
        "ZZZ_USDT:USDT_final.csv"
    ]


def test_summary_counts_each_symbol(built: data.SmallRoot) -> None:
    write_final_csvs(built.layout)
    summary = pl.read_csv(built.layout.final_dir() / "dataset_summary.csv")
    assert summary.columns == ["symbol", "rows", "start_date", "end_date", "features"]
    assert summary.row(0) == (NAMES[0], 24, "2024-03-05", "2024-03-05", 150)
    assert summary["rows"].sum() == final(built).height


@pytest.mark.process
def test_build_global_final_table_makes_the_same_table_from_csvs(
    built: data.SmallRoot, tmp_path: Path
) -> None:
    write_final_csvs(built.layout)
    target = tmp_path / "again.parquet"
    script = PROJECT / "data_collection" / "build_global_final_table.py"
    words = ["--input-dir", str(built.layout.final_dir()), "--output", str(target)]
    words += ["--compression", "snappy", "--row-group-size", "50"]
    subprocess.run(
        [sys.executable, str(script), *words],
        check=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert pl.read_parquet(target).equals(final(built))
    assert pq.read_schema(target).equals(
        pq.read_schema(built.layout.final_table()), check_metadata=True
    )
    metadata = pq.read_metadata(target)
    assert metadata.row_group(0).column(2).compression == "SNAPPY"
    assert metadata.num_row_groups > 3


@pytest.mark.process
def test_build_global_final_table_says_what_is_missing(tmp_path: Path) -> None:
    script = PROJECT / "data_collection" / "build_global_final_table.py"
    done = subprocess.run(
        [sys.executable, str(script), "--input-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert "alphaqcm export final" in done.stderr


def test_a_csv_with_another_header_is_refused(built: data.SmallRoot) -> None:
    write_final_csvs(built.layout)
    path = built.layout.final_dir() / f"{NAMES[1]}_final.csv"
    path.write_text(path.read_text().replace("vwap", "wvap", 1))
    with pytest.raises(LayerError, match="AAA"):
        list(read_final_csvs(built.layout.final_dir()))


def test_symbols_out_of_order_are_refused_and_nothing_is_left(
    built: data.SmallRoot, tmp_path: Path
) -> None:
    parts = list(read_table(built.layout.final_table()))[::-1]
    target = tmp_path / "wrong" / "t.parquet"
    with pytest.raises(TableError, match="byte order"):
        write_table(parts, Artifact(target, Fingerprint("t", 1, ())), TableOptions())
    assert list(target.parent.iterdir()) == []


def test_complete_variant_copies_the_rows_of_symbols_with_metrics(built: data.SmallRoot) -> None:
    table, left_out = build_complete(built.layout, built.span)
    assert table.path.name == "final_dataset_complete_metrics_all.parquet"
    assert [(item.symbol, item.reason) for item in left_out] == [
        ("AAA_USDT:USDT", "no metrics at all")
    ]
    wanted = final(built).filter(pl.col("symbol") != "AAA_USDT:USDT")
    assert final(built, "complete_metrics").equals(wanted)
    assert not build_complete(built.layout, built.span)[0].built


def test_complete_variant_leaves_out_metrics_that_end_early(root: data.SmallRoot) -> None:
    table = root.tables["ZZZ_USDT:USDT"]
    early = SymbolTable(
        table.frame, replace(table.report, metrics_last="2024-03-03 23:00:00+00:00")
    )
    zzz = Symbol(Market.UM, "ZZZUSDT")
    write_symbol_table(early, root.layout, zzz, Fingerprint("symbol_table", 1, ()))
    build_final(root.layout, root.symbols, root.span)
    _, left_out = build_complete(root.layout, root.span)
    assert left_out[1].reason == "metrics end on 2024-03-03, before 2024-03-05"


def test_complete_variant_under_its_older_name_with_its_csvs(built: data.SmallRoot) -> None:
    _, left_out = build_complete(built.layout, built.span, "metrics85")
    write_final_csvs(built.layout, "metrics85", left_out)
    folder = built.layout.final_dir("metrics85")
    assert folder.name == "final_dataset_metrics85"
    assert (folder / "symbols_left_out.csv").read_text().splitlines() == [
        "symbol,reason",
        "AAA_USDT:USDT,no metrics at all",
    ]
    read = pl.concat(frame for _, frame in read_final_csvs(folder))
    assert read.equals(final(built, "metrics85"))


def test_complete_variant_without_a_complete_symbol_is_refused(root: data.SmallRoot) -> None:
    build_final(root.layout, root.symbols[1:2], root.span)
    with pytest.raises(TableError, match="metrics on 2024-03-05"):
        build_complete(root.layout, root.span)


def test_a_foreign_parquet_is_no_final_table(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(TableError, match="alphaqcm build"):
        held_symbols(path)


def test_export_writes_final_csvs_of_every_table(
    built: data.SmallRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    build_complete(built.layout, built.span)
    words = ["export", "final", "--data-root", str(built.layout.root)]
    assert main(words) == 0
    assert capsys.readouterr().out.count("written") == 2
    assert main(words) == 0
    assert capsys.readouterr().out.count("current") == 2
    assert built.layout.final_file(Symbol(Market.UM, "ZZZUSDT"), "complete_metrics").exists()
