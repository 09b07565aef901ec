"""The final table as one CSV a symbol, written from the parquet and read back into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import orjson
import polars as pl

from alphaqcm.pipeline.errors import TableError
from alphaqcm.pipeline.features.columns import COLUMNS, FEATURES
from alphaqcm.pipeline.features.columns.csv import csv_form, read_csv
from alphaqcm.pipeline.storage.artifact import read_fingerprint
from alphaqcm.pipeline.storage.atomic_write import atomic_write, write_bytes
from alphaqcm.pipeline.storage.csv_file import write_csv
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.table_file import SymbolRows, held_symbols, read_json, read_table
from alphaqcm.pipeline.tables.wide_table import LeftOut

SUFFIX = "_final.csv"
SUMMARY = "dataset_summary.csv"
LEFT_OUT = "symbols_left_out.csv"


def write_final_csvs(
    layout: Layout, variant: str = "", left_out: Sequence[LeftOut] | None = None
) -> bool:
    """Write `{SYM}_final.csv` of every symbol of the table and the summary beside them.

    CSVs of symbols that the table does not hold are removed. Returns False when all of them were
    current: made of the table that is there, and of the size they were written with. `left_out` is
    written too where it is given. Raises `LayerError`, `TableError`.
    """
    table, folder = layout.final_table(variant), layout.final_dir(variant)
    marker = layout.temp / f"{folder.name}.json"
    held = held_symbols(table)
    made_of = read_fingerprint(table)
    digest = "" if made_of is None else made_of.digest
    if _current(marker, digest, folder):
        return False
    marker.unlink(missing_ok=True)
    sizes = {}
    for symbol, frame in read_table(table):
        path = folder / f"{symbol}{SUFFIX}"
        with atomic_write(path) as temp:
            write_csv(csv_form(frame.drop("symbol")), temp)
            sizes[path.name] = temp.stat().st_size
    for path in folder.glob(f"*{SUFFIX}"):
        if path.name not in sizes:
            path.unlink()
    with atomic_write(folder / SUMMARY) as temp:
        write_csv(summary(held), temp)
        sizes[SUMMARY] = temp.stat().st_size
    if left_out is not None:
        with atomic_write(folder / LEFT_OUT) as temp:
            write_csv(
                pl.DataFrame(
                    [(item.symbol, item.reason) for item in left_out],
                    schema={"symbol": pl.String, "reason": pl.String},
                    orient="row",
                ),
                temp,
            )
    write_bytes(marker, orjson.dumps({"table": digest, "bytes": sizes}))
    return True


def _current(marker: Path, digest: str, folder: Path) -> bool:
    written = read_json(marker)
    if written is None or not digest or written.get("table") != digest:
        return False
    try:
        return all(
            (folder / name).stat().st_size == size for name, size in written["bytes"].items()
        )
    except (OSError, KeyError, AttributeError):
        return False


def summary(held: Sequence[SymbolRows]) -> pl.DataFrame:
    """`dataset_summary.csv`: symbol, rows, start_date, end_date (YYYY-MM-DD), features."""
    return pl.DataFrame(
        {
            "symbol": [rows.symbol for rows in held],
            "rows": [rows.rows for rows in held],
            "start_date": [_day(rows.first) for rows in held],
            "end_date": [_day(rows.last) for rows in held],
            "features": [len(FEATURES)] * len(held),
        }
    )


def _day(moment: str) -> str:
    return datetime.fromisoformat(moment).date().isoformat()


def read_final_csvs(folder: Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """The symbols of a folder of `{SYM}_final.csv`, in byte order, with all columns and types.

    Raises `TableError` for a folder without any, `LayerError` for one that is not as written here.
    """
    paths = {path.name.removesuffix(SUFFIX): path for path in folder.glob(f"*{SUFFIX}")}
    if not paths:
        raise TableError(
            folder,
            expected="{SYM}_final.csv files",
            found="none",
            next_step="write them with: alphaqcm export final",
        )
    for symbol in sorted(paths, key=str.encode):
        rows = read_csv(paths[symbol], COLUMNS[1:], "alphaqcm export final")
        yield symbol, rows.with_columns(pl.lit(symbol).alias("symbol")).select(COLUMNS)
