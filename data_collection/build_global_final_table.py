"""Build `final_dataset_all.parquet` anew from the CSVs of a final dataset.

The table is the same, value for value and type for type, as the one the CSVs were written from.
"""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()

import argparse
import sys
from pathlib import Path

from alphaqcm.data_collection.build.manifest import manifest_path
from alphaqcm.data_collection.commands.main import run_module
from alphaqcm.data_collection.commands.summary import counted
from alphaqcm.pipeline.tables.final_csv import read_final_csvs
from alphaqcm.pipeline.tables.table_file import TableOptions, write_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    defaults = TableOptions()
    parser.add_argument(
        "--input-dir",
        type=Path,
        default=Path("AlphaQCM_data/final_dataset"),
        help="folder of the {SYM}_final.csv files (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="the parquet to write (default: {input-dir}_all.parquet, beside the folder)",
    )
    parser.add_argument(
        "--compression",
        choices=["zstd", "snappy", "gzip", "brotli", "lz4", "none"],
        default=defaults.compression,
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--row-group-size",
        type=int,
        default=defaults.row_group_size,
        metavar="ROWS",
        help="rows in a row group at most; none holds two symbols (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Read the CSVs, one symbol at a time, and write the table."""
    folder: Path = arguments.input_dir
    output = arguments.output or folder.with_name(f"{folder.name}_all.parquet")
    options = TableOptions(arguments.compression, max(1, arguments.row_group_size))
    held = write_table(read_final_csvs(folder), output, None, options)
    manifest_path(output).unlink(missing_ok=True)  # it told of the table that was there
    print(f"{output}: {sum(rows.rows for rows in held)} rows of {counted(len(held), 'symbol')}")
    return 0


if __name__ == "__main__":
    sys.exit(run_module(sys.modules[__name__], sys.argv[1:], "build_global_final_table"))
