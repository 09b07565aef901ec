"""The final table as one CSV a symbol, written from the parquet and read back into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import orjson
import polars as pl

from pipeline.columns import COLUMNS, FEATURES, REGISTRY, DType
from pipeline.errors import LayerError, TableError
from pipeline.hourly import CSV_TIME, write_csv
from pipeline.layers import Layout, atomic_write, read_fingerprint, write_bytes
from pipeline.table_file import SymbolRows, held_symbols, read_json, read_table
from pipeline.wide import LeftOut

SUFFIX = "_final.csv"
SUMMARY = "dataset_summary.csv"
LEFT_OUT = "symbols_left_out.csv"
_MILLISECONDS = "%Y-%m-%d %H:%M:%S%.3f+00:00"
_CSV_COLUMNS = COLUMNS[1:]
_TIMES = tuple(name for name in _CSV_COLUMNS if REGISTRY[name].dtype is DType.TIME)


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
            write_csv(csv_form(frame), temp)
            sizes[path.name] = temp.stat().st_size
    for path in folder.glob(f"*{SUFFIX}"):
        if path.name not in sizes:
            path.unlink()
    with atomic_write(folder / SUMMARY) as temp:
        write_csv(summary(held), temp)
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


def csv_form(frame: pl.DataFrame) -> pl.DataFrame:
    """A symbol's rows as its CSV has them: without the symbol, feature_time with milliseconds."""
    return frame.drop("symbol").with_columns(pl.col("feature_time").dt.strftime(_MILLISECONDS))


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
        yield symbol, _read_csv(paths[symbol], symbol)


def _read_csv(path: Path, symbol: str) -> pl.DataFrame:
    types = {
        name: pl.String() if name in _TIMES else REGISTRY[name].dtype.polars
        for name in _CSV_COLUMNS
    }
    try:
        frame = pl.read_csv(path, schema_overrides=types)
        if tuple(frame.columns) != _CSV_COLUMNS:
            raise LayerError(
                path,
                expected=f"the {len(_CSV_COLUMNS)} columns of the final table, in order",
                found=f"{frame.width} columns",
                next_step="write it again with: alphaqcm export final",
            )
        return frame.with_columns(
            pl.lit(symbol).alias("symbol"),
            *(_parse_time(name, CSV_TIME) for name in _TIMES if name != "feature_time"),
            _parse_time("feature_time", _MILLISECONDS),
        ).select(COLUMNS)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LayerError(
            path,
            expected="a CSV of the final table",
            found=str(error).splitlines()[0],
            next_step="write it again with: alphaqcm export final",
        ) from error


def _parse_time(name: str, form: str) -> pl.Expr:
    naive = form.removesuffix("+00:00")
    time = pl.col(name).str.strip_suffix("+00:00").str.to_datetime(naive, time_unit="us")
    return time.dt.replace_time_zone("UTC").alias(name)
