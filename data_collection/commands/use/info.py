"""Print the manifest beside a table, and verify that the table is the one it describes.

Exit code 0 only when bytes, checksum, rows and columns are those of the manifest.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import orjson

from alphaqcm.data_collection.build.manifest import (
    Manifest,
    archive_files,
    disagreements,
    manifest_path,
    read_manifest,
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
    parser.add_argument("--json", action="store_true", help="print the whole manifest as JSON")
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
    manifest = read_manifest(table)
    if arguments.files:
        print("symbol,key,sha256")
        for symbol, item in archive_files(arguments.data_root, manifest):
            print(f"{symbol},{item.key},{item.sha256}")
        return 0
    problems = disagreements(table, manifest)
    if arguments.json:
        told = {**asdict(manifest), "verified": not problems, "problems": problems}
        sys.stdout.buffer.write(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    else:
        _print(table, manifest)
        for problem in problems:
            print(f"NOT the table of its manifest: {problem}")
        if not problems:
            print("verified: bytes, checksum, rows and columns are those of the manifest")
    return 1 if problems else 0


def _print(table: Path, manifest: Manifest) -> None:
    checks = manifest.checks
    told = (
        "not checked yet: alphaqcm check"
        if checks is None
        else f"{checks.worst} ("
        + ", ".join(f"{count} {name}" for name, count in checks.counts.items())
        + f"), checked {checks.checked_at}"
    )
    libraries = ", ".join(f"{name} {number}" for name, number in manifest.libraries.items())
    for name, value in (
        ("table", table),
        ("manifest", manifest_path(table)),
        ("content", f"{manifest.rows:,} rows x {len(manifest.columns)} columns"),
        ("days", f"{manifest.start} to {manifest.end}, market {manifest.market}"),
        ("source", manifest.source),
        ("made", f"{manifest.created_at} by alphaqcm {manifest.code_version}"),
        ("columns", f"version {manifest.columns_version}"),
        ("with", libraries),
        ("sha256", f"{manifest.sha256} ({manifest.bytes:,} bytes)"),
        ("checks", told),
    ):
        print(f"{name:<10} {value}")
    print(f"\n{'symbol':<24}{'rows':>10}  {'first hour':<17}{'last hour':<17}made from")
    for symbol, entry in manifest.symbols.items():
        first, last = entry.first[:16].replace("T", " "), entry.last[:16].replace("T", " ")
        print(f"{symbol:<24}{entry.rows:>10,}  {first:<17}{last:<17}{entry.fingerprint[:12]}")
    print()
