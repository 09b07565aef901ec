"""Print the catalogue beside a table, and verify that the table is the one it describes.

Exit code 0 only when bytes, checksum, rows and columns are those of the catalogue.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import orjson

from alphaqcm.data_collection.build.manifest import (
    Catalogue,
    archive_files,
    catalogue_path,
    disagreements,
    read_catalogue,
)
from alphaqcm.data_collection.commands.options import add_root_option
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.storage.layout import Layout


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "table",
        nargs="?",
        type=Path,
        metavar="TABLE",
        help="a parquet table (default: the data root's final_dataset_all.parquet)",
    )
    parser.add_argument("--json", action="store_true", help="print the whole catalogue as JSON")
    parser.add_argument(
        "--files",
        action="store_true",
        help="print every archive file behind the table as CSV: symbol, key, sha256",
    )
    add_root_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print and verify."""
    table = arguments.table or Layout(arguments.data_root).final_table()
    if not table.exists():
        raise UsageError(
            table, expected="a table", found="none", next_step="alphaqcm run or build makes it"
        )
    catalogue = read_catalogue(table)
    if arguments.files:
        print("symbol,key,sha256")
        for symbol, item in archive_files(arguments.data_root, catalogue):
            print(f"{symbol},{item.key},{item.sha256}")
        return 0
    problems = disagreements(table, catalogue)
    if arguments.json:
        told = {**asdict(catalogue), "verified": not problems, "problems": problems}
        sys.stdout.buffer.write(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    else:
        _print(table, catalogue)
        for problem in problems:
            print(f"NOT the table of its catalogue: {problem}")
        if not problems:
            print("verified: bytes, checksum, rows and columns are those of the catalogue")
    return 1 if problems else 0


def _print(table: Path, catalogue: Catalogue) -> None:
    checks = catalogue.checks
    told = (
        "not checked yet: alphaqcm check"
        if checks is None
        else f"{checks.worst} ("
        + ", ".join(f"{count} {name}" for name, count in checks.counts.items())
        + f"), checked {checks.checked_at}"
    )
    libraries = ", ".join(f"{name} {number}" for name, number in catalogue.libraries.items())
    for name, value in (
        ("table", table),
        ("catalogue", catalogue_path(table)),
        ("content", f"{catalogue.rows:,} rows x {len(catalogue.columns)} columns"),
        ("days", f"{catalogue.start} to {catalogue.end}, market {catalogue.market}"),
        ("source", catalogue.source),
        ("made", f"{catalogue.created_at} by alphaqcm {catalogue.code_version}"),
        ("columns", f"version {catalogue.columns_version}"),
        ("with", libraries),
        ("sha256", f"{catalogue.sha256} ({catalogue.bytes:,} bytes)"),
        ("checks", told),
    ):
        print(f"{name:<10} {value}")
    print(f"\n{'symbol':<24}{'rows':>10}  {'first hour':<17}{'last hour':<17}made from")
    for symbol, entry in catalogue.symbols.items():
        first, last = entry.first[:16].replace("T", " "), entry.last[:16].replace("T", " ")
        print(f"{symbol:<24}{entry.rows:>10,}  {first:<17}{last:<17}{entry.fingerprint[:12]}")
    print()
