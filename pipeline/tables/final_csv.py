"""The final table as one CSV a symbol, written from the parquet and read back into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from alphaqcm.pipeline.errors import DamagedFile, TableError
from alphaqcm.pipeline.features.columns import COLUMNS, FEATURES
from alphaqcm.pipeline.features.columns import VERSION as COLUMNS_VERSION
from alphaqcm.pipeline.features.columns.csv import csv_form, read_csv
from alphaqcm.pipeline.storage.artifact import Fingerprint, Input, read_fingerprint, read_json
from alphaqcm.pipeline.storage.checksum import sha256_of, xxh3_of
from alphaqcm.pipeline.storage.csv_file import write_csv
from alphaqcm.pipeline.storage.file_digest import Proof, sealed_json
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.storage.verified_read import glance_at_csv, prove_csv
from alphaqcm.pipeline.tables.table_file import SymbolRows, TableOptions, held_symbols, read_table
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
    store = layout.store
    held = held_symbols(table, store)
    made_of = read_fingerprint(table, store)
    digest = "" if made_of is None else made_of.digest
    if _current(store, marker, digest, folder):
        return False
    store.delete(marker)
    sizes: dict[str, int] = {}
    digests: dict[str, str] = {}
    for symbol, frame in read_table(table, store=store):
        name = f"{symbol}{SUFFIX}"
        rows = csv_form(frame.drop("symbol"))
        sizes[name], digests[name] = _write(store, rows, folder / name)
    for path in store.list(folder, f"*{SUFFIX}"):
        if path.name not in sizes:
            store.delete(path)
    sizes[SUMMARY], digests[SUMMARY] = _write(store, summary(held), folder / SUMMARY)
    if left_out is not None:
        lines = [(item.symbol, item.reason) for item in left_out]
        names = {"symbol": pl.String, "reason": pl.String}
        frame = pl.DataFrame(lines, schema=names, orient="row")
        sizes[LEFT_OUT], digests[LEFT_OUT] = _write(store, frame, folder / LEFT_OUT)
    told = {"table": digest, "bytes": sizes, "digests": digests}
    store.replace(marker, sealed_json(told))
    return True


def _write(store: FileStore, frame: pl.DataFrame, path: Path) -> tuple[int, str]:
    """Write a CSV; gives its size in bytes and its XXH3."""
    with store.batch() as batch:
        temp = batch.add(path)
        write_csv(frame, temp)
        told = temp.stat().st_size, xxh3_of(temp)
        batch.commit()
    return told


def _current(store: FileStore, marker: Path, digest: str, folder: Path) -> bool:
    written = read_json(marker, store)
    if written is None or not digest or written.get("table") != digest:
        return False
    sizes, digests = written.get("bytes"), written.get("digests", {})
    if not isinstance(sizes, dict) or not isinstance(digests, dict):
        return False
    found = {name: store.stat(folder / name) for name in sizes}
    same = {name: stat.size for name, stat in found.items() if stat is not None} == sizes
    return same and all(
        glance_at_csv(folder / name, digests.get(name), store) is not Proof.DAMAGED
        for name in sizes
    )


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


def fingerprint_of_csvs(folder: Path, options: TableOptions) -> Fingerprint:
    """What a table read back from a folder's CSVs is made of; raises `LayerError`."""
    files = LOCAL.list(folder, f"*{SUFFIX}")
    inputs = tuple(Input(f"csv/{path.name}", sha256_of(path)) for path in files)
    return Fingerprint("final_from_csv", COLUMNS_VERSION, inputs, options.parameters)


def read_final_csvs(folder: Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """The symbols of a folder of `{SYM}_final.csv`, in byte order, with all columns and types.

    Raises `TableError` for a folder without any, `LayerError` for one that is not as written here:
    in a data root each is held against what is kept of it.
    """
    told = read_json(folder.parent / "_tmp" / f"{folder.name}.json") or {}
    digests = told.get("digests", {})
    paths = {path.name.removesuffix(SUFFIX): path for path in LOCAL.list(folder, f"*{SUFFIX}")}
    if not paths:
        raise TableError(
            folder,
            expected="{SYM}_final.csv files",
            found="none",
            next_step="write them with: alphaqcm export final",
        )
    for symbol in sorted(paths, key=str.encode):
        digest = digests.get(paths[symbol].name)
        if digest is not None and prove_csv(paths[symbol], digest) is Proof.DAMAGED:
            raise DamagedFile(
                paths[symbol],
                expected="the bytes that were written",
                found="others",
                next_step="write it again with: alphaqcm export final; a CSV changed on purpose is "
                "read from a folder outside of the data root",
            )
        rows = read_csv(paths[symbol], COLUMNS[1:], "alphaqcm export final")
        yield symbol, rows.with_columns(pl.lit(symbol).alias("symbol")).select(COLUMNS)
