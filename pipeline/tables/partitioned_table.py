"""The wide table once more as a folder of parquets, one a symbol, for engines that like partitions.

`final_dataset_all/symbol=BTC_USDT:USDT/part-0.parquet`: Hive's names, so that the column `symbol`
stands in the path and not in the files.
"""

from __future__ import annotations

from pathlib import Path

from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.features.columns import VERSION
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, Input, read_fingerprint
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.table_file import held_symbols, read_table

_FILE = "part-0.parquet"


def partition_folder(layout: Layout) -> Path:
    """Where the partitions of the table lie: beside it, under its name."""
    return layout.final_table().with_suffix("")


def write_partitions(layout: Layout) -> int:
    """Write the partitions of the table that is there; gives how many were not current.

    Those of symbols that the table does not hold are removed. Raises `LayerError`, `TableError`.
    """
    table, store, folder = layout.final_table(), layout.store, partition_folder(layout)
    symbols = [rows.symbol for rows in held_symbols(table, store)]
    made_of = read_fingerprint(table, store)
    if made_of is None:
        raise LayerError(table, expected="a table that tells what it is made of")
    artifacts = {
        symbol: Artifact(
            folder / f"symbol={symbol}" / _FILE,
            Fingerprint(
                "final_partition",
                VERSION,
                (Input("final", made_of.digest),),
                (("symbol", symbol),),
            ),
            store,
        )
        for symbol in symbols
    }
    stale = {symbol for symbol, one in artifacts.items() if not one.is_current()}
    for symbol, frame in read_table(table, store=store) if stale else ():
        if symbol in stale:
            rows = frame.drop("symbol")
            artifacts[symbol].write(rows, {"rows": rows.height})
    for path in store.list(folder, f"symbol=*/{_FILE}"):
        if path.parent.name.removeprefix("symbol=") not in artifacts:
            store.delete(path)
    return len(stale)
