"""The partitions hold the table's rows, are current when they are, and follow its symbols."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
import pytest

from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.partitioned_table import partition_folder, write_partitions
from tests.helpers.root_of_a_day import root_of_a_day

pytestmark = pytest.mark.slow


def test_the_partitions_are_the_table(tmp_path: Path) -> None:
    layout = Layout(root_of_a_day(tmp_path))
    assert write_partitions(layout) == 1
    folder, table = partition_folder(layout), pl.read_parquet(layout.final_table())
    assert folder == tmp_path / "root" / "final_dataset_all"
    read = pl.read_parquet(f"{folder}/**/*.parquet", hive_partitioning=True)
    assert read.select(table.columns).equals(table)
    assert duckdb.sql(
        f"select symbol, count(*), sum(close) from "
        f"read_parquet('{folder}/*/*.parquet', hive_partitioning = true) group by all"
    ).fetchall() == [("BTC_USDT:USDT", table.height, table["close"].sum())]
    one = folder / "symbol=BTC_USDT:USDT" / "part-0.parquet"
    assert "symbol" not in pl.read_parquet_schema(one)


def test_what_is_current_stays_and_what_is_not_of_the_table_goes(tmp_path: Path) -> None:
    layout = Layout(root_of_a_day(tmp_path))
    write_partitions(layout)
    one = partition_folder(layout) / "symbol=BTC_USDT:USDT" / "part-0.parquet"
    data, seen = one.read_bytes(), one.stat().st_mtime_ns
    foreign = partition_folder(layout) / "symbol=XRP_USDT:USDT" / "part-0.parquet"
    foreign.parent.mkdir()
    foreign.write_bytes(data)
    assert write_partitions(layout) == 0
    assert one.stat().st_mtime_ns == seen
    assert not foreign.exists()
    one.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    assert write_partitions(layout) == 1
    assert one.read_bytes() == data
