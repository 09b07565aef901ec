"""`alphaqcm sql`: every layer is a view, the page's queries run, and nothing can be written."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.serving.duckdb_views import connect, query, views
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.storage.layout import Layout
from tests.conftest import PROJECT
from tests.helpers.built_root import settings_of, walk

PAGE = (PROJECT / "docs" / "sql.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    folder = tmp_path_factory.mktemp("sql")
    spec = SampleSpec(symbols=("BTCUSDT", "ETHUSDT"), days=2, trades_per_day=800, compression=1)
    write_sample(folder / "source", spec)
    settings = settings_of(spec, folder / "source", folder / "root")
    walk(settings)
    return settings.layout


def test_every_layer_is_a_view(layout: Layout) -> None:
    assert [view.name for view in views(layout)] == [
        "klines_1m",
        "aggtrades_1m",
        "aggtrades_1h",
        "klines_1h",
        "mark_1h",
        "index_1h",
        "premium_1h",
        "funding_1h",
        "metrics_1h",
        "crypto_hourly_basic",
        "crypto_hourly_full",
        "crypto_hourly_cleaned",
        "crypto_hourly_momentum",
        "crypto_hourly_volatility",
        "final",
    ]


@pytest.mark.parametrize("text", QUERIES, ids=lambda text: " ".join(text.split())[:40])
def test_the_queries_of_the_page_run(layout: Layout, text: str) -> None:
    with connect(layout) as connection:
        rows = query(connection, text).pl().height
    assert rows or "gap_seconds >" in text  # nothing is missing in a whole sample


def test_a_view_has_what_its_files_have(layout: Layout) -> None:
    table = pl.read_parquet(layout.final_table())
    with connect(layout) as connection:
        assert query(connection, "SELECT * FROM final").pl().equals(table)
        counted = "SELECT symbol, count(*) FROM klines_1m GROUP BY symbol ORDER BY symbol"
        assert query(connection, counted).fetchall() == [("BTCUSDT", 2880), ("ETHUSDT", 2880)]


def test_a_filter_on_the_symbol_opens_its_files_only(layout: Layout) -> None:
    text = "EXPLAIN ANALYZE SELECT sum(volume) FROM klines_1m WHERE symbol = 'BTCUSDT'"
    with connect(layout) as connection:
        plan = connection.execute(text).fetchall()[0][1]
    assert re.search(r"(Scanning Files|Total Files Read|File Filters).*", plan)
    assert "2/2" not in plan


@pytest.mark.parametrize(
    "text",
    [
        "COPY (SELECT 1) TO 'stolen.csv'",
        "CREATE TABLE t (a INT)",
        "DROP VIEW final",
        "SET threads = 1",
        "ATTACH 'other.db'",
        "INSTALL httpfs",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'stolen.csv'",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_only_one_reading_statement_runs(layout: Layout, text: str) -> None:
    with connect(layout) as connection, pytest.raises(UsageError, match="one reading statement"):
        query(connection, text)


def test_nothing_outside_the_data_root_can_be_read(layout: Layout, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with connect(layout) as connection, pytest.raises(UsageError, match="Permission"):
        query(connection, f"SELECT * FROM read_csv('{secret}')").fetchall()


def test_the_lock_cannot_be_opened_again(layout: Layout) -> None:
    with connect(layout) as connection, pytest.raises(duckdb.Error, match="locked"):
        connection.execute("SET enable_external_access = true")


def test_a_wrong_query_names_what_there_is(layout: Layout) -> None:
    with connect(layout) as connection, pytest.raises(UsageError, match="klines_1m, ") as error:
        query(connection, "SELECT * FROM finale")
    assert "SHOW TABLES" in error.value.next_step


def test_a_root_without_layers_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="alphaqcm run"):
        connect(Layout(tmp_path))


def test_the_command_prints_table_csv_and_json(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "SELECT symbol, count(*) AS hours FROM final GROUP BY symbol ORDER BY symbol"
    root = ["--data-root", str(layout.root)]
    assert main(["sql", text, *root]) == 0
    assert "BTC_USDT:USDT" in capsys.readouterr().out
    assert main(["sql", text, "--format", "csv", *root]) == 0
    assert capsys.readouterr().out == "symbol,hours\nBTC_USDT:USDT,48\nETH_USDT:USDT,48\n"
    assert main(["sql", text, "--format", "json", *root]) == 0
    assert json.loads(capsys.readouterr().out)[1] == {"symbol": "ETH_USDT:USDT", "hours": 48}
    assert main(["sql", "DROP VIEW final", *root]) == 2
    assert "read-only" in capsys.readouterr().err


def test_a_layer_that_is_damaged_stops_only_queries_that_name_it(
    layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    shutil.copytree(layout.root, root)
    for path in (root / "binance_klines_1m_parquet").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    words = ["sql", "--data-root", str(root)]
    assert main([*words, "select count(*) as n from final"]) == 0
    assert main([*words, "select count(*) as n from klines_1m"]) == 1
    assert "binance_klines_1m_parquet" in capsys.readouterr().err
