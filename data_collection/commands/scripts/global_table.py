"""Builds the one table anew from the CSVs of a final dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from alphaqcm.data_collection.build.manifest import manifest_path
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer
from alphaqcm.data_collection.reporting.text import counted
from alphaqcm.pipeline.storage.artifact import Artifact
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.final_csv import fingerprint_of_csvs, read_final_csvs
from alphaqcm.pipeline.tables.table_file import TableOptions, write_table


def run(arguments: argparse.Namespace) -> Answer:
    """Read the CSVs, one symbol at a time, and write the table."""
    folder: Path = arguments.input_dir or Layout(arguments.data_root).final_dir()
    output = arguments.output or folder.with_name(f"{folder.name}_all.parquet")
    size = arguments.row_group_size or TableOptions().row_group_size
    options = TableOptions(arguments.compression, size)
    artifact = Artifact(output, fingerprint_of_csvs(folder, options))
    held = write_table(read_final_csvs(folder), artifact, options)
    manifest_path(output).unlink(missing_ok=True)  # it told of the table that was there
    rows = sum(one.rows for one in held)
    print(f"{output}: {rows} rows of {counted(len(held), 'symbol')}")
    told = {"exit_code": 0, "path": output, "rows": rows, "symbols": len(held)}
    return Answer(ExitCode.DONE, told)
