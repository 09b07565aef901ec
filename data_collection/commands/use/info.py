"""Prints the manifest beside a table, and verifies that the table is the one it describes."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from alphaqcm.data_collection.build.last_run import load_settings
from alphaqcm.data_collection.build.manifest import (
    Manifest,
    archive_files,
    disagreements,
    manifest_path,
    read_manifest,
)
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer, wants_text
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.period import months_between
from alphaqcm.pipeline.domain.registry import Market, parse_market
from alphaqcm.pipeline.domain.series_type import parse_typed
from alphaqcm.pipeline.storage.artifact import Record, read_record
from alphaqcm.pipeline.storage.layout import Layout


def run(arguments: argparse.Namespace) -> Answer | int:
    """Print and verify."""
    market = parse_market(arguments.market)
    if market is not Market.UM and arguments.table is None:
        return _layers(load_settings(arguments.data_root.resolve() / "_tmp", market), arguments)
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
    if wants_text(arguments):
        _print(table, manifest)
        for problem in problems:
            print(f"NOT the table of its manifest: {problem}")
        if not problems:
            print("verified: bytes, checksum, rows and columns are those of the manifest")
    told = {**asdict(manifest), "verified": not problems, "problems": problems}
    return Answer(ExitCode.FAILED if problems else ExitCode.DONE, told)


def _layers(settings: RunSettings, arguments: argparse.Namespace) -> Answer | int:
    """Of a market without a table: its last run, and what is there of each layer."""
    found: dict[str, list[tuple[str, Record]]] = {name: [] for name in settings.types}
    for name, records in found.items():
        data_type, interval = parse_typed(name)
        for symbol in settings.symbols:
            for month in months_between(settings.span.start, settings.span.end):
                path = settings.layout.month_file(data_type, interval, symbol, month)
                if (record := read_record(path)) is not None:
                    records.append((symbol, record))
    if arguments.files:
        print("symbol,key,sha256")
        for symbol, record in (one for records in found.values() for one in records):
            for item in record.fingerprint.inputs:
                print(f"{symbol},{item.key},{item.sha256}")
        return 0
    rows = {name: sum(int(r.report["rows"]) for _, r in found[name]) for name in found}
    if wants_text(arguments):
        print(f"{settings.market} has no table: its layers end at the 1-minute and hourly files")
        print(f"days       {settings.span.start} to {settings.span.end}")
        print(f"source     {settings.source}")
        print(f"\n{'layer':<24}{'month files':>12}{'symbols':>9}{'rows':>16}")
        for name, records in found.items():
            symbols = len({symbol for symbol, _ in records})
            print(f"{name:<24}{len(records):>12,}{symbols:>9,}{rows[name]:>16,}")
    layers = {name: {"month_files": len(found[name]), "rows": rows[name]} for name in found}
    told = {key: settings.to_dict()[key] for key in ("market", "start", "end", "symbols", "source")}
    return Answer(ExitCode.DONE, {**told, "layers": layers})


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
