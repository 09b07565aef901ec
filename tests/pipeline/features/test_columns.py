"""The registry against its specification, the table written from it, and its printed forms."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.pipeline.features.columns import (
    COLUMNS,
    CROSS_SECTION,
    FEATURES,
    REGISTRY,
    STAGE_COLUMNS,
    SYMBOL_COLUMNS,
    TAIL_ROWS,
    Group,
    Source,
)
from alphaqcm.pipeline.features.columns.render import NOTES
from alphaqcm.pipeline.tables.wide_table import build_final
from tests.conftest import PROJECT
from tests.helpers import factor_data as data


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> data.SmallRoot:
    made = data.small_root(tmp_path_factory.mktemp("root"))
    build_final(made.layout, made.symbols, made.span)
    return made


def test_registry_equals_the_specification(spec: Path) -> None:
    wanted = []
    for name in ("columns.csv", "columns_added.csv"):
        with (spec / name).open(encoding="utf-8", newline="") as stream:
            wanted += list(csv.DictReader(stream))
    assert len(wanted) == 152
    assert list(COLUMNS) == [row["name"] for row in wanted]
    for row in wanted:
        told = REGISTRY[row["name"]]
        assert (told.group, told.dtype, told.unit) == (row["group"], row["dtype"], row["unit"])
        assert told.point_in_time == (row["point_in_time"] == "yes")
        if row["source"] != "derived":
            assert " + ".join(told.inputs) == row["source"], row["name"]


def test_stages_are_those_of_the_specification() -> None:
    counts = {stage: len(columns) - 1 for stage, columns in STAGE_COLUMNS.items()}
    assert counts == {
        "crypto_hourly_basic": 6,
        "crypto_hourly_full": 10,
        "crypto_hourly_cleaned": 19,
        "crypto_hourly_momentum": 18,
        "crypto_hourly_volatility": 49,
    }
    assert STAGE_COLUMNS["crypto_hourly_volatility"][-1] == "rv_stability_24h"
    assert STAGE_COLUMNS["crypto_hourly_momentum"][-1] == "qrs_low"


def test_every_column_is_told_in_full() -> None:
    for told in REGISTRY.values():
        assert told.definition.endswith("."), told.name
        assert told.inputs, told.name
        assert told.group in NOTES
    assert set(NOTES) == set(Group)
    assert set(SYMBOL_COLUMNS) | set(CROSS_SECTION) == set(COLUMNS)
    assert len(FEATURES) == len(COLUMNS) - 2


def test_a_column_that_looks_ahead_names_one_that_does_not() -> None:
    ahead = {name: told.use_instead for name, told in REGISTRY.items() if not told.point_in_time}
    assert ahead == {
        "volume_clean": "volume_clean_pit",
        "cs_coverage_frac": "cs_coverage_frac_pit",
    }
    assert all(REGISTRY[name].point_in_time for name in ahead.values())
    assert not any(told.use_instead for told in REGISTRY.values() if told.point_in_time)


def test_tail_is_as_long_as_the_longest_window() -> None:
    assert REGISTRY["returns_168h"].window.rows_before == TAIL_ROWS == 168


def test_cross_section_is_what_needs_other_symbols() -> None:
    assert [name for name in COLUMNS if name.startswith("cs_")] == [
        name for name in CROSS_SECTION if name.startswith("cs_")
    ]
    assert all(Source.UNIVERSE in REGISTRY[name].inputs for name in CROSS_SECTION)


def test_written_table_has_the_registry_as_its_schema(root: data.SmallRoot) -> None:
    path = root.layout.final_table()
    assert pl.read_parquet_schema(path) == {n: REGISTRY[n].dtype.polars for n in COLUMNS}
    for field in pq.read_schema(path):
        carried = {key.decode(): text.decode() for key, text in field.metadata.items()}
        assert carried == REGISTRY[field.name].metadata()


def test_docs_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["columns", "--format", "markdown"]) == 0
    printed = capsys.readouterr().out
    assert (PROJECT / "docs" / "columns.md").read_text(encoding="utf-8") == printed, (
        "make it anew: alphaqcm columns --format markdown > docs/columns.md"
    )


def test_json_tells_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["columns", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [column["name"] for column in told] == list(COLUMNS)
    assert all(column["definition"] for column in told)


def test_one_group_is_told_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["columns", "--group", "funding"]) == 0
    printed = capsys.readouterr().out
    assert "funding_annualized" in printed
    assert "4 columns" in printed
    assert "triad_basis" not in printed


def test_markdown_of_one_group_has_its_rows_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["columns", "--group", "universe", "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("`")[1] for line in lines if line.startswith("| `")] == [
        "cs_universe_size",
        "cs_coverage_frac",
    ]
